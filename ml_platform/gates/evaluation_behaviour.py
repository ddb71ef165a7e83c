"""Gates on an evaluation beyond its metrics: certainty, change, weak groups, robustness, explanation, size."""

from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.evaluation import unknown
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
        raise unknown(gate, f"interval of {gate.metric!r}", evaluation.intervals)
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
        raise unknown(gate, f"churn {gate.metric!r}", evidence.churn)
    return Measurement(
        evidence.churn[gate.metric],
        f"{gate.metric.replace('_', ' ')} {evidence.churn[gate.metric]:.4g} against champion {evidence.sha256[:12]}",
        support=evidence.rows,
        details={"churn": [{"measure": name, "value": value} for name, value in evidence.churn.items()]},
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
        raise unknown(gate, f"robustness {gate.metric!r}", [f"{one}_{other}" for one in kinds for other in _EFFECTS])
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
        raise unknown(gate, f"direction of {', '.join(lacking)}", evaluation.directions)
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
