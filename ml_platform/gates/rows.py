"""Gates on a staged batch that hold rows against each other: the same flight twice, a route of two lengths."""

from typing import Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.data import reference_rows
from ml_platform.gates.gate import Gate, Measurement, kind

#: Rows of a table that are kept with a verdict.
SHOWN = 20


@kind(
    "near_duplicates",
    "batch",
    "Share of rows that are equal to another one in every column but those of `but_for`, or in `columns`",
    needs=("max",),
    any_of=("but_for", "columns"),
)
def near_duplicates(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Rows that came twice under new keys. Rows beyond the first of each such group count.

    ``columns`` say what cannot be twice, whatever else is different: one aeroplane at one instant. Rows that lack one
    of them do not count.
    """
    from ml_platform.validation import groups
    from ml_platform.validation.evidence import json_rows

    if gate.but_for and gate.columns:
        raise PlatformError(f"gate {gate.name}: say in which columns rows may differ or may not: but_for or columns")
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


@kind(
    "correction",
    "batch",
    "Largest share that differs from the batch that was published first, or that a person let pass last (without "
    "partitions: from the one before): rows by key that are gone or new, "
    "values of a column (of `columns`, where given) that are others or missing now",
    needs=("max",),
)
def correction(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """What another delivery of a partition changes: 0 for the first one.

    Values that were missing and are known now contradict nothing; they are shown and do not count.
    """
    from ml_platform.datasets.history import compare

    before = evidence.replaced
    if before is None:
        return Measurement(0.0, "it replaces nothing that was published", support=evidence.frame.height)
    chosen = [name for name in gate.columns or () if name not in evidence.key]
    wanted = [*evidence.key, *chosen] if chosen else evidence.frame.columns
    if missing := [name for name in (*evidence.key, *chosen) if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    frames = (
        before.select(name for name in before.columns if name in wanted or not chosen),
        evidence.frame.select(wanted),
    )
    found = compare("", *frames, evidence.key)
    common = found.changed + found.equal
    shares = {"rows that are gone": found.removed / max(before.height, 1)}
    shares["rows that are new"] = found.added / max(evidence.frame.height, 1)
    for name in (*found.new_columns, *found.lost_columns):
        shares[f"{name} (a column on one side only)"] = 1.0
    for name, rows in found.columns.items():
        shares[name] = (rows - found.filled.get(name, 0)) / max(common, 1)
    most = sorted(shares.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {share:.2%}" for name, share in most[:5] if share)
    return Measurement(
        most[0][1],
        f"{told or 'nothing'} differs from what is published ({found.changed} of {common} rows, {found.removed} gone, "
        f"{found.added} new)",
        support=before.height,
        details={
            "differences": [
                {"what": name, "share": round(share, 6), "known only now": found.filled.get(name, 0)}
                for name, share in most[:SHOWN]
            ]
        },
    )


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
    for column in gate.columns or ():
        found = groups.spread(rows, by, column)
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
)
def observation_age(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Both columns are times of the same type. An observation from after the event is no observation and fails.

    Rows without an observation do not count; those are for ``missing``.
    """
    from ml_platform.validation import groups

    columns = gate.columns or ()
    if len(columns) != 2:
        raise PlatformError(f"gate {gate.name}: columns are two, the time of the event and that of the observation")
    if missing := [name for name in columns if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    hours = groups.ages(evidence.frame[columns[0]], evidence.frame[columns[1]])
    known = hours.drop_nulls()
    if not len(known):
        return Measurement(float("nan"), f"no row has {columns[0]} and {columns[1]}", support=0)
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
