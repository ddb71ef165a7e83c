"""Metrics of predictions against labels. Undefined ones are left out, never reported as NaN."""

from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.outputs import given_to_label

if TYPE_CHECKING:
    import numpy as np

#: Whether a larger value of a metric is better; the ones that are missing here have no better side.
HIGHER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "pr_auc": True,
    "brier_skill": True,
    "accuracy": True,
    "auc_macro": True,
    "f1_macro": True,
    "f1": True,
    "precision": True,
    "recall": True,
    "brier": False,
    "log_loss": False,
    "r2": True,
    "mae": False,
    "rmse": False,
    "median_ae": False,
}
#: What is measured for each task; a metric that the rows leave undefined is missing all the same.
METRICS: dict[str, tuple[str, ...]] = {
    "binary": (
        *("auc", "pr_auc", "brier_skill", "brier", "log_loss", "precision", "recall", "f1"),
        *("base_rate", "mean_prediction", "selection_rate"),
    ),
    "multiclass": ("accuracy", "log_loss", "brier", "f1_macro", "mean_confidence", "auc_macro"),
    "regression": ("mae", "median_ae", "rmse", "bias", "mean_prediction", "mean_target", "r2"),
}
#: Probabilities are kept this far from 0 and 1 in the log loss, which is infinite there.
EPSILON = 1e-7


def binary_metrics(y: "np.ndarray", p: "np.ndarray", threshold: float) -> dict[str, float]:
    """Metrics of probabilities ``p`` for labels ``y`` (0 or 1), both of shape (rows,).

    - ``auc``: probability that a random positive scores above a random negative, ties count half.
    - ``pr_auc``: average precision, sum over thresholds of (recall step) x precision.
    - ``brier``: mean of (p - y)^2; ``brier_skill``: 1 - brier / (base_rate x (1 - base_rate)).
    - ``log_loss``: mean of -ln of the probability given to what happened.
    - ``base_rate``: mean of y; ``mean_prediction``: mean of p.
    - ``precision``, ``recall``, ``f1``: of the decision p >= threshold; ``selection_rate``: its mean.

    With one class only, ``auc``, ``pr_auc`` and ``brier_skill`` are undefined and left out; so is
    ``precision`` where nothing is selected, and ``recall`` without positives.
    Raises PlatformError for empty input or different lengths.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, p = _checked(y, p)
    rate = float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    selected = p >= threshold
    hits = float(np.sum(selected * y))
    result: dict[str, float] = {}
    if 0 < rate < 1:
        result["auc"] = float(roc_auc_score(y, p))
        result["pr_auc"] = float(average_precision_score(y, p))
        result["brier_skill"] = 1 - brier / (rate * (1 - rate))
    result["brier"] = brier
    result["log_loss"] = float(np.mean(log_losses(y, p)))
    if selected.any():
        result["precision"] = hits / float(selected.sum())
    if rate > 0:
        result["recall"] = hits / float(y.sum())
        result["f1"] = 2 * hits / float(selected.sum() + y.sum())
    result["base_rate"] = rate
    result["mean_prediction"] = float(p.mean())
    result["selection_rate"] = float(selected.mean())
    return result


def regression_metrics(y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
    """Metrics of predictions ``p`` for values ``y``, both of shape (rows,), in the unit of the target.

    - ``mae``: mean of |p - y|; ``median_ae``: median of it; ``rmse``: root of the mean of (p - y)^2.
    - ``bias``: mean of p - y; ``mean_prediction``, ``mean_target``.
    - ``r2``: 1 - sum (p - y)^2 / sum (y - mean y)^2; left out where y is constant.

    Raises PlatformError for empty input or different lengths.
    """
    import numpy as np

    y, p = _checked(y, p)
    error = p - y
    spread = float(np.sum((y - y.mean()) ** 2))
    result = {
        "mae": float(np.abs(error).mean()),
        "median_ae": float(np.median(np.abs(error))),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "bias": float(error.mean()),
        "mean_prediction": float(p.mean()),
        "mean_target": float(y.mean()),
    }
    if spread > 0:
        result["r2"] = 1 - float(np.sum(error**2)) / spread
    return result


def multiclass_metrics(y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
    """Metrics of probabilities ``p`` (rows x classes) for labels ``y`` (rows,), places among the classes.

    - ``accuracy``: share of rows whose most probable class is the label.
    - ``log_loss``: mean of -ln of the probability given to what happened.
    - ``brier``: mean over rows of the sum over classes of (p - 1[label])^2, from 0 to 2.
    - ``f1_macro``: mean of the F1 of each class that happens or is decided for.
    - ``auc_macro``: mean of the AUC of each class against the rest; left out where a class does not happen.
    - ``mean_confidence``: mean of the largest probability.

    Raises PlatformError for empty input or different lengths.
    """
    import numpy as np
    from sklearn.metrics import f1_score, roc_auc_score

    y, p = _checked(y, p)
    decided, classes = p.argmax(axis=1), range(p.shape[1])
    result = {
        "accuracy": float(np.mean(decided == y)),
        "log_loss": float(np.mean(log_losses(y, p))),
        "brier": float(np.mean(brier_losses(y, p))),
        "f1_macro": float(f1_score(y.astype(int), decided, average="macro")),
        "mean_confidence": float(p.max(axis=1).mean()),
    }
    if len(np.unique(y)) == len(classes):
        result["auc_macro"] = float(np.mean([roc_auc_score(y == place, p[:, place]) for place in classes]))
    return result


def metrics(task: str, y: "np.ndarray", p: "np.ndarray", threshold: float | None) -> dict[str, float]:
    """:func:`binary_metrics`, :func:`multiclass_metrics` or :func:`regression_metrics`, by task."""
    if task == "multiclass":
        return multiclass_metrics(y, p)
    if task == "binary":
        if threshold is None:
            raise PlatformError("evaluation: a binary model needs a decision threshold")
        return binary_metrics(y, p, threshold)
    return regression_metrics(y, p)


def log_losses(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """-ln of the probability given to what happened, per row."""
    import numpy as np

    if p.ndim == 2:
        return -np.log(np.clip(given_to_label(y, p), EPSILON, None))
    return -np.log(np.clip(np.where(y > 0, p, 1 - p), EPSILON, None))


def brier_losses(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """Squared distance of the probabilities from what happened, per row; of several classes their sum."""
    if p.ndim == 2:
        return (p**2).sum(axis=1) - 2 * given_to_label(y, p) + 1
    return (p - y) ** 2


def _checked(y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    if len(y) != len(p) or not len(y):
        raise PlatformError(f"evaluation: {len(y)} labels and {len(p)} predictions; give one of each per row")
    return np.asarray(y, np.float64), np.asarray(p, np.float64)
