"""What validation found, as plain data that gates and reports read."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class ColumnInfo:
    """One column of a schema, as declared."""

    name: str
    #: Name of the polars type.
    dtype: str
    nullable: bool
    #: Known only after the event: never an input of a prediction.
    outcome: bool = False
    #: Identifies a person or an asset: masked in samples, logs and reports.
    pii: bool = False
    description: str = ""


@dataclass(frozen=True)
class BrokenRule:
    """One rule of a schema that the data breaks."""

    name: str
    #: ``schema``: columns, types, nulls, ranges, allowed values; ``rule``: a named check across columns.
    kind: Literal["schema", "rule"]
    #: None for a rule across columns.
    column: str | None
    #: Rows that break it; all rows where the table as a whole does.
    count: int
    #: ``count`` over the rows of the table.
    rate: float
    #: The table cannot be judged or used: a column is missing or of the wrong type, or the check crashed.
    fatal: bool
    #: One line that says what is expected and what was found; holds no data values.
    message: str
    #: Rows that break it, at most ``samples``, pii masked.
    sample: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class SchemaEvidence:
    """Outcome of validating one table."""

    schema: str
    rows: int
    #: Number of rules that were applied.
    rules: int
    broken: tuple[BrokenRule, ...] = field(default=())

    @property
    def fatal(self) -> bool:
        """Whether a rule failed on the table as a whole."""
        return any(rule.fatal for rule in self.broken)

    def of_kind(self, kind: Literal["schema", "rule"]) -> tuple[BrokenRule, ...]:
        """The broken rules of one kind."""
        return tuple(rule for rule in self.broken if rule.kind == kind)

    def rate(self, kind: Literal["schema", "rule"]) -> float:
        """The largest share of rows that break one rule of the kind; 1.0 where one is fatal."""
        return max((1.0 if rule.fatal else rule.rate for rule in self.of_kind(kind)), default=0.0)


def missing_rates(frame: "pl.DataFrame") -> dict[str, float]:
    """Share of values per column that are null or NaN, 0 to 1. Raises :class:`PlatformError` without rows."""
    import polars as pl
    import polars.selectors as cs

    if not frame.height:
        raise PlatformError("missing rates of a table without rows are undefined; check its volume first")
    counts = frame.select(
        (~cs.float()).null_count(), (cs.float().is_null() | cs.float().is_nan()).sum().cast(pl.UInt32)
    ).row(0, named=True)
    return {column: counts[column] / frame.height for column in frame.columns}


def duplicate_count(
    frame: "pl.DataFrame", key: tuple[str, ...] | list[str], *, samples: int = 20
) -> tuple[int, list[dict[str, Any]]]:
    """Rows beyond the first of each ``key``, and up to ``samples`` keys that come more than once, with their number.

    Raises :class:`PlatformError` for an empty key or a key column that is missing.
    """
    import polars as pl

    lacking = [column for column in key if column not in frame.columns]
    if not key or lacking:
        reason = f"lacks the key columns {lacking}" if lacking else "has no key declared"
        raise PlatformError(f"duplicates cannot be counted: the table {reason}; see the schema's `key`")
    repeated = frame.group_by(*key).agg(pl.len().alias("rows")).filter(pl.col("rows") > 1)
    extra = int(repeated["rows"].sum()) - repeated.height
    return extra, json_rows(repeated.sort(*key).head(samples))


def json_rows(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """Rows as dicts that JSON can hold: times as ISO text, NaN and infinities as text, other types as their text."""
    import math

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return value.isoformat() if hasattr(value, "isoformat") else str(value)

    return [{name: plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]
