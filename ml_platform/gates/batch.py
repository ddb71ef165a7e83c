"""Gates on a staged batch: is this month like what the schema and the earlier months promise?"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.validation.evidence import BrokenRule, SchemaEvidence

T = TypeVar("T")


class BatchEvidence:
    """A batch and what it is judged against; the rows are read once, when a gate first needs them."""

    def __init__(
        self,
        frame: "Callable[[], pl.DataFrame]",
        schema: Callable[[], Any],
        key: tuple[str, ...],
        earlier_rows: Mapping[str, int],
        *,
        set_aside: "Callable[[], pl.DataFrame | None]" = lambda: None,
        new_columns: Literal["accept", "refuse"] | None = None,
        earlier_columns: tuple[str, ...] = (),
        earlier: "Callable[[tuple[str, ...], tuple[str, ...]], pl.DataFrame] | None" = None,
        time: str = "",
        window: tuple[date, date] | None = None,
        now: datetime | None = None,
        contents: Mapping[str, str] | None = None,
        replaced: "Callable[[], tuple[str, pl.DataFrame] | None]" = lambda: None,
        published_later: "Callable[[], Iterable[tuple[str, pl.DataFrame]]]" = lambda: (),
        measured: "dict[Any, Any] | None" = None,
    ) -> None:
        self._frame, self._schema, self._set_aside, self._replaced = frame, schema, set_aside, replaced
        self._published_later = published_later
        #: Whether columns that the schema does not know are accepted; ``None``: as the schema says.
        self.new_columns: Literal["accept", "refuse"] | None = new_columns
        self.key = key
        self._earlier_columns, self._earlier_rows, self._earlier = earlier_columns, earlier_rows, earlier
        self._contents = contents or {}
        self._measured: dict[Any, Any] = {} if measured is None else measured
        #: Contents of earlier batches that were looked at since this was cleared, by partition.
        self.looked_at: dict[str, str] = {}
        #: Column with the time of the event; bounds of the partition (days, or datetimes in UTC); the clock.
        self.time, self.window, self.now = time, window, now

    @property
    def earlier_rows(self) -> Mapping[str, int]:
        """Rows of the earlier, accepted partitions."""
        self._note(self._earlier_rows)
        return self._earlier_rows

    @property
    def earlier_columns(self) -> tuple[str, ...]:
        """Columns of the batch before this one that the schema does not know."""
        if self._earlier_columns:
            self._note(sorted(self._contents)[-1:])
        return self._earlier_columns

    def _note(self, partitions: Iterable[str]) -> None:
        self.looked_at |= {name: self._contents[name] for name in partitions if name in self._contents}

    def earlier(self, partitions: tuple[str, ...], columns: tuple[str, ...]) -> "pl.DataFrame":
        """Columns of accepted earlier partitions, one after the other."""
        if self._earlier is None:
            raise PlatformError("the earlier batches cannot be read here")
        self._note(partitions)
        return self._earlier(partitions, columns)

    def of_earlier(
        self, partition: str, columns: tuple[str, ...], what: Hashable, measure: "Callable[[pl.DataFrame], T]"
    ) -> T:
        """A measure of columns of an earlier partition: of one content the same ``what`` is measured once."""
        self._note((partition,))
        about = (self._contents.get(partition), columns, what)
        if about[0] is None or about not in self._measured:
            self._measured[about] = measure(self.earlier((partition,), columns))
        return self._measured[about]

    @property
    def replaced(self) -> "pl.DataFrame | None":
        """The published content of the same partition that this batch takes the place of; ``None``: there is none."""
        if self._before is None:
            return None
        sha256, frame = self._before
        self.looked_at["replaced"] = sha256
        return frame.clone()

    def published_later(self) -> "Iterable[tuple[str, pl.DataFrame]]":
        """Hashes and contents of the same partition that were published after :attr:`replaced`, oldest first."""
        return self._published_later()

    @cached_property
    def _before(self) -> "tuple[str, pl.DataFrame] | None":
        return self._replaced()

    @cached_property
    def _rows(self) -> "pl.DataFrame":
        return self._frame()

    @property
    def frame(self) -> "pl.DataFrame":
        """The rows of the batch: to each that asks a frame of its own of the same columns, for it to change or not."""
        return self._rows.clone()

    @cached_property
    def schema(self) -> Any:
        """The pandera schema."""
        return self._schema()

    @cached_property
    def private(self) -> set[str]:
        """Columns whose values are not shown: personal ones, and those that the schema does not know."""
        from ml_platform.validation.schema import columns

        return {*self.frame.columns} - {column.name for column in columns(self.schema) if not column.pii}

    def shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row, or what groups rows, for people: personal values are masked."""
        from ml_platform.validation.schema import MASK

        hidden = [name for name in row if name in self.private and row[name] is not None]
        return {**row, **dict.fromkeys(hidden, MASK)}

    @cached_property
    def validation(self) -> "SchemaEvidence":
        """Every broken rule of the schema."""
        from ml_platform.validation.schema import validate

        return validate(self.schema, self.frame, new_columns=self.new_columns)

    @cached_property
    def set_aside(self) -> "pl.DataFrame | None":
        """The rows that were set aside from the batch, with their reasons."""
        return self._set_aside()


