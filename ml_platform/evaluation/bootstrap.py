"""Paired bootstrap of a metric's difference between two models, resampling whole clusters.

Rows of one day share weather and congestion, so rows are not independent: resampling rows gives an
interval that is far too narrow and promotes falsely. Clusters (days) are drawn with replacement, the
same draw for both models (Davison and Hinkley 1997, section 3.8; percentile interval).

A draw is a vector of cluster weights w. Metrics that are means need the sums of each cluster only. The AUC is
a quotient of bilinear forms, ``w' A w / ((w' pos) (w' neg))``, where ``A[c, d]`` counts the pairs (positive
of cluster c, negative of cluster d) in the right order, ties as half: exact, and computed once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import named
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np

#: Share of the second moment below which the difference of two sums of float64 says nothing about a variance.
NO_SPREAD = 1e-12
#: The pairs of the AUC take clusters squared numbers.
MOST_CLUSTERS = 5000
#: Replicates that are computed at once for average precision, which needs positives x replicates numbers.
BLOCK = 50

Weighted = Callable[["np.ndarray"], "np.ndarray"]


def draws(clusters: int, replicates: int, seed: int) -> "np.ndarray":
    """Cluster weights (replicates x clusters): how often each is drawn; rows sum to ``clusters``."""
    import numpy as np

    return (
        np.random.default_rng(seed)
        .multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)
        .astype(np.float64)
    )


def weighted(metric: str, task: Task, y: "np.ndarray", p: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    """A function from cluster weights (replicates x clusters) to the metric of each weighted sample.

    ``p`` has the probabilities of all classes (rows x classes) where the task has several. ``codes`` is the
    cluster (0 to ``clusters`` - 1) of every row. NaN where a sample has one class only.
    Raises PlatformError for a metric that cannot be compared, and for too many clusters.
    """
    import numpy as np

    if clusters > MOST_CLUSTERS:
        raise PlatformError(
            f"comparison: {clusters} clusters are more than {MOST_CLUSTERS}; cluster by a coarser column"
        )
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    # Metrics that are no means over rows; every other one is the task's.
    statistics: dict[str, Callable[[], Weighted]] = {}
    if task.output == "classes":
        every = range(p.shape[1])
        statistics = {
            "auc_macro": lambda: _mean_of([_auc(y == index, p[:, index], codes, clusters) for index in every]),
            "f1_macro": lambda: _mean_of(
                [_f1(y == index, p.argmax(axis=1) == index, codes, clusters) for index in every]
            ),
        }
    elif task.output == "probability":
        statistics = {
            "auc": lambda: _auc(y, p, codes, clusters),
            "pr_auc": lambda: _average_precision(y, p, codes, clusters),
            "brier_skill": lambda: _skill(y, p, codes, clusters),
        }
    else:
        squared = _mean((p - y) ** 2, codes, clusters)
        statistics = {
            "rmse": lambda: lambda weights: np.sqrt(squared(weights)),
            "r2": lambda: _r2(squared, y, codes, clusters),
        }
    if metric in statistics:
        return statistics[metric]()
    losses = task.losses(y, p)
    if metric not in losses:
        raise PlatformError(
            f"comparison: metric {metric!r} is not one of {', '.join([*statistics, *losses])}; give its value of each "
            f"row in `losses` of the task {named(task)}, or compare by another"
        )
    return _mean(losses[metric](), codes, clusters)


def _mean(values: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    """The mean over the drawn rows."""
    import numpy as np

    sums = np.bincount(codes, values, clusters)
    counts = np.bincount(codes, minlength=clusters)
    return lambda weights: (weights @ sums) / (weights @ counts)


def _r2(squared: Weighted, y: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    """1 less the mean squared error over the variance of the drawn labels; NaN where those are all equal."""
    import numpy as np

    # Around their mean: the difference of two large numbers would lose digits.
    centred = y - y.mean()
    first, second = _mean(centred, codes, clusters), _mean(centred**2, codes, clusters)

    def value(weights: "np.ndarray") -> "np.ndarray":
        largest = second(weights)
        variance = largest - first(weights) ** 2
        # Of a sample with one value the difference is rounding, and may be above zero.
        return 1 - squared(weights) / np.where(variance > NO_SPREAD * largest, variance, np.nan)

    return value


def _skill(y: "np.ndarray", p: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    """1 less the Brier score over that of the drawn labels' own rate; NaN where one class only is drawn."""
    import numpy as np

    squared, rate = _mean((p - y) ** 2, codes, clusters), _mean(y, codes, clusters)

    def value(weights: "np.ndarray") -> "np.ndarray":
        drawn = rate(weights)
        spread = drawn * (1 - drawn)
        return 1 - squared(weights) / np.where(spread > NO_SPREAD, spread, np.nan)

    return value


