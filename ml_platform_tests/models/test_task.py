import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from ml_platform.evaluation.baselines import baselines
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.models.task import TASKS, Task, task_of

REGRESSION = task_of("regression")


def binary(threshold: float = 0.5) -> Task:
    return task_of("binary", (), threshold)


def sample(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = np.round(random.random(rows), 2)
    return (random.random(rows) < p).astype(float), p


def test_the_cost_agrees_with_scikit_learn() -> None:
    y, p = sample()
    assert len(np.unique(p)) < len(p), "ties are part of it"
    assert binary().cost(y, p) == pytest.approx(-reference.roc_auc_score(y, p), abs=1e-12)
    assert binary().cost(np.ones(len(p)), p) is None
    classes = np.random.default_rng(1).integers(0, 3, len(p))
    parts = np.stack([p, p / 2, 1 - p], axis=1)
    mean = np.mean([reference.roc_auc_score(classes == one, parts[:, one]) for one in range(3)])
    assert task_of("multiclass", ("a", "b", "c")).cost(classes, parts) == pytest.approx(-mean, abs=1e-12)


def test_binary_metrics_agree_with_scikit_learn() -> None:
    y, p = sample()
    found = binary(0.3).measure(y, p)
    decided = p >= 0.3
    assert found == pytest.approx(
        {
            "auc": reference.roc_auc_score(y, p),
            "pr_auc": reference.average_precision_score(y, p),
            "brier": reference.brier_score_loss(y, p),
            "log_loss": reference.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)),
            "f1": reference.f1_score(y, decided),
            "precision": reference.precision_score(y, decided),
            "recall": reference.recall_score(y, decided),
            "brier_skill": reference.d2_brier_score(y, p),
            "base_rate": y.mean(),
            "mean_prediction": p.mean(),
            "selection_rate": decided.mean(),
        }
    )


def test_regression_metrics_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    y = random.normal(5, 3, 300)
    p = y + random.normal(1, 2, 300)
    assert REGRESSION.measure(y, p) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(y, p),
            "median_ae": reference.median_absolute_error(y, p),
            "rmse": reference.root_mean_squared_error(y, p),
            "r2": reference.r2_score(y, p),
            "bias": (p - y).mean(),
            "mean_prediction": p.mean(),
            "mean_target": y.mean(),
        }
    )


@given(
    y=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=20),
    p=st.lists(st.floats(0, 1), min_size=20, max_size=20),
    threshold=st.floats(0.01, 0.99),
)
def test_binary_metrics_are_finite_or_left_out(y: list[float], p: list[float], threshold: float) -> None:
    found = binary(threshold).measure(np.array(y), np.array(p[: len(y)]))
    assert all(np.isfinite(value) for value in found.values())
    assert ("auc" in found) == (0 < sum(y) < len(y))


def test_perfect_and_certain_predictions() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0])
    found = binary().measure(y, y)
    assert (found["auc"], found["brier"], found["brier_skill"], found["f1"]) == (1, 0, 1, 1)
    assert found["log_loss"] == pytest.approx(0, abs=1e-9)
    assert 10 < binary().measure(y, 1 - y)["log_loss"] < 20


def test_lengths_have_to_agree() -> None:
    with pytest.raises(PlatformError, match="2 labels and 1 predictions"):
        REGRESSION.measure(np.zeros(2), np.zeros(1))
    with pytest.raises(PlatformError, match="0 labels"):
        binary().measure(np.zeros(0), np.zeros(0))


def test_baselines_are_fitted_on_training_rows_only() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(3000, 3)).astype(np.float32)
    late = (random.random(3000) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    minutes = 10 * x[:, 0] + random.normal(size=3000)
    x[:300, 1] = np.nan
    x[:2000, 2] = np.nan
    found = baselines(binary(), x[:2000], late[:2000], x[2000:], late[2000:])
    assert found["base_rate"]["mean_prediction"] == pytest.approx(late[:2000].mean())
    assert found["base_rate"]["auc"] == 0.5
    assert found["logistic_regression"]["auc"] > 0.8
    flipped = baselines(binary(), x[:2000], late[:2000], x[2000:], 1 - late[2000:])
    assert flipped["logistic_regression"]["auc"] == pytest.approx(1 - found["logistic_regression"]["auc"])
    regression = baselines(REGRESSION, x[:2000], minutes[:2000], x[2000:], minutes[2000:])
    assert regression["median"]["mean_prediction"] == pytest.approx(np.median(minutes[:2000]))
    assert regression["linear_regression"]["r2"] > 0.95
    assert set(baselines(REGRESSION, x, minutes, x, minutes, linear=False)) == {"median"}


def test_what_is_declared_about_metrics_is_what_is_measured() -> None:
    y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.2, 0.7, 0.4, 0.6])
    three = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    multiclass = task_of("multiclass", ("a", "b", "c"))
    several = (multiclass, np.array([0.0, 1.0, 2.0]), three)
    without = {"base_rate", "mean_prediction", "selection_rate", "bias", "mean_target", "mean_confidence"}
    for task, labels, predictions in ((binary(), y, p), (REGRESSION, y, p), several):
        found = task.measure(labels, predictions)
        assert set(task.measured) == found.keys()
        assert set(task.better) == found.keys() - without
        assert set(task.compared) <= set(task.better)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (task_of("binary"), "decision_threshold: a binary model has to declare it"),
        (task_of("binary", ("a", "b"), 0.5), "classes: a binary model has none"),
        (task_of("multiclass", ("a", "b")), "classes: a multiclass model has to declare three or more"),
        (task_of("multiclass", ("a", "b", "b")), "classes: a multiclass model has to declare three or more"),
        (task_of("multiclass", ("a", "b", "c"), 0.5), "decision_threshold: .* remove it"),
        (task_of("regression", ("a",)), "classes: a regression model has none"),
    ],
)
def test_what_a_declaration_has_to_say(task: Task, reason: str) -> None:
    with pytest.raises(PlatformError, match=reason):
        task.check()


def test_a_task_is_named_or_imported() -> None:
    assert task_of("ml_platform.models.regression:Regression").name == "regression"
    with pytest.raises(DeclarationError, match=f"there is no 'ranking'; use {', '.join(TASKS)} or module"):
        task_of("ranking")
    with pytest.raises(DeclarationError, match="regression has no object 'Other'"):
        task_of("ml_platform.models.regression:Other")
