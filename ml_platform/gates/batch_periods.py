"""Gates on a staged batch that look at its days and slices one by one: what is small in a month is large in a day."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.times import days
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.batch_history import NOTHING_EARLIER, halves, reference_batches, reference_rows
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

#: Rows of a table that are kept with a verdict.
SHOWN = 20
#: What the first batch was compared with.
WITHIN = ", by the first half of this first batch"


def _check_coverage(gate: Gate) -> None:
    if gate.every and gate.by:
        raise DeclarationError("rows are counted per period or per slice: give every or by, not both")


@kind(
    "coverage",
    "batch",
    "Largest gap or surplus of rows: in one `every` (`day` or `hour`), as a share of the median of the same weekday "
    "(and hour) in accepted earlier batches, or in one slice (`by`), against its median share of them",
    needs=("max",),
    any_of=("every", "by"),
    columns=(1, 1),
    of_time=True,
    version=4,
    check=_check_coverage,
)
def coverage(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Days or slices that are missing, or came twice: 1 is one without rows, or with twice as many.

    ``columns`` names another column than the dataset's time, such as one with hours. The first batch is compared with
    itself: slices of its later half with those of its first, from 14 days on. Of hourly partitions nothing is said of
    an hour that no earlier batch is of. A day that has not come yet, by the clock, is no gap, and neither is an hour
    that a change of clocks skips. Periods and slices that usually have fewer than 20 rows are judged by their surplus
    alone; of slices it takes more behind fewer than four batches, 80 behind one.
    """
    return _periods(evidence, gate) if gate.every else _slices(evidence, gate)


def _periods(evidence: BatchEvidence, gate: Gate) -> Measurement:
    from ml_platform.validation import groups

    assert gate.every is not None
    column = gate.columns[0] if gate.columns else evidence.time
    reference = reference_rows(evidence, gate, [column])
    current = evidence.frame[column]
    first, end = groups.until(evidence.window, evidence.now, current)
    hours = isinstance(first, datetime)
    if hours and reference is None:
        return Measurement(None, NOTHING_EARLIER)
    table = groups.coverage(current if reference is None else reference[column], current, first, end, gate.every)
    if hours and table.is_empty():
        return Measurement(None, "no earlier batch is of this hour of a day")
    judged = table.filter((table["usual"] >= groups.PERIOD_ROWS) | (table["rows"] >= groups.PERIOD_ROWS))
    if judged.is_empty():
        return Measurement(float("nan"), f"no {gate.every} has {groups.PERIOD_ROWS} rows or should have", support=-1)
    worst = judged.row(0, named=True)
    when = str(worst["day"]) + (f" {worst['hour']}:00" if gate.every == "hour" else "")
    return Measurement(
        worst["deviation"],
        f"{when} has {worst['rows']} rows, {worst['usual']:g} are usual",
        support=judged.height,
        details={"periods": [{**row, "day": str(row["day"])} for row in judged.head(SHOWN).iter_rows(named=True)]},
    )


def _slices(evidence: BatchEvidence, gate: Gate) -> Measurement:
    from ml_platform.validation import groups
    from ml_platform.validation.evidence import json_rows

    by = list(gate.by or ())
    earlier, current = list(reference_batches(evidence, gate, by).values()), evidence.frame
    if alone := not earlier:
        if (parts := halves(evidence)) is None:
            return Measurement(None, NOTHING_EARLIER)
        earlier, current = [parts[0].select(by)], parts[1]
    # Halves of one batch are of one season.
    table = groups.slice_coverage(earlier, current.select(by), by, 1.0 if alone else groups.few(len(earlier)))
    if table.is_empty():
        return Measurement(float("nan"), "there is no slice, here or before", support=-1)
    shown = [evidence.shown(row) for row in json_rows(table.head(SHOWN))]
    worst = shown[0]
    return Measurement(
        worst["deviation"],
        f"{_named(by, worst)} has {worst['rows']} rows, {worst['usual']:.4g} are usual{WITHIN if alone else ''}",
        support=table.height,
        details={"slices": shown},
    )


