"""Gates on an evaluation that judge groups of rows: slices, and the disparities between those of a column."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ml_platform.evaluation.fairness import DISPARITIES
from ml_platform.evaluation.options import CLASS_ROWS, GROUP_ROWS
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.gates.evaluation import unknown
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation

#: Rows of a table that are kept with a verdict.
SHOWN = 20
_BY = " × "  # noqa: RUF001 - as evaluation.slices writes pairs; importing it would load the evaluation
#: Which groups there are, for the kinds that judge groups.
_GROUPS = (
    f"Groups count from {GROUP_ROWS} rows on, {CLASS_ROWS} of them of either class; `min_support` can ask for more"
)


def _too_small(evaluation: "Evaluation", gate: Gate, columns: Iterable[str]) -> str:
    """How large a group has to be, and how large the largest is."""
    floor, either = max(evaluation.options.min_support, gate.min_support), evaluation.options.min_positives
    classes = f", {either:,} of them of either class" if either and evaluation.kind().output != "value" else ""
    found = [(row["rows"], f"{name} {row['group']}") for name in columns for row in evaluation.slices.get(name, ())]
    rows, largest = max(found, default=(0, "none"))
    return f"it takes {floor:,} rows{classes}, and the largest of {len(found)} has {rows:,} ({largest})"


@kind(
    "slices",
    "evaluation",
    "How much worse a metric is in the worst slice than overall, over slices by one and by two columns; with `against: "
    "others` than in the other slices of the same columns (or of `month`), by the lower bound of the 95 % interval. "
    + _GROUPS,
    needs=("max",),
    requires=("metric",),
    options=("against",),
    against=("others",),
)
def slices(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Worst slice; ``columns`` restricts the slice columns, ``min_support`` asks for larger groups."""
    if gate.against:
        return _against_others(evaluation, gate)
    name = gate.metric or ""
    wanted = set(gate.columns or evaluation.slices)
    if lacking := sorted(wanted - evaluation.slices.keys()):
        raise unknown(gate, f"slice column {', '.join(lacking)}", evaluation.slices)
    tables = {column: rows for column, rows in evaluation.slices.items() if column in wanted}
    tables |= {pair: rows for pair, rows in evaluation.slice_pairs.items() if set(pair.split(_BY)) <= wanted}
    if name not in evaluation.metrics or not any(name in row for rows in tables.values() for row in rows):
        raise unknown(
            gate, f"metric {name!r} of slices", {key for rows in tables.values() for row in rows for key in row}
        )
    sign = -1 if evaluation.kind().better.get(name, True) else 1
    overall = evaluation.metrics[name]
    judged: list[dict[str, Any]] = [
        {
            "slice": column,
            "group": row["group"],
            "rows": row["rows"],
            name: row[name],
            "worse": sign * (row[name] - overall),
        }
        for column, rows in tables.items()
        for row in rows
        if row["supported"] and row["rows"] >= gate.min_support and row[name] is not None
    ]
    left_out = sum(len(rows) for column, rows in tables.items() if column in evaluation.slices) - sum(
        row["slice"] in evaluation.slices for row in judged
    )
    if not judged:
        return Measurement(
            float("nan"), f"no slice is large enough: {_too_small(evaluation, gate, wanted)}", support=-1
        )
    judged.sort(key=lambda row: -row["worse"])
    worst = judged[0]
    return Measurement(
        worst["worse"],
        f"{name} is {worst[name]:.4f} where {worst['slice']} is {worst['group']} ({worst['rows']:,} rows), "
        f"{overall:.4f} overall; {len(judged)} slices judged, {left_out} groups too small",
        support=min(row["rows"] for row in judged),
        details={"slices": judged[:SHOWN]},
    )


def _against_others(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """The slice that is worse than its like beyond what its days explain: small ones have wide intervals."""
    name = gate.metric or ""
    wanted = set(gate.columns or evaluation.slices)
    if lacking := sorted(wanted - {*evaluation.options.contrasts}):
        raise unknown(gate, f"contrast of {', '.join(lacking)}", evaluation.options.contrasts)
    tables = {by: table for by, table in evaluation.contrasts.items() if set(by.split(_BY)) <= wanted}
    if tables and not any(name in table for table in tables.values()):
        raise unknown(gate, f"metric {name!r} of slices", {metric for table in tables.values() for metric in table})
    judged = [(by, one) for by, table in tables.items() for one in table.get(name, []) if one.rows >= gate.min_support]
    if not judged:
        why = _too_small(evaluation, gate, wanted)
        return Measurement(float("nan"), f"no two slices are large enough: {why}", support=-1)
    judged.sort(key=lambda pair: -pair[1].lower)
    by, worst = judged[0]
    return Measurement(
        worst.lower,
        f"{name} is {worst.value:.4f} where {by} is {worst.group} ({worst.rows:,} rows), {worst.others:.4f} in the "
        f"others: worse by {worst.worse:.4f} [{worst.lower:.4f}, {worst.upper:.4f}]; {len(judged)} slices judged",
        support=min(one.rows for _, one in judged),
        details={"slices": [{"slice": column, **one.model_dump()} for column, one in judged[:SHOWN]]},
    )


def _check_fairness(gate: Gate) -> None:
    if str(gate.metric).endswith("_ratio") == (gate.min is None):
        raise DeclarationError("a ratio has a min (1 is parity), a difference a max (0 is parity)")


@kind(
    "fairness",
    "evaluation",
    "Disparity between the groups of each of `columns`, by Fairlearn's definitions "
    f"(demographic_parity_ and equalized_odds_, _difference and _ratio). {_GROUPS}",
    requires=("metric", "columns"),
    metrics=DISPARITIES,
    check=_check_fairness,
)
def fairness(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Worst disparity of the columns: largest difference, smallest ratio. Small groups are shown, not judged."""
    name = gate.metric or ""
    if evaluation.kind().output == "value":
        raise PlatformError(f"gate {gate.name}: decisions have disparities, values have none; use the gate slices")
    if lacking := sorted(set(gate.columns or ()) - evaluation.fairness.keys()):
        raise unknown(gate, f"fairness by {', '.join(lacking)}", evaluation.fairness)
    chosen = {column: evaluation.fairness[column] for column in gate.columns or ()}
    judged = {column: found for column, found in chosen.items() if found.disparities}
    table = [
        {"column": column, "disparity": kind_, "value": one.value, "lower": one.lower, "upper": one.upper}
        | ({"class": one.of} if one.of else {})
        for column, found in judged.items()
        for kind_, one in found.disparities.items()
    ]
    small = sum(len(found.too_small) for found in chosen.values())
    if len(judged) < len(chosen):
        lacking = sorted(chosen.keys() - judged.keys())
        why = "; ".join(f"{column}: {_too_small(evaluation, gate, [column])}" for column in lacking)
        return Measurement(0.0, f"fewer than two groups are large enough by {why}", support=-1)
    if any(name not in found.disparities for found in judged.values()):
        raise unknown(gate, f"disparity {name!r}", {row["disparity"] for row in table})
    pick = min if name.endswith("_ratio") else max
    worst = pick(judged, key=lambda column: judged[column].disparities[name].value)
    found = judged[worst].disparities[name]
    whose = f" of {found.of}" if found.of else ""
    return Measurement(
        found.value,
        f"{name.replace('_', ' ')}{whose} by {worst} is {found.value:.4f} [{found.lower:.4f}, {found.upper:.4f}] over "
        f"{len(judged[worst].groups)} groups; {small} groups too small",
        support=min(one.support for one in judged.values()),
        details={"disparities": table},
    )
