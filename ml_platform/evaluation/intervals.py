"""Confidence intervals of a model's own metrics, by bootstrap over whole clusters (days)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.bootstrap import draws, weighted
from ml_platform.evaluation.champion import LEVEL
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class Interval(BaseModel):
    """A metric with the bounds of its two-sided percentile interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    lower: float
    upper: float
    level: float
    clusters: int
    higher_is_better: bool

    @property
    def worse(self) -> float:
        """The bound that a threshold is compared with."""
        return self.lower if self.higher_is_better else self.upper


def intervals(
    task: Task,
    y: "np.ndarray",
    p: "np.ndarray",
    clusters: "pl.Series",
    metrics: Iterable[str],
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile interval of each metric by cluster bootstrap (source: :mod:`~ml_platform.evaluation.bootstrap`).

    ``y`` (rows,), ``p`` (rows,) or (rows, classes), ``clusters`` the cluster of each row (the day).

    Empty with fewer than two clusters; a metric that the labels leave undefined is left out.
    """
    import numpy as np

    names, codes = np.unique(clusters.to_numpy(), return_inverse=True)
    if len(names) < 2:
        return {}
    weights = np.vstack([np.ones(len(names)), draws(len(names), replicates, seed)])
    tail = (1 - LEVEL) / 2
    found = {}
    for metric in metrics:
        values = weighted(metric, task, y, p, codes, len(names))(weights)
        replicated = values[1:][np.isfinite(values[1:])]
        if not np.isfinite(values[0]) or not len(replicated):
            continue
        lower, upper = np.quantile(replicated, [tail, 1 - tail])
        found[metric] = Interval(
            value=float(values[0]),
            lower=float(lower),
            upper=float(upper),
            level=LEVEL,
            clusters=len(names),
            higher_is_better=task.better[metric],
        )
    return found