def _mean_of(parts: list[Weighted]) -> Weighted:
    """Mean over classes; a class that a sample leaves undefined leaves the mean undefined."""

    def value(weights: "np.ndarray") -> "np.ndarray":
        return sum(part(weights) for part in parts) / len(parts)  # type: ignore[return-value]

    return value


def _f1(label: "np.ndarray", decided: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    import numpy as np

    hits = np.bincount(codes, label & decided, clusters)
    asked = np.bincount(codes, label, clusters) + np.bincount(codes, decided, clusters)

    def value(weights: "np.ndarray") -> "np.ndarray":
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2 * (weights @ hits) / (weights @ asked)

    return value


def _auc(y: "np.ndarray", p: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    import numpy as np

    positive = y > 0
    # Sorted needles keep the binary searches below in cache.
    order = np.argsort(p[positive])
    scores, owners = p[positive][order], codes[positive][order]
    negatives, negative_codes = p[~positive], codes[~positive]
    negative_order = np.lexsort((negatives, negative_codes))
    negatives, negative_codes = negatives[negative_order], negative_codes[negative_order]
    bounds = np.searchsorted(negative_codes, np.arange(clusters + 1))
    pairs = np.zeros((clusters, clusters))
    for other in range(clusters):
        below = negatives[bounds[other] : bounds[other + 1]]
        if len(below):
            wins = np.searchsorted(below, scores, "left") + np.searchsorted(below, scores, "right")
            pairs[:, other] = np.bincount(owners, wins / 2, clusters)
    positives, rest = np.bincount(owners, minlength=clusters), np.diff(bounds)

    def value(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((weights @ pairs) * weights).sum(axis=1) / ((weights @ positives) * (weights @ rest))

    return value


def _average_precision(y: "np.ndarray", p: "np.ndarray", codes: "np.ndarray", clusters: int) -> Weighted:
    import numpy as np

    order = np.argsort(-p, kind="stable")
    y, p, codes = y[order], p[order], codes[order]
    positive = np.flatnonzero(y > 0)
    # Rows of equal score share one threshold: the last of them.
    ends = np.flatnonzero(np.r_[p[1:] != p[:-1], True])
    ends = ends[np.searchsorted(ends, positive)]
    owners = codes[positive]
    # Counted per cluster at each positive's threshold, so that a draw is one matrix product away.
    selected, hits = np.empty((len(ends), clusters)), np.empty((len(ends), clusters))
    for cluster in range(clusters):
        selected[:, cluster] = np.searchsorted(np.flatnonzero(codes == cluster), ends, "right")
        hits[:, cluster] = np.searchsorted(positive[owners == cluster], ends, "right")
    counts = np.bincount(owners, minlength=clusters)

    def value(weights: np.ndarray) -> np.ndarray:
        result = np.empty(len(weights))
        for start in range(0, len(weights), BLOCK):
            drawn = weights[start : start + BLOCK].T
            chosen = selected @ drawn
            # A positive that was not drawn may have nothing selected up to it; it does not count.
            precision = np.divide(hits @ drawn, chosen, out=np.zeros_like(chosen), where=chosen > 0)
            with np.errstate(invalid="ignore"):
                result[start : start + BLOCK] = (drawn[owners] * precision).sum(axis=0) / (counts @ drawn)
        return result

    return value
