"""Gates on a staged batch that compare it with the accepted earlier ones, with its window or with the clock."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

#: PSI above which a column counts as drifted: the usual "significant shift" (Siddiqi, Credit Risk Scorecards, 2006).
DRIFTED = 0.25
#: Rows of a table that are kept with a verdict.
SHOWN = 100


def reference_rows(evidence: BatchEvidence, gate: Gate, columns: Sequence[str]) -> "pl.DataFrame | None":
    """The columns of the declared, else of all accepted earlier partitions; ``None`` where there are none.

    Raises PlatformError for columns that are not there and for declared partitions that were not accepted.
    """
    missing = [name for name in columns if name not in evidence.frame.columns]
    if missing:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    wanted = gate.reference or tuple(evidence.earlier_rows)
    if unknown := [name for name in wanted if name not in evidence.earlier_rows]:
        raise PlatformError(
            f"gate {gate.name}: the reference {', '.join(unknown)} is not among the accepted earlier batches "
            f"({', '.join(evidence.earlier_rows) or 'none'})"
        )
    return evidence.earlier(wanted, tuple(columns)) if wanted else None


@kind(
    "distribution",
    "batch",
    "Drift of columns from accepted earlier batches, in all rows or in each slice of `by`: largest `psi`, "
    "`jensen_shannon` distance or `kolmogorov_smirnov` statistic, `share` of columns with a PSI beyond 0.25, or "
    "`profile` (1 less the correlation of a column's means by slice with those of before)",
    needs=("max",),
    requires=("metric", "columns"),
    options=("by",),
    metrics=("psi", "jensen_shannon", "kolmogorov_smirnov", "share", "profile"),
)
def distribution(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """How far each column moved; ``reference`` names partitions instead of all accepted ones.

    Within slices a column may move that as a whole does not: another unit for one airline. Slices of fewer than 500
    rows, here or before, are not judged. A ``profile`` by hour turns where times are shifted, whatever the season.
    """
    from ml_platform.validation import drift

    columns, by = list(gate.columns or ()), list(gate.by or ())
    if (gate.metric == "profile" and not by) or (gate.metric == "share" and by):
        raise PlatformError(f"gate {gate.name}: a profile needs slices, by: […], and a share of columns has none")
    reference = reference_rows(evidence, gate, [*columns, *by])
    if reference is None:
        return Measurement(None, "no earlier batch to compare with")
    name = "psi" if gate.metric == "share" else str(gate.metric)
    if name == "profile":
        found = {(column, ""): drift.profile(reference, evidence.frame, column, by) for column in columns}
    elif by:
        found = drift.drifted_slices(reference, evidence.frame, columns, by, name)
    else:
        found = {
            (column, ""): value
            for column, value in drift.drifted_columns(reference, evidence.frame, columns, name).items()
        }
    if not found:
        return Measurement(float("nan"), f"no slice has {drift.SLICE_ROWS} rows here and before", support=-1)
    found = dict(sorted(found.items(), key=lambda item: -item[1]))
    over = [column for column, value in found.items() if value > DRIFTED] if name == "psi" else []
    worst, where = next(iter(found))
    counted = (
        f"; {len(over)} of {len(found)} {'slices' if by else 'columns'} beyond {DRIFTED:g}" if name == "psi" else ""
    )
    return Measurement(
        len(over) / len(columns) if gate.metric == "share" else found[worst, where],
        f"{worst}{f' where {where}' if where else ''} has moved most "
        f"({name.replace('_', ' ')} {found[worst, where]:.3f}){counted}",
        support=evidence.frame.height,
        details={
            "columns": [
                {"column": column, **({"slice": slice_} if slice_ else {}), name: round(value, 6)}
                for (column, slice_), value in list(found.items())[:SHOWN]
            ],
            "reference_rows": reference.height,
        },
    )


def _window(evidence: BatchEvidence, gate: str) -> tuple[date, date]:
    if evidence.window is None or not evidence.time:
        raise PlatformError(f"{gate}: nothing says when the batch's window is; declare partitions and time")
    return evidence.window


@kind("window", "batch", "Rows of another time than the partition's, or of none", limit=0)
def window(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Rows whose day lies outside the partition: a page of last month, or a batch under the wrong name."""
    import polars as pl

    first, end = _window(evidence, "window")
    days = evidence.frame[evidence.time].cast(pl.Date)
    outside = days.filter(~days.is_between(first, end, closed="left").fill_null(False))
    counts = outside.value_counts(sort=True).head(10).rows()
    shown = ", ".join(f"{day or 'no day'} ({rows})" for day, rows in counts[:5])
    return Measurement(
        outside.len(),
        f"{outside.len()} rows are not of {first} to before {end}: {shown}"
        if outside.len()
        else f"every row is of {first} to before {end}",
        support=evidence.frame.height,
        details={"days": [{"day": str(day), "rows": rows} for day, rows in counts]},
    )


@kind(
    "freshness",
    "batch",
    "Days that end without an event before the window does (before now, while it is open)",
    needs=("max",),
)
def freshness(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Age of the newest event in whole days, on the clock of the events.

    The clock is the end of the partition's own window, or now where the window is still open: a year that is
    replayed long after is as fresh as it was then, and a month that breaks off is stale.
    """
    import polars as pl

    _, end = _window(evidence, gate.name)
    newest = evidence.frame.select(pl.col(evidence.time).cast(pl.Date).max()).item()
    if newest is None:
        return Measurement(float("nan"), f"no row has a value of {evidence.time}", support=evidence.frame.height)
    today: date = evidence.now.date() if isinstance(evidence.now, datetime) else end
    clock = min(end, today)
    # A window that ends on the 1st is complete with events of the day before.
    age = max((clock - newest).days - 1, 0)
    return Measurement(
        age,
        f"the newest event is of {newest}, the clock says {clock}",
        support=evidence.frame.height,
        details={"newest": str(newest), "clock": str(clock), "window_end": str(end)},
    )


@kind(
    "referential",
    "batch",
    "Largest share of rows whose value of a column no accepted earlier batch has",
    needs=("max",),
    requires=("columns",),
)
def referential(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Values that refer to nothing known, per column. Missing ones are for the gate ``missing``."""
    import polars as pl

    columns = list(gate.columns or ())
    reference = reference_rows(evidence, gate, columns)
    if reference is None:
        return Measurement(None, "no earlier batch to compare with")
    table = []
    for name in columns:
        known = reference[name].drop_nulls().unique()
        unknown = evidence.frame.filter(pl.col(name).is_not_null() & ~pl.col(name).is_in(known.implode()))
        table.append({"column": name, "rows": unknown.height, "values": unknown[name].n_unique()})
    worst = max(table, key=lambda row: row["rows"])
    share = worst["rows"] / max(evidence.frame.height, 1)
    return Measurement(
        share,
        f"{worst['column']} has {worst['values']} unknown values in {worst['rows']} rows ({share:.2%})"
        if worst["rows"]
        else "every value is known from earlier batches",
        support=evidence.frame.height,
        details={"columns": table},
    )
