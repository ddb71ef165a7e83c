"""Thresholds that can hardly fail are warned of, where that is certain without any data."""

from typing import Any

import pytest

from ml_platform.declarations.mistakes import problems
from ml_platform.declarations.weak import impossible, weak_gates
from ml_platform.gates.gate import Measurement, kind
from ml_platform.models.regression import Regression
from ml_platform_tests.shop_project import DATASET, MODEL, REGRESSION, declared, everything, gates


def warned(task: str = MODEL, **gate: Any) -> list[str]:
    spec = declared(models={task: {"gates": [gate]}}).models[task]
    return [f"{key}: {reason}" for key, reason in weak_gates(spec)]


class Near(Regression):
    """A task that inherits."""


def test_a_task_that_inherits_is_warned_of_the_same() -> None:
    gate = {"gate": "performance", "metric": "r2", "min": -1}
    (said,) = warned(REGRESSION, **gate)
    spec = declared(models={REGRESSION: {"gates": [gate], "task": f"{__name__}:Near"}}).models[REGRESSION]
    assert [f"{key}: {reason}" for key, reason in weak_gates(spec)] == [said]


def test_a_model_of_values_with_a_threshold_decides() -> None:
    rollout = {"steps": [{"shadow": 100, "requests": 100}]}
    changes = {"gates": [SHADOW], "rollout": rollout, "decision_threshold": 3}
    spec = declared(models={REGRESSION: changes}).models[REGRESSION]
    assert impossible(spec, spec.gates[0]) is None


@pytest.mark.parametrize(("model", "threshold"), [(MODEL, 1), (MODEL, 0), (REGRESSION, float("nan"))])
def test_a_threshold_lies_among_what_the_task_predicts(model: str, threshold: float) -> None:
    with pytest.raises(ValueError, match="decision_threshold"):
        declared(models={model: {"decision_threshold": threshold}})


@kind("performance", "evaluation", "A kind of one's own, called as one of the platform", needs=("max",))
def alike(*_: Any) -> Measurement:
    return Measurement(1.0)


@pytest.mark.parametrize(
    ("task", "gate", "said"),
    [
        (MODEL, {"gate": "performance", "metric": "auc", "min": 80}, "auc is at most 1; did you mean 0.8?"),
        (MODEL, {"gate": "confidence", "metric": "auc", "min": 1.5}, "auc is at most 1"),
        (MODEL, {"gate": "performance", "metric": "brier", "max": -0.1}, "brier is never below 0"),
        (MODEL, {"gate": "leak_alarm", "metric": "brier", "max": 0.1}, "too good lies below a limit: give min"),
        (MODEL, {"gate": "leak_alarm", "metric": "auc", "min": 0.9}, "too good lies above a limit: give max"),
        (REGRESSION, {"gate": "leak_alarm", "metric": "mae", "max": 0.1}, "too good lies below a limit: give min"),
        (MODEL, {"gate": "leak_alarm", "metric": "brier", "min": 0.01}, ""),
        (REGRESSION, {"gate": "leak_alarm", "metric": "r2", "max": 0.95}, ""),
        (MODEL, {"gate": "performance", "metric": "auc", "min": 0.8}, ""),
    ],
)
def test_a_threshold_that_no_model_can_keep_is_a_mistake(task: str, gate: dict[str, Any], said: str) -> None:
    catalogue = declared(models={task: {"gates": [gate]}})
    found = [f"{key}: {reason}" for _, key, reason in problems(catalogue, catalogue.models[task])]
    assert len(found) == bool(said) and all(said in line for line in found), found


SHADOW = {"gate": "shadow", "metric": "decisions", "max": 0.02}


@pytest.mark.parametrize(
    ("task", "gate", "said"),
    [
        (MODEL, SHADOW | {"by": ["order_id"]}, ""),
        (MODEL, SHADOW | {"by": ["colour"]}, "gates.0.by: unknown column 'colour'; the prediction log has "),
        (REGRESSION, SHADOW, "gates.0.metric: gate shadow_decisions: no decision is made without `decision_threshold`"),
        (REGRESSION, SHADOW | {"metric": "latency"}, ""),
    ],
)
def test_copies_are_compared_by_what_a_model_gives(task: str, gate: dict[str, Any], said: str) -> None:
    rollout = {"steps": [{"shadow": 100, "requests": 100}]}
    catalogue = declared(models={task: {"gates": [gate], "rollout": rollout}})
    found = [f"{key}: {reason}" for _, key, reason in problems(catalogue, catalogue.models[task])]
    assert len(found) == bool(said) and all(said in line for line in found), found


def test_a_task_of_probabilities_without_a_threshold_has_no_decisions_to_compare() -> None:
    """As one of one's own may be."""
    rollout = {"steps": [{"shadow": 100, "requests": 100}]}
    spec = declared(models={MODEL: {"gates": [SHADOW], "rollout": rollout}}).models[MODEL]
    assert impossible(spec, spec.gates[0]) is None
    without = spec.model_copy(update={"decision_threshold": None})
    found = impossible(without, spec.gates[0])
    assert found == ("metric", "no decision is made without `decision_threshold`; give it, or compare outputs")


