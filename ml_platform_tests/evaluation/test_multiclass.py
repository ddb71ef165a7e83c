"""Metrics, comparison, fairness and tables of several classes, against scikit-learn and plain counting."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from ml_platform.evaluation.baselines import baselines
from ml_platform.evaluation.bootstrap import weighted
from ml_platform.evaluation.champion import compare
from ml_platform.evaluation.fairness import fairness, fairness_by_class
from ml_platform.evaluation.tables import confusion_table, group_table
from ml_platform.foundation.errors import PlatformError
from ml_platform.models import outputs
from ml_platform.models.task import task_of
from ml_platform_tests.training.synthetic import fit

CLASSES = ("early", "on time", "late")
TASK = task_of("multiclass", CLASSES)


def sample(rows: int = 4000, noise: float = 1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that know something about them."""
    random = np.random.default_rng(7)
    y = random.integers(0, 3, rows)
    logits = 1.5 * np.eye(3)[y] + noise * np.random.default_rng(seed).normal(size=(rows, 3))
    p = np.exp(logits)
    return y.astype(float), p / p.sum(axis=1, keepdims=True)


def test_metrics_are_those_of_scikit_learn() -> None:
    y, p = sample()
    found = TASK.measure(y, p)
    assert found["accuracy"] == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
    assert found["log_loss"] == pytest.approx(log_loss(y, p))
    assert found["f1_macro"] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
    assert found["auc_macro"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert found["brier"] == pytest.approx(((p - np.eye(3)[y.astype(int)]) ** 2).sum(axis=1).mean())
    assert set(found) - {"mean_confidence"} <= set(TASK.better)
    assert "auc_macro" not in TASK.measure(np.zeros(10), p[:10])


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "brier", "f1_macro", "auc_macro"])
def test_a_weighted_metric_is_that_of_the_drawn_rows(metric: str) -> None:
    y, p = sample(600)
    codes = np.arange(600) % 20
    weights = np.random.default_rng(3).multinomial(20, np.full(20, 1 / 20), size=4).astype(float)
    found = weighted(metric, TASK, y, p, codes, 20)(weights)
    for value, drawn in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(600), drawn[codes].astype(int))
        assert value == pytest.approx(TASK.measure(y[rows], p[rows])[metric])


def test_the_better_of_two_models_wins_and_one_beside_itself_gains_nothing() -> None:
    y, better = sample(noise=0.7, seed=1)
    _, worse = sample(noise=2.0, seed=2)
    days = np.arange(len(y)) % 40
    for metric in ("accuracy", "log_loss", "f1_macro", "auc_macro"):
        assert compare(TASK, y, better, worse, days, metric, 200).gain_lower > 0
        same = compare(TASK, y, better, better, days, metric, 200)
        assert (same.gain, same.gain_lower, same.gain_upper) == (0, 0, 0)
    with pytest.raises(PlatformError, match="'auc' is not one of auc_macro, f1_macro, brier"):
        compare(TASK, y, better, worse, days, "auc", 200)


def test_decisions_and_distances() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    q = np.array([[0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    assert outputs.flipped(p, q, None) == 0.5
    np.testing.assert_allclose(outputs.distance(p, q), [0.2, 0])
    # Two classes as a binary model: the same distance.
    binary = np.array([0.3, 0.9])
    both = np.column_stack([1 - binary, binary])
    np.testing.assert_allclose(outputs.distance(both, both[::-1]), np.abs(binary - binary[::-1]))
    assert outputs.flipped(binary, binary, None) is None


def test_fairness_names_the_class_that_is_decided_most_unequally() -> None:
    y, p = sample()
    random = np.random.default_rng(5)
    group = random.choice(["a", "b"], len(y))
    # Nobody in group b is ever told that it will be late.
    p[group == "b", 2] = 0
    frame = pl.DataFrame({"g": group, "label": y}).with_columns(outputs.series("prediction", p))
    days = pl.Series(np.arange(len(y)) % 30)
    found = fairness_by_class(frame, "g", CLASSES, days, 100, 20, 200)
    worst = found.disparities["demographic_parity_difference"]
    assert worst.of == "late" and found.groups == ("a", "b")
    selected = p[group == "a"].argmax(axis=1) == 2
    assert worst.value == pytest.approx(selected.mean())
    assert found.disparities["demographic_parity_ratio"].value == 0
    alone = fairness(outputs.of_class(frame, 2), "g", 0.5, days, 100, 20, 200)
    assert alone.disparities["demographic_parity_difference"].value == worst.value


def test_tables_count_the_rows() -> None:
    y, p = sample(500)
    table = confusion_table(y, p, CLASSES)
    assert sum(row["rows"] for row in table) == 500
    assert table[1]["decided late"] == int(((y == 1) & (p.argmax(axis=1) == 2)).sum())
    frame = pl.DataFrame({"label": y}).with_columns(outputs.series("prediction", p))
    (row,) = group_table(frame, pl.lit("all"), TASK, 100, 50)
    expected = TASK.measure(y, p)
    measured = {name: row[name] for name in ("accuracy", "log_loss", "mean_confidence")}
    assert measured == pytest.approx({name: expected[name] for name in measured})


def test_baselines_know_the_shares_of_the_classes() -> None:
    random = np.random.default_rng(0)
    y = random.choice([0.0, 1.0, 2.0], 3000, p=[0.6, 0.3, 0.1])
    x = np.column_stack([y + random.normal(size=3000), random.normal(size=3000)]).astype(np.float32)
    found = baselines(TASK, x[:2000], y[:2000], x[2000:], y[2000:])
    assert found["base_rate"]["auc_macro"] == 0.5
    assert found["base_rate"]["accuracy"] == pytest.approx(np.mean(y[2000:] == 0))
    assert found["logistic_regression"]["log_loss"] < found["base_rate"]["log_loss"]


def test_labels_are_texts_or_numbers_and_classes_have_to_happen() -> None:
    random = np.random.default_rng(0)
    names = [CLASSES[place] for place in random.integers(0, 3, 300)]
    frame = pl.DataFrame({"outcome": [*names, None], "x": random.normal(size=301).astype(np.float32)})
    known, y = TASK.labels(frame, "outcome")
    assert known.height == 300
    assert [CLASSES[int(value)] for value in y] == names
    numbers = pl.DataFrame({"code": [2, 0, 1]})
    assert task_of("multiclass", ("0", "1", "2")).labels(numbers, "code")[1].tolist() == [2, 0, 1]

    def trained(*classes: str) -> np.ndarray:
        done = fit([frame], "outcome", "multiclass", classes=classes, names=("x",), rounds=3, max_depth=2)
        return done.predictor.predict(np.zeros((1, 1), np.float32))

    one = trained(*CLASSES)
    assert one.shape == (1, 3) and one.sum() == pytest.approx(1)
    with pytest.raises(PlatformError, match="holds late, not among the classes early, on time, never"):
        trained("early", "on time", "never")
    with pytest.raises(PlatformError, match="no row has the outcome never"):
        trained(*CLASSES, "never")
