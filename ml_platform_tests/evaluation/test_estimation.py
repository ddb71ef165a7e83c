"""Performance before outcomes come: right where outputs mean what they say, off where they do not, and it says so."""

from typing import Any

import numpy as np
import pytest

from ml_platform.evaluation.estimation import ROWS, Estimator, Labelled, back_test, errors
from ml_platform.models.task import Task, task_of

BINARY = task_of("binary", (), 0.3)
CLASSES = task_of("multiclass", ("a", "b", "c"))


def binary(seed: int, rows: int = 20_000, *, harder: float = 1.0, shift: float = 0.0) -> Labelled:
    """Probabilities that are too sure of themselves in a way that stays; ``harder`` rows lie nearer to each other."""
    random = np.random.default_rng(seed)
    logit = random.normal(-1, 1.5 / harder, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-logit)) + shift).astype(float)
    return Labelled(y, 1 / (1 + np.exp(-2 * logit)))


def several(seed: int, rows: int = 20_000, even: float = 1.0) -> Labelled:
    random = np.random.default_rng(seed)
    p = random.dirichlet((2 * even, 1 * even, 0.5 * even), rows)
    return Labelled((p.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(0, 2).astype(float), p)


def compared(task: Task, reference: Labelled, now: Labelled) -> dict[str, tuple[float, float]]:
    estimated, actual = Estimator(task, [reference]).estimate(now.p), task.measure(now.y, now.p)
    return {name: (estimated[name], actual[name]) for name in estimated}


@pytest.mark.parametrize("harder", [1.0, 2.0, 4.0])
def test_where_inputs_move_and_their_meaning_stays_the_estimate_is_right(harder: float) -> None:
    found = compared(BINARY, binary(1), binary(2, harder=harder))
    assert {"auc", "pr_auc", "brier", "log_loss", "precision", "recall", "f1", "base_rate"} == found.keys()
    for name, (estimated, actual) in found.items():
        assert estimated == pytest.approx(actual, abs=0.025), name
    usual = compared(BINARY, binary(1), binary(2))["auc"][1]
    if harder > 1:
        assert found["auc"][1] < usual - 0.05, "it is another performance that was estimated"


def test_a_changed_meaning_is_not_seen_and_shows_in_the_back_test() -> None:
    found = compared(BINARY, binary(1), binary(2, shift=0.25))
    assert found["base_rate"][0] < found["base_rate"][1] - 0.15
    history = {"1": binary(1), "2": binary(2), "3": binary(3, shift=0.25)}
    tested = back_test(BINARY, history)
    assert [one.partition for one in tested] == ["2", "3"]
    assert errors(tested[:1])["brier"] < 0.01 < 0.03 < errors(tested)["brier"]


@pytest.mark.parametrize("even", [1.0, 3.0])
def test_of_several_classes(even: float) -> None:
    found = compared(CLASSES, several(1), several(2, even=even))
    assert found.keys() == {"accuracy", "brier", "log_loss", "auc_macro"}
    for name, (estimated, actual) in found.items():
        assert estimated == pytest.approx(actual, abs=0.02), name


def test_of_values_losses_are_those_of_rows_with_about_the_same_output() -> None:
    def values(seed: int, centre: float) -> Labelled:
        random = np.random.default_rng(seed)
        p = random.normal(centre, 10, 20_000)
        return Labelled(p + random.normal(0, 2 + np.abs(p) / 4), p)

    task = task_of("regression")
    near, far = compared(task, values(1, 0), values(2, 0)), compared(task, values(1, 0), values(2, 8))
    for found in (near, far):
        assert found.keys() == {"mae", "rmse", "mean_target"}
        assert found["mae"][0] == pytest.approx(found["mae"][1], rel=0.1)
    assert far["mae"][0] > near["mae"][0] + 0.3


@pytest.mark.slow
def test_an_expected_metric_is_the_mean_over_outcomes_that_could_have_come() -> None:
    """By brute force: outcomes drawn a thousand times from the calibrated probabilities."""
    reference, now = binary(1, 3000), binary(2, 400)
    estimator = Estimator(BINARY, [reference])
    c = estimator._calibration.of(now.p)[:, 0]
    random = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(1000):
        for name, value in BINARY.measure((random.random(len(c)) < c).astype(float), now.p).items():
            drawn.setdefault(name, []).append(value)
    for name, value in estimator.estimate(now.p).items():
        assert value == pytest.approx(float(np.mean(drawn[name])), abs=0.01), name


def test_partitions_with_few_outcomes_are_not_tested() -> None:
    few = binary(2, ROWS - 1)
    assert back_test(BINARY, {"1": binary(1), "2": few}) == []
    assert [one.partition for one in back_test(BINARY, {"1": few, "2": binary(3), "3": binary(4)})] == ["3"]
    assert errors([]) == {}


def test_one_class_alone_has_no_ranking() -> None:
    nobody = Labelled(np.zeros(1000), np.full(1000, 0.1))
    estimated: dict[str, Any] = Estimator(BINARY, [nobody]).estimate(nobody.p)
    assert "auc" not in estimated and estimated["base_rate"] == 0
