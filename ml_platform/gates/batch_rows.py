"""Gates on a staged batch that hold rows against each other: the same flight twice, a route of two lengths."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.times import comparable
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.batch_history import reference_rows
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

#: Rows of a table that are kept with a verdict.
SHOWN = 20
#: Earlier batches that began so many days before are searched for what comes again.
AGAIN = timedelta(days=31)


def _check_near_duplicates(gate: Gate) -> None:
    if gate.every == "hour":
        raise DeclarationError("rows are held against those of earlier days: every: day")
    if gate.but_for and gate.columns and not gate.every:
        raise DeclarationError("say in which columns rows may differ or may not: but_for or columns")


@kind(
    "near_duplicates",
    "batch",
    "Share of rows that are equal to another one in every column but those of `but_for`, or in `columns`; with "
    "`every: day` the largest share of a day's rows that are equal to one of an earlier day, in the batch or in "
    "those of the month before",
    needs=("max",),
    any_of=("but_for", "columns"),
    options=("every",),
    version=2,
    check=_check_near_duplicates,
)
def near_duplicates(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Rows that came twice under new keys. Rows beyond the first of each such group count.

    ``columns`` say what cannot be twice, whatever else is different: one aeroplane at one instant. Rows that lack one
    of them do not count. By day they say what two days cannot share, without the day: of a flight how it went, of a
    place its weather. A delivery with the values of the day before, or of a week before, gives itself away on its
    first days. Days of fewer than 20 rows are not judged.
    """
    if gate.every:
        return _days_again(evidence, gate)
    from ml_platform.validation import groups
    from ml_platform.validation.evidence import json_rows

    named = gate.but_for or gate.columns or ()
    if missing := [name for name in named if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    if gate.but_for:
        (count, repeated), alike = groups.near_duplicates(evidence.frame, named), f"but for {', '.join(named)}"
        key = [name for name in evidence.key if name in repeated.columns]
    else:
        key, alike = list(named), f"in {', '.join(named)}"
        count, repeated = groups.repeated(evidence.frame.select(key).drop_nulls(), key)
    shown = [evidence.shown(row) for row in json_rows(repeated.select(*key, "rows").head(5))]
    return Measurement(
        count / max(evidence.frame.height, 1),
        f"{count} rows are equal to another one {alike}" if count else "no two rows are alike",
        support=evidence.frame.height,
        details={"samples": shown},
    )


def _days_again(evidence: BatchEvidence, gate: Gate) -> Measurement:
    import polars as pl

    from ml_platform.validation import groups

    if not evidence.time or evidence.window is None:
        raise PlatformError(f"gate {gate.name}: nothing says of which day a row is; declare partitions and time")
    left = {evidence.time, *(gate.but_for or ())}
    alike = [name for name in gate.columns or evidence.frame.columns if name not in left]
    if missing := [name for name in (*alike, *(gate.but_for or ())) if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    since = (evidence.window[0] - AGAIN).isoformat()[: len("2024-01-31")]
    wanted = gate.reference or tuple(name for name in evidence.earlier_rows if name[: len(since)] >= since)
    columns = (evidence.time, *alike)
    before = evidence.earlier(wanted, columns) if wanted else evidence.frame.select(columns).clear()
    table = groups.days_again(before, evidence.frame.select(columns), evidence.time)
    judged = table.filter(pl.col("rows") >= groups.PERIOD_ROWS)
    if judged.is_empty():
        return Measurement(float("nan"), f"no day has {groups.PERIOD_ROWS} rows to compare", support=-1)
    worst = judged.row(0, named=True)
    return Measurement(
        worst["share"],
        f"{worst['again']} of {worst['rows']} rows of {worst['day']} are equal to one of an earlier day in "
        f"{', '.join(alike)}",
        support=judged.height,
        details={"days": [{**row, "day": str(row["day"])} for row in judged.head(SHOWN).iter_rows(named=True)]},
    )


@kind(
    "counts",
    "batch",
    "Share of rows in which one of `columns` is not the number of rows that agree with it in `by`",
    needs=("max",),
    requires=("columns", "by"),
)
def counts(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """What a delivery says of its own number of rows: flights of an hour, lines of an order.

    A row that is lost or comes again makes the count wrong in all the others, as long as it was counted before that
    happened. Rows that were set aside count as there; a count that is missing is wrong.
    """
    import polars as pl

    from ml_platform.validation.evidence import json_rows

    columns, by, frame = list(gate.columns or ()), list(gate.by or ()), evidence.frame
    if missing := [name for name in (*columns, *by) if name not in frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    aside = evidence.set_aside
    there = frame.select(by) if aside is None else pl.concat([frame.select(by), aside.select(by)])
    found = there.group_by(by).agg(pl.len().cast(pl.Int64).alias("(rows)"))
    table = frame.select(*by, *columns).join(found, on=by, how="left", nulls_equal=True)
    table = table.with_columns(wrong=~pl.all_horizontal(pl.col(columns).eq_missing(pl.col("(rows)"))))
    wrong = table.filter("wrong").drop("wrong").rename({"(rows)": "rows"}).unique(maintain_order=True)
    rows = int(table["wrong"].sum())
    shown = [evidence.shown({name: row[name] for name in (*by, *columns)}) for row in json_rows(wrong.head(SHOWN))]
    return Measurement(
        rows / max(frame.height, 1),
        f"{rows} rows count otherwise: {', '.join(columns)} by {', '.join(by)}"
        if rows
        else f"{', '.join(columns)} is the number of rows by {', '.join(by)}",
        support=frame.height,
        details={
            "groups": [{**row, "rows": there_} for row, there_ in zip(shown, wrong["rows"].head(SHOWN), strict=True)]
        },
    )


@kind(
    "correction",
    "batch",
    "Largest share that differs from the batch that was published first, or that a person let pass last (without "
    "partitions: from the one before): rows by key that are gone or new, but for later ones than were published, "
    "values of a column (of `columns`, where given) that are others or missing now",
    needs=("max",),
    version=2,
)
def correction(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """What another delivery of a partition changes: 0 for the first one.

    Values that were missing and are known now contradict nothing; they are shown and do not count. Neither do rows
    later than all that was published: the rest of a month that was delivered on its 12th day. What was published of
    that rest in between is held to as well, as it was published first.
    """
    from ml_platform.datasets.history import compare

    first = evidence.replaced
    if first is None:
        return Measurement(0.0, "it replaces nothing that was published", support=evidence.frame.height)
    chosen = [name for name in gate.columns or () if name not in evidence.key]
    wanted = [*evidence.key, *chosen] if chosen else evidence.frame.columns
    if missing := [name for name in (*evidence.key, *chosen) if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    before, current = _without_later(evidence, first)
    frames = (before.select(name for name in before.columns if name in wanted or not chosen), current.select(wanted))
    later = evidence.frame.height - current.height
    found = compare("", *frames, evidence.key)
    common = found.changed + found.equal
    shares = {"rows that are gone": found.removed / max(before.height, 1)}
    shares["rows that are new"] = found.added / max(current.height, 1)
    for name in (*found.new_columns, *found.lost_columns):
        shares[f"{name} (a column on one side only)"] = 1.0
    for name, rows in found.columns.items():
        shares[name] = (rows - found.filled.get(name, 0)) / max(common, 1)
    most = sorted(shares.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {share:.2%}" for name, share in most[:5] if share)
    return Measurement(
        most[0][1],
        f"{told or 'nothing'} differs from what is published ({found.changed} of {common} rows, {found.removed} gone, "
        f"{found.added} new{f'; {later} later ones are no correction' if later else ''})",
        support=before.height,
        details={
            "differences": [
                {"what": name, "share": round(share, 6), "known only now": found.filled.get(name, 0)}
                for name, share in most[:SHOWN]
            ]
        },
    )


def _without_later(evidence: BatchEvidence, before: "pl.DataFrame") -> "tuple[pl.DataFrame, pl.DataFrame]":
    """What was published first of each moment, and the batch without its rows of moments of which nothing was."""
    import polars as pl

    for sha256, frame in evidence.published_later():
        more = _later(evidence, frame, before)
        if more.height and frame.schema == before.schema:
            evidence.looked_at[f"replaced, from row {before.height + 1} on"] = sha256
            before = pl.concat([before, more])
    later = _later(evidence, evidence.frame, before)
    key = list(evidence.key)
    return before, evidence.frame.join(later.select(key), on=key, how="anti", nulls_equal=True)


def _later(evidence: BatchEvidence, frame: "pl.DataFrame", before: "pl.DataFrame") -> "pl.DataFrame":
    """Rows of ``frame`` by other keys and of later times than any before.

    A last day that is not that of the window was not over: what more there is of it is later, too.
    """
    time, window = evidence.time, evidence.window
    needed = {time, *evidence.key}
    if not time or window is None or any(needed - {*one.columns} for one in (frame, before)):
        return frame.clear()
    times, newest = comparable(frame[time], window[0]), comparable(before[time], window[0]).max()
    if newest is None:
        return frame.clear()
    within = not isinstance(window[1], datetime) and newest < window[1] - timedelta(days=1)  # type: ignore[operator]
    after = frame.filter(times >= newest if within else times > newest)
    return after.join(before, on=list(evidence.key), how="anti", nulls_equal=True)


@kind(
    "dependency",
    "batch",
    "Largest spread of one of `columns` among rows that agree in `by`, earlier batches included: range over median of "
    "numbers, share of rows with another than the most frequent value of others",
    needs=("max",),
    requires=("columns", "by"),
)
def dependency(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """A functional dependency with tolerance: where ``by`` is the same, so should ``columns`` be."""
    import polars as pl

    from ml_platform.validation import groups
    from ml_platform.validation.evidence import json_rows
    from ml_platform.validation.schema import MASK

    by = list(gate.by or ())
    table: list[dict[str, Any]] = []
    columns = [*dict.fromkeys((*by, *(gate.columns or ())))]
    earlier, now = reference_rows(evidence, gate, columns), evidence.frame.select(columns)
    rows = now
    if earlier is not None:
        # What only earlier batches have says nothing about this one.
        there = earlier.select(columns).join(now.select(by).unique(), on=by, how="semi", nulls_equal=True)
        rows = pl.concat([there, now], how="vertical_relaxed")
    for column, found in groups.spreads(rows, by, list(gate.columns or ())).items():
        masked = dict.fromkeys(("lowest", "highest"), MASK) if column in evidence.private else {}
        table += [{"column": column, **evidence.shown(row), **masked} for row in json_rows(found.head(SHOWN))]
    if not table:
        return Measurement(float("nan"), f"no row has a value of {', '.join(gate.columns or ())}", support=0)
    table.sort(key=lambda row: -row["spread"])
    worst = table[0]
    group = ", ".join(f"{name} {worst[name]}" for name in by)
    return Measurement(
        worst["spread"],
        f"{worst['column']} is {worst['lowest']} to {worst['highest']} where {group} ({worst['rows']} rows)",
        support=evidence.frame.height,
        details={"groups": table[:SHOWN]},
    )


@kind(
    "observation_age",
    "batch",
    "Age, in hours, of the oldest observation that a row was joined with: from the second of `columns` to the first",
    needs=("max",),
    requires=("columns",),
    columns=(2, 2),
)
def observation_age(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Both columns are times of the same type. An observation from after the event is no observation and fails.

    Rows without an observation do not count; those are for ``missing``.
    """
    from ml_platform.validation import groups

    assert gate.columns is not None
    columns = gate.columns
    if missing := [name for name in columns if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    event, observed = columns
    hours = groups.ages(evidence.frame[event], evidence.frame[observed])
    known = hours.drop_nulls()
    if not len(known):
        return Measurement(float("nan"), f"no row has {event} and {observed}", support=0)
    ahead = int((known < 0).sum())
    quantiles = [{"share of rows": share, "hours": known.quantile(share)} for share in (0.0, 0.5, 0.9, 0.99, 1.0)]
    oldest = float(known.max())  # type: ignore[arg-type]
    return Measurement(
        float("nan") if ahead else oldest,
        f"{ahead} rows have an observation from after the event"
        if ahead
        else f"the oldest observation is of {oldest:.1f} hours before its event",
        support=len(known),
        details={"ages": quantiles},
    )
