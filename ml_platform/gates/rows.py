"""Gates on a staged batch that hold rows against each other: the same flight twice, a route of two lengths."""

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.data import reference_rows
from ml_platform.gates.gate import Gate, Measurement, kind

#: Rows of a table that are kept with a verdict.
SHOWN = 20


@kind(
    "near_duplicates",
    "batch",
    "Share of rows that are equal to another one in every column but those of `but_for`",
    needs=("max",),
    requires=("but_for",),
)
def near_duplicates(evidence: BatchEvidence, gate: Gate) -> Measurement:
    """Rows that came twice under new keys. Rows beyond the first of each such group count."""
    from ml_platform.validation import groups
    from ml_platform.validation.evidence import json_rows
    from ml_platform.validation.schema import mask

    but_for = gate.but_for or ()
    if missing := [name for name in but_for if name not in evidence.frame.columns]:
        raise PlatformError(f"gate {gate.name}: the batch has no column {', '.join(missing)}")
    count, repeated = groups.near_duplicates(evidence.frame, but_for)
    key = [name for name in evidence.key if name in repeated.columns]
    shown = mask(repeated.select(key), evidence.schema).with_columns(repeated["rows"]).head(5)
    return Measurement(
        count / max(evidence.frame.height, 1),
        f"{count} rows are equal to another one but for {', '.join(but_for)}" if count else "no two rows are alike",
        support=evidence.frame.height,
        details={"samples": json_rows(shown)},
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

    by = list(gate.by or ())
    table = []
    for column in gate.columns or ():
        earlier = reference_rows(evidence, gate, [*by, column])
        now = evidence.frame.select(*by, column)
        rows = now if earlier is None else pl.concat([earlier.select(*by, column), now], how="vertical_relaxed")
        # What only earlier batches have says nothing about this one.
        found = groups.spread(rows.join(now.select(by).unique(), on=by, how="semi", nulls_equal=True), by, column)
        table += [{"column": column, **row} for row in found.head(SHOWN).iter_rows(named=True)]
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
