"""Whether a linear model does better than the generated one: then that is worth a word, and its declaration."""

from typing import TYPE_CHECKING

from ml_platform.creating.quick import LOSSES, QuickFit, divided
from ml_platform.models.checked import measured

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.declarations.model import ModelSpec

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
    once: bool,
) -> str:
    """What a linear model came to on the same rows and how it is declared; empty where it is not better."""
    loss = LOSSES[fit.task.output]
    found = measured(fit.task, fit.y, _linear(features, names, spec, parts, once))[loss]
    if found >= fit.loss * (1 - _WORTH):
        return ""
    return (
        f"a linear model does better on these rows ({loss} {found:.3g}, the generated one {fit.loss:.3g}). To take it, "
        f"write: {linear_declaration(fit.task.output)}"
    )


def linear_declaration(output: str) -> str:
    """Trainer and parameters of a linear model, as ``defs.yaml`` has them."""
    estimator = "Ridge" if output == "value" else "LogisticRegression"
    return f"trainer: sklearn, parameters: {{estimator: sklearn.linear_model:{estimator}, preprocessing: [{_STEPS}]}}"


def _linear(
    features: "pl.DataFrame", names: tuple[str, ...], spec: "ModelSpec", parts: "np.ndarray", once: bool
) -> "np.ndarray":
    import numpy as np

    from ml_platform.evaluation.baselines import linear_model
    from ml_platform.features.build import matrix

    task, found = spec.kind(), []
    for train, held in divided(features, parts, once=once):
        (known, y), (asked, _) = task.labels(train, spec.target), task.labels(held, spec.target)
        found.append(linear_model(task, matrix(known, names), y, matrix(asked, names)))
    return np.concatenate(found)
