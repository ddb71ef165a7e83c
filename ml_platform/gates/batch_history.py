"""Gates on a staged batch that compare it with the accepted earlier ones, with its window or with the clock."""

from collections.abc import Callable, Hashable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.times import comparable
from ml_platform.foundation.times import days as days_of
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

#: PSI above which a column counts as drifted: the usual "significant shift" (Siddiqi, Credit Risk Scorecards, 2006).
DRIFTED = 0.25
#: Rows of a table that are kept with a verdict.
SHOWN = 100
#: Days from which on the first batch is held against itself.
HALVED = 14
#: Quantiles that are compared with the range of those that each earlier batch had: what a season did before is none.
TAILS = (0.01, 0.99)


#: Why a gate that compares with earlier batches says nothing of the first.
NOTHING_EARLIER = "no earlier batch to compare with"


def _wanted(evidence: BatchEvidence, gate: Gate, columns: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in columns if name not in evidence.frame.columns]
    if missing:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    wanted = gate.reference or tuple(evidence.earlier_rows)
    if unknown := [name for name in wanted if name not in evidence.earlier_rows]:
        raise PlatformError(
            f"gate {gate.name}: the reference {', '.join(unknown)} is not among the accepted earlier batches "
            f"({', '.join(evidence.earlier_rows) or 'none'})"
        )
    return wanted


def reference_batches(evidence: BatchEvidence, gate: Gate, columns: Sequence[str]) -> "dict[str, pl.DataFrame]":
    """:func:`reference_rows`, each partition by itself; empty where there are none."""
    return {name: evidence.earlier((name,), tuple(columns)) for name in _wanted(evidence, gate, columns)}


def measured_batches(
    evidence: BatchEvidence, gate: Gate, columns: Sequence[str], what: Hashable, measure: "Callable[[pl.DataFrame], T]"
) -> dict[str, T]:
    """A measure of each of :func:`reference_batches`.

    ``what`` names the measure: of one content it is taken once, however many later batches are compared with it.
    """
    wanted = _wanted(evidence, gate, columns)
    return {name: evidence.of_earlier(name, tuple(columns), what, measure) for name in wanted}


def reference_rows(evidence: BatchEvidence, gate: Gate, columns: Sequence[str]) -> "pl.DataFrame | None":
    """The columns of the declared, else of all accepted earlier partitions; ``None`` where there are none.

    Raises PlatformError for columns that are not there and for declared partitions that were not accepted.
    """
    wanted = _wanted(evidence, gate, columns)
    return evidence.earlier(wanted, tuple(columns)) if wanted else None