@pytest.mark.parametrize(
    "steps",
    [[], [{"weight": 10}], [{"weight": 10, "shadow": 100}], [{"shadow": 100}, {"seconds": 9}, {"weight": 10}]],
)
def test_a_gate_on_copies_needs_a_step_that_makes_some(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"let the last step of `rollout\.steps` before one with a weight"):
        declared(models={MODEL: {"gates": [SHADOW], "rollout": {"steps": steps}}})


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"gate": "performance", "metric": "auc", "min": 0.4}, "min 0.4 lets a model pass that knows nothing"),
        ({"gate": "performance", "metric": "auc", "min": 0.5}, "(its auc is 0.5)"),
        ({"gate": "confidence", "metric": "brier", "max": 0.25}, "(its brier is 0.25)"),
        ({"gate": "leak_alarm", "metric": "auc", "max": 0.999}, "nearly always right"),
        ({"gate": "champion", "metric": "auc", "min": -0.5, "mode": "non_inferior"}, "beside a perfect champion"),
        ({"gate": "jump", "metric": "auc", "max": 0.6}, "to a perfect one"),
        (
            {"gate": "slices", "metric": "auc", "max": 0.1, "min_support": 50},
            "50 lowers nothing: groups are measured",
        ),
        ({"gate": f"{__name__}:alike", "max": 1}, f"{__name__}:alike has the name of a kind of the platform; give"),
    ],
)
def test_what_is_certain_is_warned_of(gate: dict[str, Any], said: str) -> None:
    (line,) = warned(**gate)
    assert line.startswith("gates.0.")
    assert said in line


@pytest.mark.parametrize(
    "gate",
    [
        {"gate": "performance", "metric": "auc", "min": 0.51},
        {"gate": "performance", "metric": "pr_auc", "min": 0.1},
        {"gate": "performance", "metric": "brier", "max": 0.24},
        {"gate": "leak_alarm", "metric": "auc", "max": 0.98},
        {"gate": "champion", "metric": "auc", "min": -0.02, "mode": "non_inferior"},
        {"gate": "slices", "metric": "auc", "max": 0.1, "min_support": 5_000},
        {"gate": f"{__name__}:alike", "name": "mine", "max": 1},
    ],
)
def test_what_is_not_is_left_alone(gate: dict[str, Any]) -> None:
    assert not warned(**gate)


def test_regression_and_batches() -> None:
    (line,) = warned(REGRESSION, gate="performance", metric="r2", min=-0.1)
    assert "its r2 is 0" in line
    assert not warned(REGRESSION, gate="performance", metric="mae", max=1e9)
    spec = declared(dataset={"gates": [{"gate": "missing", "columns": ["a"], "max": 1.0}]}).datasets[DATASET]
    assert [reason for _, reason in weak_gates(spec)] == [
        "gate missing: max 1 never fails: what is measured is at most 1"
    ]


@pytest.mark.parametrize("kind", ["performance", "confidence"])
@pytest.mark.parametrize(("task", "metric", "wrong"), [(REGRESSION, "mae", "min"), (MODEL, "auc", "max")])
def test_a_threshold_on_the_side_where_a_metric_is_better(kind: str, task: str, metric: str, wrong: str) -> None:
    side, right = ("less", "max") if wrong == "min" else ("more", "min")
    (line,) = warned(task, gate=kind, metric=metric, **{wrong: 0.9})
    assert line == (
        f"gates.0.{wrong}: gate {kind}_{metric}: {wrong} 0.9 lets bad models pass and refuses good ones "
        f"({side} {metric} is better): give {right}"
    )
    assert not warned(task, gate=kind, metric=metric, min=0.6, max=0.9)


def test_a_stage_of_which_no_gate_blocks() -> None:
    spec = declared(models={MODEL: {"gates": [{**gate, "severity": "warn"} for gate in gates()]}}).models[MODEL]
    assert ("gates", "no gate of evaluation blocks: each has severity warn") in list(weak_gates(spec))


def test_the_shop_has_none() -> None:
    assert not [reason for spec in everything().all for _, reason in weak_gates(spec)]


def test_a_refit_that_says_the_same_of_every_row_is_no_agreement() -> None:
    few = [{"gate": "disjoint"}, {"gate": "agreement", "metric": "difference", "max": 1.2}]
    spec = declared(models={MODEL: {"split": {"holdout": 1, "refit": True}, "gates": few}}).models[MODEL]
    (found,) = weak_gates(spec)
    assert found == (
        "gates.1.max",
        "gate agreement_difference: max 1.2 lets a refit pass that says the same of every row",
    )


@pytest.mark.parametrize(("metric", "side"), [("correlation", "max"), ("difference", "min")])
def test_an_agreement_has_a_limit_on_the_side_that_is_worse(metric: str, side: str) -> None:
    few = [{"gate": "disjoint"}, {"gate": "agreement", "metric": metric, side: 0.5}]
    catalogue = declared(models={MODEL: {"split": {"holdout": 1, "refit": True}, "gates": few}})
    ((_, key, reason),) = problems(catalogue, catalogue.models[MODEL])
    assert key == "gates.1.metric" and f"the {metric} of a refit has to be" in reason
