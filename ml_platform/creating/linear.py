"""Whether a linear model does better than the generated one: then that is worth a word, and its declaration."""

from typing import TYPE_CHECKING

from ml_platform.creating.quick import QuickFit, divided, quick_fit
from ml_platform.models.checked import measured

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.declarations.model import ModelSpec

#: What is compared, by what a task predicts.
_LOSSES = {"probability": "log_loss", "classes": "log_loss", "value": "mae"}
#: From this relative difference on it is told.
_WORTH = 0.02
_STEPS = "{estimator: sklearn.impute:SimpleImputer}, {estimator: sklearn.preprocessing:StandardScaler}"


def linear_instead(
    features: "pl.DataFrame",
    names: tuple[str, ...],
    spec: "ModelSpec",
    parts: "np.ndarray",
    fit: QuickFit,
    *,
    timed: bool,
) -> str:
    """What a linear model came to on the same rows and how it is declared; empty where it is not better.

    The generated model is given all its rounds before it is said to be worse.
    """
    loss = _LOSSES[fit.task.output]
    found = measured(fit.task, fit.y, _linear(features, names, spec, parts, timed))[loss]
    if found >= fit.metrics[loss] * (1 - _WORTH):
        return ""
    whole = quick_fit(features, names, spec, parts, timed=timed, rounds=10**9).metrics[loss]
    if found >= whole * (1 - _WORTH):
        return ""
    return (
        f"a linear model does better on these rows ({loss} {found:.3g}, the generated one {whole:.3g} with all its "
        f"rounds). To take it, write: {linear_declaration(fit.task.output)}"
    )


def linear_declaration(output: str) -> str:
    """Trainer and parameters of a linear model, as ``defs.yaml`` has them."""
    estimator = "Ridge" if output == "value" else "LogisticRegression"
    return f"trainer: sklearn, parameters: {{estimator: sklearn.linear_model:{estimator}, preprocessing: [{_STEPS}]}}"


def _linear(
    features: "pl.DataFrame", names: tuple[str, ...], spec: "ModelSpec", parts: "np.ndarray", timed: bool
) -> "np.ndarray":
    import numpy as np

    from ml_platform.evaluation.baselines import linear_model
    from ml_platform.features.build import matrix

    task, found = spec.kind(), []
    for train, held in divided(features, parts, timed=timed):
        (known, y), (asked, _) = task.labels(train, spec.target), task.labels(held, spec.target)
        found.append(linear_model(task, matrix(known, names), y, matrix(asked, names)))
    return np.concatenate(found)
