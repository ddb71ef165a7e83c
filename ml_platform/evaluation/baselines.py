"""Trivial models that a trained one has to beat, fitted on the training rows only."""

from typing import TYPE_CHECKING

from ml_platform.models.metrics import metrics
from ml_platform.training.parameters import Task

if TYPE_CHECKING:
    import numpy as np


def baselines(
    task: Task,
    x_train: "np.ndarray",
    y_train: "np.ndarray",
    x_holdout: "np.ndarray",
    y_holdout: "np.ndarray",
    threshold: float | None,
    linear: bool = True,
    classes: int = 0,
) -> dict[str, dict[str, float]]:
    """Metrics of each baseline on the holdout, by name.

    Binary and multiclass: ``base_rate`` (the training rows' rates for every row) and ``logistic_regression``.
    Regression: ``median`` and ``linear_regression`` (ridge). The linear ones take median-imputed, standardized
    features; ``linear=False`` leaves them out. Features are rows x features with NaN for missing.
    """
    import numpy as np

    if task == "regression":
        predictions = {"median": np.full(len(y_holdout), np.median(y_train))}
    elif task == "multiclass":
        rates = np.bincount(y_train.astype(int), minlength=classes) / len(y_train)
        predictions = {"base_rate": np.tile(rates, (len(y_holdout), 1))}
    else:
        predictions = {"base_rate": np.full(len(y_holdout), np.mean(y_train))}
    if linear:
        name = "linear_regression" if task == "regression" else "logistic_regression"
        predictions[name] = _linear(task, x_train, y_train, x_holdout)
    return {name: metrics(task, y_holdout, p, threshold) for name, p in predictions.items()}


def _linear(task: str, x: "np.ndarray", y: "np.ndarray", x_holdout: "np.ndarray") -> "np.ndarray":
    import numpy as np
    import polars as pl
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Polars takes the medians ten times as fast as scikit-learn's imputer, which sorts a masked array.
    medians = pl.from_numpy(x).fill_nan(None).median().fill_null(0.0).to_numpy()[0].astype(x.dtype)
    x, x_holdout = (np.where(np.isnan(part), medians, part) for part in (x, x_holdout))
    if task != "regression":
        # Newton-Cholesky is the fast solver for many rows and few columns.
        model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
        # Every class is among the training rows: training refuses to go without one.
        found = model.fit(x, y.astype(int)).predict_proba(x_holdout)
        return found[:, 1] if task == "binary" else found
    return make_pipeline(StandardScaler(), Ridge()).fit(x, y).predict(x_holdout)
