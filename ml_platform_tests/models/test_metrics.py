import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from ml_platform.evaluation.baselines import baselines
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    binary_metrics,
    multiclass_metrics,
    regression_metrics,
)


def sample(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = np.round(random.random(rows), 2)
    return (random.random(rows) < p).astype(float), p


def test_binary_metrics_agree_with_scikit_learn() -> None:
    y, p = sample()
    found = binary_metrics(y, p, 0.3)
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
    assert regression_metrics(y, p) == pytest.approx(
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
    found = binary_metrics(np.array(y), np.array(p[: len(y)]), threshold)
    assert all(np.isfinite(value) for value in found.values())
    assert ("auc" in found) == (0 < sum(y) < len(y))


def test_perfect_and_certain_predictions() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0])
    found = binary_metrics(y, y, 0.5)
    assert (found["auc"], found["brier"], found["brier_skill"], found["f1"]) == (1, 0, 1, 1)
    assert found["log_loss"] == pytest.approx(0, abs=1e-9)
    assert 10 < binary_metrics(y, 1 - y, 0.5)["log_loss"] < 20


def test_lengths_have_to_agree() -> None:
    with pytest.raises(PlatformError, match="2 labels and 1 predictions"):
        regression_metrics(np.zeros(2), np.zeros(1))
    with pytest.raises(PlatformError, match="0 labels"):
        binary_metrics(np.zeros(0), np.zeros(0), 0.5)


def test_baselines_are_fitted_on_training_rows_only() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(3000, 3)).astype(np.float32)
    late = (random.random(3000) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    minutes = 10 * x[:, 0] + random.normal(size=3000)
    x[:300, 1] = np.nan
    x[:2000, 2] = np.nan
    binary = baselines("binary", x[:2000], late[:2000], x[2000:], late[2000:], 0.5)
    assert binary["base_rate"]["mean_prediction"] == pytest.approx(late[:2000].mean())
    assert binary["base_rate"]["auc"] == 0.5
    assert binary["logistic_regression"]["auc"] > 0.8
    flipped = baselines("binary", x[:2000], late[:2000], x[2000:], 1 - late[2000:], 0.5)
    assert flipped["logistic_regression"]["auc"] == pytest.approx(1 - binary["logistic_regression"]["auc"])
    regression = baselines("regression", x[:2000], minutes[:2000], x[2000:], minutes[2000:], None)
    assert regression["median"]["mean_prediction"] == pytest.approx(np.median(minutes[:2000]))
    assert regression["linear_regression"]["r2"] > 0.95
    assert set(baselines("regression", x, minutes, x, minutes, None, linear=False)) == {"median"}


def test_every_compared_metric_has_a_better_side() -> None:
    y, p = sample()
    directed = set(binary_metrics(y, p, 0.5)) - {"base_rate", "mean_prediction", "selection_rate"}
    directed |= set(regression_metrics(y, p)) - {"bias", "mean_prediction", "mean_target"}
    directed |= set(multiclass_metrics(y, np.column_stack([1 - p, p]))) - {"mean_confidence"}
    assert directed == set(HIGHER_IS_BETTER)


def test_the_metrics_that_may_be_declared_are_those_that_are_measured() -> None:
    y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.2, 0.7, 0.4, 0.6])
    three = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    assert set(METRICS["binary"]) == binary_metrics(y, p, 0.5).keys()
    assert set(METRICS["regression"]) == regression_metrics(y, p).keys()
    assert set(METRICS["multiclass"]) == multiclass_metrics(np.array([0.0, 1.0, 2.0]), three).keys()
