"""Gates on an evaluation: is the model good enough, better than trivial, no worse than the champion, and
not too good to be true?"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.evaluation.champion import Comparison
    from ml_platform.evaluation.evaluation import Evaluation
    from ml_platform.training.first_trees import FirstTrees


def unknown(gate: Gate, what: str, known: Iterable[Any]) -> PlatformError:
    """The error of a gate that asks for what was not measured."""
    return PlatformError(f"gate {gate.name}: there is no {what}; measured: {', '.join(sorted(known)) or 'nothing'}")


def _metric(evaluation: "Evaluation", gate: Gate) -> tuple[str, float]:
    name = gate.metric or ""
    if name not in evaluation.metrics:
        raise PlatformError(
            f"gate {gate.name}: there is no metric {name!r}; measured: {', '.join(sorted(evaluation.metrics))}"
        )
    return name, evaluation.metrics[name]


@kind("performance", "evaluation", "Metric on the holdout", requires=("metric",))
def performance(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """A metric of the model on the holdout."""
    name, value = _metric(evaluation, gate)
    return Measurement(
        value,
        f"{name} is {value:.4f} on {evaluation.rows:,} rows ({gate.threshold} asked for)",
        support=evaluation.rows,
        details={"metrics": _table(evaluation.metrics)},
    )


@kind(
    "baseline",
    "evaluation",
    "Relative gain over the best trivial model, or over the one that `against` names",
    needs=("min",),
    requires=("metric",),
    options=("against",),
)
def baseline(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """How much better a metric is than that of the best baseline, as a share of the baseline's value.

    The model that always says the rate (``against: base_rate``) moves with the season as the candidate does.
    """
    name, value = _metric(evaluation, gate)
    known = {model: metrics[name] for model, metrics in evaluation.baselines.items() if name in metrics}
    if gate.against is not None and gate.against not in known:
        raise PlatformError(
            f"gate {gate.name}: no baseline {gate.against!r} has {name}; measured: {', '.join(sorted(known)) or 'none'}"
        )
    if not known:
        raise PlatformError(f"gate {gate.name}: no baseline has the metric {name!r}; take another metric")
    sign = 1 if evaluation.kind().better.get(name, True) else -1
    best = gate.against or max(known, key=lambda model: sign * known[model])
    gain = sign * (value - known[best]) / abs(known[best])
    return Measurement(
        gain,
        f"{name} {value:.4f} against {known[best]:.4f} of {best}: {gain:+.1%}",
        support=evaluation.rows,
        details={"baselines": [{"model": model, name: number} for model, number in known.items()]},
    )


def _check_champion(gate: Gate) -> None:
    if gate.min and (gate.mode == "non_inferior") == (gate.min > 0):
        raise DeclarationError(
            f"min {gate.min:g} does not fit mode {gate.mode}: non_inferior takes minus the margin, superior the least "
            "gain"
        )


@kind(
    "champion",
    "evaluation",
    "Worse bound of the gain over the champion, by paired bootstrap over days, on rows neither has seen",
    needs=("min",),
    requires=("metric", "mode"),
    check=_check_champion,
)
def champion(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """Non-inferiority: the interval's worse bound stays above a (negative) margin. Superiority: above a gain.

    In mode ``non_inferior`` ``min`` is minus the margin and may not be positive, in mode ``superior`` it is
    the least gain and may not be negative.
    """
    assert gate.min is not None
    evidence, comparison = evaluation.champion, _compared(evaluation, gate)
    if evidence is None or comparison is None:
        return _not_compared(evaluation, gate)
    return Measurement(
        comparison.gain_lower,
        f"{gate.metric} {comparison.candidate:.4f} against the champion's {comparison.champion:.4f}: gain "
        f"{comparison.gain:+.4f} [{comparison.gain_lower:+.4f}, {comparison.gain_upper:+.4f}]. {evidence.note}",
        support=evidence.rows,
        details={
            "champion": evidence.sha256,
            "comparisons": [_comparison(item) for item in evidence.comparisons.values()],
            "churn": _table(evidence.churn),
        },
    )


@kind(
    "leak_alarm",
    "evaluation",
    "Metric that is too good to be true: above `max`, or an error below `min`",
    requires=("metric",),
)
def leak_alarm(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """A metric better than the problem allows means that the outcome is among the features."""
    name, value = _metric(evaluation, gate)
    top = evaluation.importance[:5]
    return Measurement(
        value,
        f"{name} is {value:.4f}; the strongest feature is {top[0]['feature']}" if top else f"{name} is {value:.4f}",
        support=evaluation.rows,
        details={"importance": top},
    )


@kind(
    "jump",
    "evaluation",
    "Gain over the champion that is too large to be true, on rows neither has seen",
    needs=("max",),
    requires=("metric",),
)
def jump(evaluation: "Evaluation", gate: Gate) -> Measurement:
    """A model of the same problem that is suddenly much better knows what it must not: an outcome, or the holdout.

    In the metric's own unit, positive for better.
    """
    evidence, comparison = evaluation.champion, _compared(evaluation, gate)
    if evidence is None or comparison is None:
        return _not_compared(evaluation, gate)
    return Measurement(
        comparison.gain,
        f"{gate.metric} {comparison.candidate:.4f} against the champion's {comparison.champion:.4f}: gain "
        f"{comparison.gain:+.4f}",
        support=evidence.rows,
        details={"champion": evidence.sha256, "comparisons": [_comparison(comparison)]},
    )


@kind(
    "trained_on",
    "evaluation",
    "What of the model's beginning (its first trees, say; else all of it) differs from what the manifest's rows, "
    "parameters and seed give",
    limit=0,
    asks=("first_trees",),
    refits=True,
)
def trained_on(_: "Evaluation", gate: Gate, *, first_trees: "FirstTrees") -> Measurement:
    """A model that was trained on its holdout, or on anything else than its manifest says, is another one from the
    beginning. Costs the reading of the rows and two trees of hundreds; of a model without a beginning all of it."""
    found = first_trees
    rows = f"the {found.rows:,} rows of the manifest"
    if found.whole:
        reason = f"trained again as a whole on {rows}, the model is {'another' if found.different else 'the same'}"
    elif found.different:
        reason = f"{found.different} of the first {found.trees} trees are not those of {rows}"
    else:
        reason = f"the first {found.trees} trees are those of {rows}"
    return Measurement(found.different, reason, support=found.rows)


def _compared(evaluation: "Evaluation", gate: Gate) -> "Comparison | None":
    """The gate's metric beside the champion's; ``None`` where there is no champion or no row neither has seen."""
    return evaluation.champion.comparisons.get(gate.metric or "") if evaluation.champion is not None else None


def _not_compared(evaluation: "Evaluation", gate: Gate) -> Measurement:
    if evaluation.champion is None:
        return Measurement(None, "there is no other champion to compare with")
    # Without unseen rows nobody knows who is better; the way out is a later holdout.
    return Measurement(0.0, f"no comparison on {gate.metric}: {evaluation.champion.note}", support=-1)


def _comparison(item: Any) -> dict[str, Any]:
    return {
        "metric": item.metric,
        "candidate": item.candidate,
        "champion": item.champion,
        "gain": item.gain,
        "lower": item.gain_lower,
        "upper": item.gain_upper,
    }


def _table(values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"metric": name, "value": value} for name, value in values.items()]
