"""Trivial models that a trained one has to beat, fitted on the training rows only."""

from typing import TYPE_CHECKING

from ml_platform.models.checked import measured
from ml_platform.models.dry_run import trivial_models
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np


def baselines(
    task: Task,
    x_train: "np.ndarray",
    y_train: "np.ndarray",
    x_holdout: "np.ndarray",
    y_holdout: "np.ndarray",
    linear: bool = True,
) -> dict[str, dict[str, float]]:
    """Metrics of each baseline on the holdout, by name: those of the task, and a linear model.

    ``logistic_regression`` of probabilities, ``linear_regression`` (ridge) of values; they take median-imputed,
    standardized features, ``linear=False`` leaves them out. Features are rows x features with NaN for missing.
    """
    predictions = task.baselines(y_train, len(y_holdout))
    if linear:
        predictions[linear_name(task)] = linear_model(task, x_train, y_train, x_holdout)
    return {name: measured(task, y_holdout, p) for name, p in predictions.items()}


def linear_name(task: Task) -> str:
    """What the linear model is called beside the trivial ones of a task."""
    return "linear_regression" if task.output == "value" else "logistic_regression"


def baseline_names(task: Task) -> tuple[str, ...]:
    """What :func:`baselines` measures, by name, known without data. Raises what a task of a user's own raises."""
    return (*trivial_models(task), linear_name(task))


def linear_model(task: Task, x: "np.ndarray", y: "np.ndarray", x_holdout: "np.ndarray") -> "np.ndarray":
    """Predictions of a linear model, as :func:`baselines` measures them."""
    import numpy as np
    import polars as pl
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Polars takes the medians ten times as fast as scikit-learn's imputer, which sorts a masked array.
    medians = pl.from_numpy(x).fill_nan(None).median().fill_null(0.0).to_numpy()[0].astype(x.dtype)
    x, x_holdout = (np.where(np.isnan(part), medians, part) for part in (x, x_holdout))
    if task.output == "value":
        return make_pipeline(StandardScaler(), Ridge()).fit(x, y).predict(x_holdout)
    # Newton-Cholesky is the fast solver for many rows and few columns.
    model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
    # Every class is among the training rows: training refuses to go without one.
    found = model.fit(x, y.astype(int)).predict_proba(x_holdout)
    return found[:, 1] if task.output == "probability" else found