def _tables(evidence: BatchEvidence, which: Literal["schema", "rule"]) -> dict[str, list[dict[str, Any]]]:
    broken = evidence.validation.of_kind(which)
    return {
        "rules": [
            {
                "rule": rule.name,
                "column": rule.column or "",
                "rows": rule.count,
                "rate": rule.rate,
                "found": rule.message,
            }
            for rule in broken
        ],
        "samples": [_sample(rule, row) for rule in broken for row in rule.sample[:5]],
    }


def _sample(rule: "BrokenRule", row: dict[str, Any]) -> dict[str, Any]:
    """A row as a line of a table: the rule that it breaks, the column of the rule, then the others."""
    first = {rule.column: row[rule.column]} if rule.column in row else {}
    return {"broken rule": rule.name, **first, **row}


def _reason(broken: "Sequence[BrokenRule]", fine: str) -> str:
    return f"{len(broken)} broken: " + "; ".join(rule.message for rule in broken[:5]) if broken else fine


@kind("schema", "batch", "Columns, types, nullability and values of every column; counts broken rules", limit=0)
def schema(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Broken column rules of the pandera schema."""
    broken = evidence.validation.of_kind("schema")
    vanished = [name for name in evidence.earlier_columns if name not in evidence.frame.columns]
    reasons = [_reason(broken, "")] if broken else []
    reasons += [f"{', '.join(vanished)} vanished: the batch before has it"] if vanished else []
    return Measurement(
        len(broken) + len(vanished),
        "; ".join(reasons) or "every column is as declared",
        support=evidence.frame.height,
        details=_tables(evidence, "schema"),
    )


@kind("quarantine", "batch", "Share of rows that break a rule and were set aside", needs=("max",))
def quarantine(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Rows beside the batch over all rows that arrived. Comes with ``quarantine: {max: …}`` of a dataset."""
    from ml_platform.datasets.quarantine import REASONS
    from ml_platform.validation.evidence import json_rows
    from ml_platform.validation.schema import mask

    aside = evidence.set_aside
    arrived = evidence.frame.height + (aside.height if aside is not None else 0)
    if aside is None:
        return Measurement(0.0, "no row was set aside", support=arrived)
    counts = aside[REASONS].explode().value_counts(sort=True).rows()
    shown = mask(aside.drop(REASONS).head(5), evidence.schema).with_columns(aside[REASONS].head(5).list.join("; "))
    return Measurement(
        aside.height / arrived,
        f"{aside.height} of {arrived} rows were set aside: "
        + "; ".join(f"{reason} ({count})" for reason, count in counts[:5]),
        support=arrived,
        details={
            "reasons": [{"rule": reason, "rows": count} for reason, count in counts],
            "samples": [{"broken rules": row.pop(REASONS), **row} for row in json_rows(shown)],
        },
    )


@kind("rules", "batch", "Largest share of rows that breaks a business rule", needs=("max",))
def rules(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Business rules of the pandera schema (its dataframe checks)."""
    return Measurement(
        evidence.validation.rate("rule"),
        _reason(evidence.validation.of_kind("rule"), "every rule holds"),
        support=evidence.frame.height,
        details=_tables(evidence, "rule"),
    )


@kind(
    "missing",
    "batch",
    "Largest share of missing values (null or NaN) among the columns",
    needs=("max",),
    requires=("columns",),
)
def missing(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Missing values per column; a column that is not there is missing entirely."""
    from ml_platform.validation.evidence import missing_rates

    rates = missing_rates(evidence.frame)
    chosen = {column: rates.get(column, 1.0) for column in gate.columns or ()}
    worst = max(chosen, key=lambda column: chosen[column])
    return Measurement(
        chosen[worst],
        f"{worst} is missing in {chosen[worst]:.2%} of the rows",
        support=evidence.frame.height,
        details={"columns": [{"column": name, "missing": round(rate, 6)} for name, rate in chosen.items()]},
    )


@kind("duplicates", "batch", "Share of rows whose key occurs more than once", needs=("max",))
def duplicates(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Rows beyond the first of each natural key."""
    from ml_platform.validation.evidence import duplicate_count

    count, sample = duplicate_count(evidence.frame, evidence.key)
    shown = [evidence.shown(row) for row in sample[:5]]
    return Measurement(
        count / max(evidence.frame.height, 1),
        f"{count} rows repeat a key ({', '.join(evidence.key)})" if count else "every key is unique",
        support=evidence.frame.height,
        details={"samples": shown},
    )


@kind("volume", "batch", "Rows relative to the median of the accepted earlier batches", needs=("min", "max"))
def volume(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Rows over the median of earlier batches; the first batch only has to hold rows."""
    from statistics import median

    rows = evidence.frame.height
    details = {
        "rows": rows,
        "earlier": [{"partition": name, "rows": count} for name, count in evidence.earlier_rows.items()],
    }
    if rows == 0:
        return Measurement(0.0, "the batch has no rows", details=details)
    if not evidence.earlier_rows:
        return Measurement(None, f"{rows} rows; no earlier batch to compare with", details=details)
    middle = median(evidence.earlier_rows.values())
    return Measurement(
        rows / middle,
        f"{rows} rows against a median of {middle:g}",
        support=len(evidence.earlier_rows),
        details=details,
    )
