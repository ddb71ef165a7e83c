"""Gates on an evaluation beyond its metrics: certainty, change, weak groups, robustness, explanation, size."""

from typing import TYPE_CHECKING, Any

from ml_platform.evaluation.fairness import DISPARITIES
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation
    from ml_platform.evaluation.latency import OneRow

#: Rows of a table that are kept with a verdict.
SHOWN = 20
#: What is done to the inputs, in words; and the field of what it is measured by.
_WORDS = {
    "missing": "missing",
    "noise": "under noise",
    "extreme": "stuck at its smallest or largest value",
    "unseen": "never seen before",
    "worst_case": "moved to where it hurts most",
}
_EFFECTS = {"loss": "loss", "flipped": "flipped", "difference": "mean_absolute_difference"}


def _unknown(gate: Gate, what: str, known: Any) -> PlatformError:
    return PlatformError(f"gate {gate.name}: there is no {what}; measured: {', '.join(sorted(known)) or 'nothing'}")


@kind(
    "confidence",
    "evaluation",
    "Worse bound of the 95 % interval of a metric, by bootstrap over days",
    requires=("metric",),
)
def confidence(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """The metric that a bad draw of days would still give."""
    found = evaluation.intervals.get(gate.metric or "")
    if found is None:
        raise _unknown(gate, f"interval of {gate.metric!r}", evaluation.intervals)
    return Measurement(
        found.worse,
        f"{gate.metric} is {found.value:.4f} [{found.lower:.4f}, {found.upper:.4f}] over {found.clusters} clusters",
        support=evaluation.rows,
        details={
            "intervals": [
                {"metric": name, "value": one.value, "lower": one.lower, "upper": one.upper}
                for name, one in evaluation.intervals.items()
            ]
        },
    )


@kind(
    "calibration",
    "evaluation",
    "Expected calibration error: mean distance of predicted and actual over quantile bins",
    needs=("max",),
)
def calibration(evaluation: "Evaluation", _: Gate) -> Measurement:
    """On the scale of the prediction: probability, or the unit of the target."""
    worst = max(evaluation.calibration, key=lambda row: abs(row["mean_label"] - row["mean_prediction"]))
    return Measurement(
        evaluation.calibration_error,
        f"calibration error {evaluation.calibration_error:.4g}; furthest off where {worst['mean_prediction']:.4g} is "
        f"predicted and {worst['mean_label']:.4g} happens",
        support=evaluation.rows,
        details={"bins": evaluation.calibration},
    )


@kind(
    "churn",
    "evaluation",
    "Change of outputs against the champion: `flipped` decisions, `mean_` or `p95_absolute_difference`",
    needs=("max",),
    requires=("metric",),
    metrics=("flipped", "mean_absolute_difference", "p95_absolute_difference"),
)
def churn(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """How much the users of the predictions would notice, on rows that neither model has seen."""
    evidence = evaluation.champion
    if evidence is None:
        return Measurement(None, "there is no other champion to compare with")
    if not evidence.rows:
        return Measurement(0.0, f"no output compared: {evidence.note}", support=-1)
    if gate.metric not in evidence.churn:
        raise _unknown(gate, f"churn {gate.metric!r}", evidence.churn)
    return Measurement(
        evidence.churn[gate.metric],
        f"{gate.metric.replace('_', ' ')} {evidence.churn[gate.metric]:.4g} against champion {evidence.sha256[:12]}",
        support=evidence.rows,
        details={"churn": [{"measure": name, "value": value} for name, value in evidence.churn.items()]},
    )


@kind(
    "slices",
    "evaluation",
    "How much worse a metric is in the worst slice than overall, over slices by one and by two columns; with `against: "
    "others` than in the other slices of the same columns (or of `month`), by the lower bound of the 95 % interval",
    needs=("max",),
    requires=("metric",),
    options=("against",),
    against=("others",),
)
def slices(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Worst slice; ``columns`` restricts the slice columns, ``min_support`` asks for more rows than the evaluation."""
    if gate.against:
        return _against_others(evaluation, gate)
    name = gate.metric or ""
    wanted = set(gate.columns or evaluation.slices)
    if lacking := sorted(wanted - evaluation.slices.keys()):
        raise _unknown(gate, f"slice column {', '.join(lacking)}", evaluation.slices)
    tables = {column: rows for column, rows in evaluation.slices.items() if column in wanted}
    tables |= {pair: rows for pair, rows in evaluation.slice_pairs.items() if set(pair.split(_BY)) <= wanted}
    if name not in evaluation.metrics or not any(name in row for rows in tables.values() for row in rows):
        raise _unknown(
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
        return Measurement(float("nan"), "no slice has enough rows", support=-1)
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
        raise _unknown(gate, f"contrast of {', '.join(lacking)}", evaluation.options.contrasts)
    tables = {by: table for by, table in evaluation.contrasts.items() if set(by.split(_BY)) <= wanted}
    if tables and not any(name in table for table in tables.values()):
        raise _unknown(gate, f"metric {name!r} of slices", {metric for table in tables.values() for metric in table})
    judged = [(by, one) for by, table in tables.items() for one in table.get(name, []) if one.rows >= gate.min_support]
    if not judged:
        return Measurement(float("nan"), "no two slices have enough rows", support=-1)
    judged.sort(key=lambda pair: -pair[1].lower)
    by, worst = judged[0]
    return Measurement(
        worst.lower,
        f"{name} is {worst.value:.4f} where {by} is {worst.group} ({worst.rows:,} rows), {worst.others:.4f} in the "
        f"others: worse by {worst.worse:.4f} [{worst.lower:.4f}, {worst.upper:.4f}]; {len(judged)} slices judged",
        support=min(one.rows for _, one in judged),
        details={"slices": [{"slice": column, **one.model_dump()} for column, one in judged[:SHOWN]]},
    )


@kind(
    "fairness",
    "evaluation",
    "Disparity between the groups of each of `columns`, by Fairlearn's definitions "
    "(demographic_parity_ and equalized_odds_, _difference and _ratio)",
    requires=("metric", "columns"),
    metrics=DISPARITIES,
)
def fairness(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Worst disparity of the columns: largest difference, smallest ratio. Small groups are shown, not judged."""
    name = gate.metric or ""
    if evaluation.kind().output == "value":
        raise PlatformError(f"gate {gate.name}: decisions have disparities, values have none; use the gate slices")
    if lacking := sorted(set(gate.columns or ()) - evaluation.fairness.keys()):
        raise _unknown(gate, f"fairness by {', '.join(lacking)}", evaluation.fairness)
    if name.endswith("_ratio") == (gate.min is None):
        raise PlatformError(f"gate {gate.name}: a ratio has a min (1 is parity), a difference a max (0 is parity)")
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
        return Measurement(0.0, f"{', '.join(lacking)}: fewer than two groups have enough rows", support=-1)
    if any(name not in found.disparities for found in judged.values()):
        raise _unknown(gate, f"disparity {name!r}", {row["disparity"] for row in table})
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


@kind(
    "robustness",
    "evaluation",
    "Worst effect of disturbed inputs: `missing`, `noise`, `extreme`, `unseen` (categories) or `worst_case` (found by "
    "bounded search), then `_loss` (of AUC, or in MAE), `_flipped` (decisions) or `_difference` (of outputs)",
    needs=("max",),
    requires=("metric",),
    metrics=tuple(f"{how}_{effect}" for how in _WORDS for effect in _EFFECTS),
    refits=tuple(f"{how}_{effect}" for how in _WORDS for effect in _EFFECTS if effect != "loss"),
)
def robustness(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Features are missing, noisy, stuck, made from raw values that nobody knows, or moved to where it hurts most."""
    disturbed, _, measure = (gate.metric or "").rpartition("_")
    kinds = {one.kind for one in evaluation.robustness}
    if disturbed not in kinds:
        raise _unknown(gate, f"robustness {gate.metric!r}", [f"{one}_{other}" for one in kinds for other in _EFFECTS])
    table: list[dict[str, Any]] = [
        {"disturbed": one.name, measure: getattr(one, _EFFECTS[measure]), "rows": one.rows or evaluation.rows}
        for one in evaluation.robustness
        if one.kind == disturbed
    ]
    table = [row for row in table if row[measure] is not None]
    if not table:
        raise PlatformError(f"gate {gate.name}: {measure} is not defined for this model; take another measure")
    table.sort(key=lambda row: -row[measure])
    worst = table[0]
    return Measurement(
        worst[measure],
        f"{measure} {worst[measure]:.4g} at worst, with {worst['disturbed']} {_WORDS[disturbed]}",
        support=worst["rows"],
        details={"disturbances": table[:SHOWN]},
    )


@kind(
    "monotonic",
    "evaluation",
    "Largest share of sampled rows whose prediction falls on the way when a feature of `increasing` is raised along "
    "its quantiles, or rises for one of `decreasing`",
    needs=("max",),
    any_of=("increasing", "decreasing"),
    refits=True,
)
def monotonic(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Movement below a tenth of the predictions' standard deviation is the grain of the trees and does not count."""
    if evaluation.classes:
        raise PlatformError(f"gate {gate.name}: probabilities of several classes have no common direction; remove it")
    asked = {**dict.fromkeys(gate.increasing or (), "falls"), **dict.fromkeys(gate.decreasing or (), "rises")}
    if lacking := sorted(asked.keys() - evaluation.directions.keys()):
        raise _unknown(gate, f"direction of {', '.join(lacking)}", evaluation.directions)
    table: list[dict[str, Any]] = [
        {"feature": name, "wrong way": wrong, "share": getattr(evaluation.directions[name], wrong)}
        for name, wrong in asked.items()
    ]
    table.sort(key=lambda row: -row["share"])
    worst = table[0]
    return Measurement(
        worst["share"],
        f"the prediction {worst['wrong way']} in {worst['share']:.1%} of the rows when {worst['feature']} is raised",
        support=evaluation.directions[worst["feature"]].rows,
        details={"directions": table[:SHOWN]},
    )


@kind(
    "explanation",
    "evaluation",
    "How far the champion's explanation still holds: share of its ten strongest features that are among the "
    "candidate's (`top_features`), or of all influence that lies on the same features (`shap_values`)",
    needs=("min",),
    requires=("metric",),
    metrics=("top_features", "shap_values"),
    refits=True,
)
def explanation(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """A model that suddenly depends on other features has learnt something else, even where its metrics are alike."""
    if evaluation.champion is None:
        return Measurement(None, "there is no other champion to compare with")
    found = evaluation.stability
    if found is None or found.influence is None:
        raise PlatformError(f"gate {gate.name}: the evaluation explains nothing; evaluate the model again")
    new = [name for name in found.candidate if name not in found.champion]
    return Measurement(
        found.overlap if gate.metric == "top_features" else found.influence,
        f"{found.overlap:.0%} of the champion's strongest features are kept, {found.influence:.0%} of the influence"
        + (f"; new: {', '.join(new)}" if new else ""),
        support=len(found.champion),
        details={
            "strongest": [{"feature": name, "shap": value} for name, value in evaluation.contributions.items()][:SHOWN],
            "champion": list(found.champion),
        },
    )


@kind("model_size", "evaluation", "Size of the model file in bytes", needs=("max",), refits=True)
def model_size(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Bytes that every replica of the service loads."""
    if evaluation.model_bytes is None:
        raise PlatformError(f"gate {gate.name}: the evaluation has no size; evaluate the model again")
    return Measurement(evaluation.model_bytes, f"the model has {evaluation.model_bytes:,} bytes")


@kind(
    "model_latency",
    "evaluation",
    "99th percentile, in milliseconds, of predicting one row from its features in one thread, without a service",
    needs=("max",),
    timed=True,
    asks=("one_row",),
    refits=True,
)
def model_latency(_: "Evaluation", gate: Gate, *, one_row: "OneRow") -> Measurement:
    """Measured when it is asked, since a time is no metric that a replay could give again."""
    found = one_row
    return Measurement(
        found.p99,
        f"99 of 100 rows are predicted within {found.p99:.3f} ms",
        support=found.rows,
        details={"latency": [{f"{name} ms": getattr(found, name) for name in ("p50", "p95", "p99", "max")}]},
    )


_BY = " × "  # noqa: RUF001 - as evaluation.slices writes pairs; importing it would load the evaluation
