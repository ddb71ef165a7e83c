"""What two versions answered to the same requests, compared: the mean difference and its 95 % interval.

Rows of one request, day or customer are alike, so they do not count by themselves: intervals are of groups of rows
(linearised variance of a mean over clusters, with Student's quantile for so many groups less one).
"""

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.evaluation.student import quantile

if TYPE_CHECKING:
    import numpy as np

#: Fewest groups that an interval is said of.
GROUPS = 20
#: Share below the upper bound of a two-sided interval of 95 %.
UPPER = 0.975


class Interval(NamedTuple):
    """A mean difference and its bounds."""

    mean: float
    lower: float
    upper: float


def of_mean(values: "np.ndarray", groups: "np.ndarray") -> Interval | None:
    """The interval of a mean of values, (rows,), in groups 0, 1, …, (rows,); None with fewer than :data:`GROUPS`."""
    found = _spread(values, groups)
    if found is None:
        return None
    mean, variance, number = found
    half = quantile(number - 1, UPPER) * sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def of_share(differs: "np.ndarray", groups: "np.ndarray") -> Interval | None:
    """As :func:`of_mean`, of a share: Wilson's interval, which is no point where none (or each) differs.

    It is that of as many independent rows as would spread as the groups do (Korn and Graubard 1998); where nothing
    spreads, of as many as there are groups.
    """
    found = _spread(differs.astype(float), groups)
    if found is None:
        return None
    share, variance, number = found
    rows = min(len(differs), share * (1 - share) / variance) if variance > 0 else number
    square = quantile(number - 1, UPPER) ** 2
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    half = sqrt(square * (share * (1 - share) / rows + square / (4 * rows**2))) / (1 + square / rows)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def _spread(values: "np.ndarray", groups: "np.ndarray") -> tuple[float, float, int] | None:
    """Mean, variance of the mean, and number of groups; None where those are too few."""
    import numpy as np

    number = int(groups.max()) + 1 if len(groups) else 0
    if number < GROUPS:
        return None
    mean = float(values.mean())
    sums = np.bincount(groups, values - mean, number)
    return mean, float((sums**2).sum() * number / (number - 1) / len(values) ** 2), number
