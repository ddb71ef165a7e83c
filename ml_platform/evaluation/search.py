"""How a model answers when features move: the worst that small changes can do, and the direction of each feature."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_platform.models.outputs import decisions, distance
from ml_platform.models.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np

#: Rows that are searched, and starting points of the search: the row itself, then random corners of the box.
SEARCHED_ROWS = 300
STARTS = 2
#: Rows whose features are moved one by one, and quantiles of the feature they are moved along.
MOVED_ROWS = 300
QUANTILES = 9
#: Movement against a direction that counts, in standard deviations of the predictions: less is the grain of the trees.
GRAIN = 0.1


class Direction(BaseModel):
    """What happens to the prediction of sampled rows when one feature is increased along its quantiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Share of rows whose prediction rises (falls) on the way by more than the grain, wherever it ends.
    rises: float
    falls: float
    rows: int


def boxes(
    x: "np.ndarray", features: tuple[str, ...], within: float, bounds: Mapping[str, float]
) -> "dict[int, np.float32]":
    """How far each feature may move, by its index, in its own unit: ``within`` times its interquartile range in
    ``x`` (rows x features, NaN for missing), or its own bound.

    Features of two values or fewer stay where they are unless they have a bound of their own.
    """
    import numpy as np

    found = {}
    for index, name in enumerate(features):
        known = x[:, index][np.isfinite(x[:, index])]
        size = bounds.get(name)
        if size is None:
            varied = len(np.unique(known)) > 2
            size = within * float(np.subtract(*np.quantile(known, [0.75, 0.25]))) if varied else 0.0
        if size > 0:
            found[index] = np.float32(size)
    return found


def worst_case(
    predictor: Predictor,
    x: "np.ndarray",
    features: tuple[str, ...],
    threshold: float | None,
    within: float,
    bounds: Mapping[str, float],
    seed: int = 0,
) -> "tuple[np.ndarray, np.ndarray]":
    """Rows (a sample of ``x``, rows x features), and the change of each within its box that moves its output furthest.

    Both have the same shape.

    Coordinate search: from every start, feature by feature in random order, the lower end, the row's own value and
    the upper end are tried, and what brings the decision nearest to another (a value furthest from its own) stays.
    A lower bound of what a better search would find. Deterministic for a seed; missing values stay missing.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows = x[np.sort(random.choice(len(x), min(SEARCHED_ROWS, len(x)), replace=False))]
    sizes = boxes(x, features, within, bounds)
    base = predictor.predict(rows)
    safety = _safety(base, threshold)
    best, least = rows.copy(), safety(base)
    for start in range(STARTS):
        trial = rows.copy()
        if start:
            for index, size in sizes.items():
                trial[:, index] += size * random.choice(np.array([-1, 1], np.float32), len(rows))
        p = predictor.predict(trial).copy()
        now = safety(p)
        for index in random.permutation(list(sizes)):
            ends = [rows[:, index] + step * sizes[int(index)] for step in (-1, 0, 1)]
            tries = np.concatenate([trial] * len(ends))
            tries[:, index] = np.concatenate(ends)
            # One of the three is where the row stands already.
            asked, answers = differing(np.concatenate([trial] * len(ends)), tries), np.concatenate([p] * len(ends))
            if len(asked):
                answers[asked] = predictor.predict(tries[asked])
            found = np.stack(np.split(answers, len(ends)))
            scores = np.stack([safety(part) for part in found])
            pick = scores.argmin(axis=0)
            better = scores[pick, np.arange(len(rows))] < now
            trial[better, index] = np.stack(ends)[pick, np.arange(len(rows))][better]
            p[better] = found[pick, np.arange(len(rows))][better]
            now = np.where(better, scores[pick, np.arange(len(rows))], now)
        improved = now < least
        best[improved], least = trial[improved], np.where(improved, now, least)
    return rows, best


def differing(x: "np.ndarray", other: "np.ndarray") -> "np.ndarray":
    """Indices of the rows that are not the same in both; missing is missing."""
    import numpy as np

    return np.flatnonzero(((x != other) & ~(np.isnan(x) & np.isnan(other))).any(axis=1))


def _safety(base: "np.ndarray", threshold: float | None) -> "Callable[[np.ndarray], np.ndarray]":
    """What the search makes small: the distance to another decision, or minus the distance from the first output."""
    import numpy as np

    decided = decisions(base, threshold)
    if decided is None:
        return lambda p: -distance(p, base)
    if base.ndim == 1:
        side = np.where(decided, 1.0, -1.0)
        return lambda p: side * (p - (threshold or 0.0))
    every = np.arange(len(base))

    def margin(p: "np.ndarray") -> "np.ndarray":
        others = p.copy()
        others[every, decided] = -1
        return p[every, decided] - others.max(axis=1)

    return margin


def directions(predictor: Predictor, x: "np.ndarray", features: tuple[str, ...], seed: int = 0) -> dict[str, Direction]:
    """Direction of every feature that varies, on at most :data:`MOVED_ROWS` rows; empty for several classes.

    Each row is predicted at every quantile of the feature, all its other features left as they are (the individual
    conditional expectation of Goldstein et al. 2015).
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows = x[np.sort(random.choice(len(x), min(MOVED_ROWS, len(x)), replace=False))]
    base = predictor.predict(rows)
    if base.ndim == 2:
        return {}
    grain = GRAIN * float(base.std())
    found = {}
    for index, name in enumerate(features):
        known = x[:, index][np.isfinite(x[:, index])]
        grid = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES))) if len(known) else known
        if len(grid) < 2:
            continue
        moved = np.tile(rows, (len(grid), 1))
        moved[:, index] = np.repeat(grid, len(rows)).astype(rows.dtype)
        path = predictor.predict(moved).reshape(len(grid), len(rows))
        rise = (path - np.minimum.accumulate(path)).max(axis=0)
        fall = (np.maximum.accumulate(path) - path).max(axis=0)
        found[name] = Direction(rises=float((rise > grain).mean()), falls=float((fall > grain).mean()), rows=len(rows))
    return found