def halves(evidence: BatchEvidence) -> "tuple[pl.DataFrame, pl.DataFrame] | None":
    """The first batch by its days: the earlier half, and the later one; ``None`` for fewer than :data:`HALVED` days.

    Slices are held against each other within it, since a season does not turn them round or take them away. The level
    of a column does move from one half of a month to the other: of that the first batch says nothing.
    """
    if not evidence.time or evidence.time not in evidence.frame.columns:
        return None
    days = days_of(evidence.frame[evidence.time])
    there = days.drop_nulls().unique().sort()
    if len(there) < HALVED:
        return None
    later = (days >= there[len(there) // 2]).fill_null(False)
    return evidence.frame.filter(~later), evidence.frame.filter(later)


def _check_distribution(gate: Gate) -> None:
    if (gate.metric == "profile" and not gate.by) or (gate.metric in ("share", "correlation", "tails") and gate.by):
        raise DeclarationError("a profile needs slices, by: […]; a share of columns, correlation and tails have none")


@kind(
    "distribution",
    "batch",
    "Drift of columns from accepted earlier batches, in all rows or in each slice of `by`: largest `psi`, "
    "`jensen_shannon` distance or `kolmogorov_smirnov` statistic, `share` of columns with a PSI beyond 0.25, "
    "`profile` (1 less the correlation of a column's means by slice with those of before), change of the `correlation` "
    "of two columns, or how far `tails` (1 %, 99 %) lie beyond those of every earlier batch, in interquartile ranges",
    needs=("max",),
    requires=("metric", "columns"),
    options=("by",),
    metrics=("psi", "jensen_shannon", "kolmogorov_smirnov", "share", "profile", "correlation", "tails"),
    columns={"correlation": (2, None)},
    version=3,
    check=_check_distribution,
)
def distribution(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """How far each column moved; ``reference`` names partitions instead of all accepted ones.

    Within slices a column may move that as a whole does not: another unit for one airline. Slices of fewer than 500
    rows, here or before, are not judged. A ``profile`` by hour turns where times are shifted, whatever the season.
    A column of ``by`` with more than 50 numbers is cut into twenty slices: an outcome where another one is about the
    same keeps no season, and moves where it means something else. ``tails`` behind fewer than four batches count in
    part: a quarter behind one.
    """
    from ml_platform.validation import drift
    from ml_platform.validation.schema import MASK

    columns, by = list(gate.columns or ()), list(gate.by or ())
    if gate.metric == "tails":
        return _tails(evidence, gate, columns)
    if gate.metric == "correlation":
        return _correlation(evidence, gate, columns)
    reference = reference_rows(evidence, gate, [*columns, *by])
    if reference is None:
        return Measurement(None, NOTHING_EARLIER)
    name = "psi" if gate.metric == "share" else str(gate.metric)
    reference, current = drift.in_slices(reference, evidence.frame.select(*columns, *by), by)
    if name == "profile":
        found = {(column, ""): drift.profile(reference, current, column, by) for column in columns}
    elif by:
        found = drift.drifted_slices(reference, current, columns, by, name)
    else:
        found = {
            (column, ""): value for column, value in drift.drifted_columns(reference, current, columns, name).items()
        }
    if not found:
        return Measurement(float("nan"), f"no slice has {drift.SLICE_ROWS} rows here and before", support=-1)
    if hidden := evidence.private & {*by}:
        # Slices of personal values are told apart by their place alone.
        found = {
            (column, f"{', '.join(sorted(hidden))} {MASK} {place}"): value
            for place, ((column, _), value) in enumerate(found.items(), 1)
        }
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


def _tails(evidence: BatchEvidence, gate: Gate, columns: list[str]) -> Measurement:
    from ml_platform.validation import drift, groups

    earlier = list(reference_batches(evidence, gate, columns).values())
    if not earlier:
        return Measurement(None, NOTHING_EARLIER)
    wider = groups.few(len(earlier))
    table: list[dict[str, Any]] = [
        {"column": name, **row}
        for name in columns
        for row in drift.beyond([frame[name] for frame in earlier], evidence.frame[name], TAILS)
    ]
    worst = max(table, key=lambda row: row["beyond"])
    return Measurement(
        worst["beyond"] / wider,
        f"{worst['column']}: its {100 * worst['quantile']:g} % quantile is {worst['value']:.4g}, "
        f"{worst['lowest']:.4g} to {worst['highest']:.4g} in {len(earlier)} earlier batches"
        f"{f', so few that it counts by {1 / wider:.0%}' if wider > 1 else ''}",
        support=evidence.frame.height,
        details={"quantiles": table},
    )


def _correlation(evidence: BatchEvidence, gate: Gate, columns: list[str]) -> Measurement:
    """Outcomes that hang together still do: two of them are seldom wrong in the same way."""
    from itertools import combinations

    from ml_platform.validation import drift

    reference = reference_rows(evidence, gate, columns)
    if reference is None:
        return Measurement(None, NOTHING_EARLIER)
    table: list[dict[str, Any]] = [
        {"columns": " and ".join(pair), "before": drift.correlation(reference, *pair), "now": now}
        for pair in combinations(columns, 2)
        for now in [drift.correlation(evidence.frame, *pair)]
    ]
    worst = max(table, key=lambda row: abs(row["now"] - row["before"]))
    return Measurement(
        abs(worst["now"] - worst["before"]),
        f"the correlation of {worst['columns']} is {worst['now']:.3f}, {worst['before']:.3f} before",
        support=evidence.frame.height,
        details={"correlations": table},
    )


@kind(
    "association",
    "batch",
    "Largest rise of the information value that one of `columns` has for an outcome (`against`, counted as 1 `above` a "
    "number), over that in any accepted earlier batch: an outcome inside an input gives itself away",
    needs=("max",),
    requires=("columns", "against"),
    options=("above",),
)
def association(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """What a delivered column says of an outcome, before any feature is made of it.

    How much an input says of the outcome moves with the season, and seldom by much beyond what it was in some batch
    before. One that was computed from what happened afterwards says more at once.
    """
    from ml_platform.validation import drift, groups

    columns, outcome = list(gate.columns or ()), str(gate.against)

    def values(frame: "pl.DataFrame") -> dict[str, float]:
        label = groups.outcome_values(frame, outcome, gate.above)
        return {name: drift.information_value(frame, name, label) for name in columns}

    wanted, what = list(dict.fromkeys([*columns, outcome])), ("information value", outcome, gate.above)
    before = list(measured_batches(evidence, gate, wanted, what, values).values())
    if not before:
        return Measurement(None, NOTHING_EARLIER)
    now = values(evidence.frame)
    table: list[dict[str, Any]] = [
        {"column": name, "now": now[name], "before": max(one[name] for one in before)} for name in columns
    ]
    table.sort(key=lambda row: row["before"] - row["now"])
    worst = table[0]
    return Measurement(
        worst["now"] - worst["before"],
        f"{worst['column']} has an information value of {worst['now']:.3f} for {outcome}, at most "
        f"{worst['before']:.3f} in {len(before)} earlier batches",
        support=evidence.frame.height,
        details={"columns": table},
    )


def _window(evidence: BatchEvidence, gate: str) -> tuple[date, date]:
    if evidence.window is None or not evidence.time:
        raise PlatformError(f"{gate}: nothing says when the batch's window is; declare partitions and time")
    return evidence.window


@kind("window", "batch", "Rows of another time than the partition's, or of none", limit=0, of_time=True, version=2)
def window(evidence: BatchEvidence, _: Gate) -> Measurement:
    """Rows whose day, or instant, lies outside the partition: a page of last month, or a batch under the wrong name."""
    first, end = _window(evidence, "window")
    times = comparable(evidence.frame[evidence.time], first)
    outside = times.filter(~times.is_between(first, end, closed="left").fill_null(False))
    counts = days_of(outside).value_counts(sort=True).head(10).rows()
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
    "Days that end without an event before the window does (before now, while it is open); of hourly partitions the "
    "hours since the newest event, 0.25 is a quarter of one",
    needs=("max",),
    of_time=True,
    version=2,
)
def freshness(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Age of the newest event in whole days, or with hourly partitions in hours, on the clock of the events.

    The clock is the end of the partition's own window, or now where the window is still open: a year that is
    replayed long after is as fresh as it was then, and a month that breaks off is stale.
    """
    _, end = _window(evidence, gate.name)
    newest: Any = comparable(evidence.frame[evidence.time], end).max()
    if newest is None:
        return Measurement(float("nan"), f"no row has a value of {evidence.time}", support=evidence.frame.height)
    now = evidence.now or end
    if isinstance(end, datetime):
        clock = min(end, now)
        age = max((clock - newest) / timedelta(hours=1), 0.0)
    else:
        clock = min(end, now.date() if isinstance(now, datetime) else now)
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
        return Measurement(None, NOTHING_EARLIER)
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