def _check_labels(gate: Gate) -> None:
    least = {"known": gate.min is not None, "lowest_rate": True}.get(str(gate.metric), False)
    if least != (gate.min is not None) or (gate.min is None) == (gate.max is None):
        raise DeclarationError("known has a min or a max, lowest_rate a min, highest_rate and change a max")
    if gate.every == "hour" or (gate.metric == "change" and (gate.every or not gate.by)):
        raise DeclarationError("labels are counted per day, and change per slice: every: day, by: […]")


@kind(
    "labels",
    "batch",
    "Outcomes (`columns`) per `every` day or slice (`by`): smallest (with `max`: largest) share that is `known`, "
    "`lowest_rate` or "
    "`highest_rate` of those `above` a number, or largest `change` of a slice's log odds against all other rows",
    requires=("metric", "columns"),
    any_of=("every", "by"),
    options=("above",),
    metrics=("known", "lowest_rate", "highest_rate", "change"),
    version=3,
    check=_check_labels,
)
def labels(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Outcomes that are missing, all alike or turned round in a few days or in one slice.

    ``known`` with a ``max`` notices what always lacks some outcomes (a flight that was cancelled never arrives) and
    lacks none: such rows were left out, or filled in.
    ``change`` compares a slice's distance from all other rows with that in accepted earlier batches, so that a bad
    month for everybody is none (a difference of log odds: 0.7 is twice the odds). Groups of fewer than 100 rows are
    not judged. In the first batch the later half of its days is compared with the first, from 14 days on.
    """
    measure = _change if gate.metric == "change" else _shares
    table = [row for column in gate.columns or () for row in measure(evidence, gate, column)]
    if not table:
        if gate.metric == "change" and not evidence.earlier_rows:
            # Within one batch, too: half of it may be too few.
            return Measurement(None, NOTHING_EARLIER)
        return Measurement(float("nan"), "no group has 100 rows", support=-1)
    table.sort(key=lambda row: row["value"] if gate.min is not None else -abs(row["value"]))
    worst = table[0]
    value = abs(worst["value"]) if gate.metric == "change" else worst["value"]
    return Measurement(
        value,
        f"{worst['outcome']}: {str(gate.metric).replace('_', ' ')} is {worst['value']:.3g} for {worst['group']} "
        f"({worst['rows']} rows){WITHIN if gate.metric == 'change' and not evidence.earlier_rows else ''}",
        support=len(table),
        details={"groups": table[:SHOWN]},
    )


def _shares(evidence: BatchEvidence, gate: Gate, column: str) -> list[dict[str, Any]]:
    from ml_platform.validation import groups

    by = list(gate.by or ())
    chosen = _groups(evidence.frame, evidence.time if gate.every else "", [*by, column], gate).select(
        *(["day"] if gate.every else []), *by
    )
    values = (
        evidence.frame[column].is_not_null().cast(float)
        if gate.metric == "known"
        else groups.outcome_values(evidence.frame, column, gate.above)
    )
    table = groups.grouped(values, chosen)
    return [
        {
            "outcome": column,
            "group": _named(chosen.columns, evidence.shown(row)),
            "rows": row["labelled"],
            "value": row["positive"] / row["labelled"],
        }
        for row in table.iter_rows(named=True)
        if row["labelled"] >= groups.SLICE_ROWS
    ]


def _change(evidence: BatchEvidence, gate: Gate, column: str) -> list[dict[str, Any]]:
    from ml_platform.validation import groups

    by = list(gate.by or ())
    reference, current = reference_rows(evidence, gate, [*by, column]), evidence.frame
    if reference is None:
        if (parts := halves(evidence)) is None:
            return []
        reference, current = parts
    tables = [
        groups.grouped(groups.outcome_values(frame, column, gate.above), frame.select(by))
        for frame in (reference, current)
    ]
    before, now = (groups.contrasts(table, by) for table in tables)
    rows = {tuple(row[name] for name in by): row["labelled"] for row in tables[1].iter_rows(named=True)}
    return [
        {
            "outcome": column,
            "group": _named(by, evidence.shown(dict(zip(by, group, strict=True)))),
            "rows": rows[group],
            "value": value - before[group],
        }
        for group, value in now.items()
        if group in before
    ]


def _groups(frame: "pl.DataFrame", time: str, columns: Sequence[str], gate: Gate) -> "pl.DataFrame":
    if missing := [name for name in columns if name not in frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    return frame.with_columns(days(frame[time]).alias("day")) if time else frame


def _named(columns: Sequence[str], row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in columns)
