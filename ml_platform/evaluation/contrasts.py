"""How much worse a metric is in a group of rows than in the other groups, with intervals by bootstrap over days.

Against the whole a group looks weak where groups differ in their rate: the whole is also ordered *between* groups,
which a group alone cannot be, and by how much moves with the season. The other groups are held to the same.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.bootstrap import Weighted, draws, weighted
from ml_platform.evaluation.champion import LEVEL
from ml_platform.evaluation.slices import BY
from ml_platform.evaluation.tables import group_table
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Columns that divide the rows at once: an error of one place at one time of day came with one month.
MOST = 3


class Contrast(BaseModel):
    """A metric in one group and in the others of its table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    rows: int
    value: float
    #: Mean of the other groups, weighted by their rows.
    others: float
    #: How much worse the group is, in the metric's unit; and the bounds of the two-sided percentile interval.
    worse: float
    lower: float
    upper: float


class Drawing(NamedTuple):
    """What rows are drawn together, how often, and from which groups with support."""

    clusters: "pl.Series"
    min_support: int
    min_positives: int
    replicates: int
    seed: int


def contrasts(
    frame: "pl.DataFrame", columns: "Mapping[str, pl.Expr]", task: Task, drawing: Drawing
) -> dict[str, dict[str, list[Contrast]]]:
    """By column, and by two or three of them as ``a × b``: metric to the contrast of each group with support.

    ``frame`` has the columns ``label`` and ``prediction``; ``columns`` name the group of a row. Metrics are those of
    groups that have a better side and can be resampled. A table with fewer than two such groups is left out.
    """  # noqa: RUF002 - the sign that reports show
    import numpy as np
    import polars as pl

    names, codes = np.unique(drawing.clusters.to_numpy(), return_inverse=True)
    if len(names) < 2:
        return {}
    weights = np.vstack([np.ones(len(names)), draws(len(names), drawing.replicates, drawing.seed)])
    cells = {name: by.cast(pl.String).fill_null("(missing)") for name, by in columns.items()}
    tables = {
        BY.join(together): pl.concat_str([cells[name] for name in together], separator=BY)
        for count in range(1, MOST + 1)
        for together in combinations(cells, count)
    }
    found = {}
    for name, by in tables.items():
        known = group_table(frame, by, task, drawing.min_support, drawing.min_positives)
        groups = [row["group"] for row in known if row["supported"]]
        if len(groups) < 2:
            continue
        inside = frame.select(by.alias("group"))["group"]
        parts = [_Part(frame, (inside == group).to_numpy(), codes, len(names)) for group in groups]
        metrics = {metric: _measures(metric, task, parts) for metric in task.better if metric in known[0]}
        found[name] = {
            metric: _table(groups, parts, measures, weights, task.better[metric])
            for metric, measures in metrics.items()
            if measures
        }
    return found


class _Part:
    """The rows of one group."""

    def __init__(self, frame: "pl.DataFrame", inside: "np.ndarray", codes: "np.ndarray", clusters: int) -> None:
        import numpy as np

        rows = frame.filter(inside)
        self.y, self.p = rows["label"].to_numpy(), rows["prediction"].to_numpy()
        self.codes, self.clusters = codes[inside], clusters
        self.counts = np.bincount(self.codes, minlength=clusters)


def _measures(metric: str, task: Task, parts: Sequence[_Part]) -> list[Weighted]:
    try:
        return [weighted(metric, task, part.y, part.p, part.codes, part.clusters) for part in parts]
    except PlatformError:
        # A metric that cannot be resampled has no interval.
        return []


def _table(
    groups: Sequence[str], parts: Sequence[_Part], measures: Sequence[Weighted], weights: "np.ndarray", better: bool
) -> list[Contrast]:
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.array([measure(weights) for measure in measures])
        # A draw in which a group has one class only says nothing of it.
        sizes = np.where(np.isfinite(values), [weights @ part.counts for part in parts], 0.0)
        sums = np.where(sizes > 0, values * sizes, 0.0)
        others = (sums.sum(axis=0) - sums) / (sizes.sum(axis=0) - sizes)
        worse = (others - values) if better else (values - others)
    tail = (1 - LEVEL) / 2
    found = []
    for place, group in enumerate(groups):
        drawn = worse[place, 1:][np.isfinite(worse[place, 1:])]
        if not np.isfinite(worse[place, 0]) or not len(drawn):
            continue
        lower, upper = np.quantile(drawn, [tail, 1 - tail])
        found.append(
            Contrast(
                group=group,
                rows=int(parts[place].counts.sum()),
                value=float(values[place, 0]),
                others=float(others[place, 0]),
                worse=float(worse[place, 0]),
                lower=float(lower),
                upper=float(upper),
            )
        )
    return found
