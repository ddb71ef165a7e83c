"""What can be measured of a refit: it has learned from every outcome there is, so nothing here reads one.

Its metrics are those of the model of the same recipe that was judged on rows which it did not learn from.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.evaluate import Loaded
from ml_platform.evaluation.explanation import Stability, contributions, stability
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.robustness import Disturbance, Unseen, robustness
from ml_platform.evaluation.search import Direction, directions
from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.models import outputs
from ml_platform.models.task import Task, task_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class RefittedBeside(BaseModel):
    """The champion beside which a refit was explained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str


class RefitEvaluation(BaseModel):
    """A refit beside the judged model; fields named as in an :class:`~ml_platform.evaluation.evaluation.Evaluation`
    mean the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    #: The judged model, as its reference names it.
    judged: str
    task: str
    classes: tuple[str, ...]
    threshold: float | None
    #: Rows of the judged model's holdout, with and without a label.
    rows: int
    #: Mean distance of the outputs of both models; of several classes the total variation.
    difference: float
    #: Pearson's correlation of the outputs of both, over all classes where there are some; NaN where one says the same
    #: of every row and the other does not.
    correlation: float
    #: Mean distance of the judged model's outputs from their mean, and the same of the refit's.
    spread: float
    refit_spread: float
    #: Mean output; of several classes the largest of the means.
    judged_mean: float
    refit_mean: float
    #: Share of rows that both decide differently; None where nothing is decided.
    flipped: float | None
    model_bytes: int
    directions: dict[str, Direction]
    #: Without losses: those would need outcomes.
    robustness: list[Disturbance]
    #: The live model of now, and how far its explanation holds; None where there is none.
    champion: RefittedBeside | None = None
    stability: Stability | None = None

    @property
    def relative_difference(self) -> float:
        """The difference as a share of the spread."""
        if not self.spread:
            return 0.0 if not self.difference else float("nan")
        return self.difference / self.spread

    def kind(self) -> Task:
        """The task, with its classes and threshold."""
        return task_of(self.task, self.classes, self.threshold)


def examine(
    refit: Loaded,
    judged: Loaded,
    holdout: "pl.DataFrame",
    champion: Loaded | None,
    options: EvaluationOptions,
    unseen: Unseen | None = None,
) -> RefitEvaluation:
    """Measure a refit on the features of the judged model's ``holdout``; what they came to is not looked at.

    Raises PlatformError where there is no row.
    """
    if not holdout.height:
        raise PlatformError(f"refit of {refit.reference.model}: the holdout has no rows; plan the split again")
    reference = refit.reference
    task = task_of(reference.task, reference.classes, options.threshold)
    x = matrix(holdout, reference.features)
    ours, theirs = refit.predictor.predict(x), judged.predictor.predict(matrix(holdout, judged.reference.features))
    stable = None
    if champion is not None:
        at = champion.reference.features
        stable = stability(
            contributions(refit.predictor, x, reference.features, options.seed).by_feature,
            contributions(champion.predictor, matrix(holdout, at), at, options.seed).by_feature,
        )
    return RefitEvaluation(
        sha256=reference.sha256,
        judged=judged.reference.sha256,
        task=reference.task,
        classes=reference.classes,
        threshold=options.threshold,
        rows=holdout.height,
        difference=float(outputs.distance(ours, theirs).astype("float64").mean()),
        correlation=_correlation(ours, theirs),
        spread=_spread(theirs),
        refit_spread=_spread(ours),
        judged_mean=float(theirs.astype("float64").mean(axis=0).max()),
        refit_mean=float(ours.astype("float64").mean(axis=0).max()),
        flipped=outputs.flipped(ours, theirs, task.threshold),
        model_bytes=refit.size,
        directions=directions(refit.predictor, x, reference.features, options.seed),
        robustness=robustness(refit.predictor, x, None, reference.features, task, options, unseen),
        champion=RefittedBeside(sha256=champion.reference.sha256) if champion else None,
        stability=stable,
    )


def _correlation(ours: "np.ndarray", theirs: "np.ndarray") -> float:
    import numpy as np

    a, b = (one.astype("float64") - one.astype("float64").mean(axis=0) for one in (ours, theirs))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if not size:
        return 1.0 if np.array_equal(ours, theirs) else float("nan")
    return float((a * b).sum()) / size


def _spread(p: "np.ndarray") -> float:
    p = p.astype("float64")
    return float(outputs.distance(p, p.mean(axis=0)).mean())
