"""Disparities between groups by Fairlearn's definitions, with intervals by bootstrap over days.

- ``demographic_parity_difference`` and ``_ratio``: largest minus (smallest over) selection rate of the groups.
- ``equalized_odds_difference``: the larger of the largest differences in true and in false positive rate;
  ``_ratio``: the smaller of the two smallest ratios.

(Agarwal et al. 2018, "A Reductions Approach to Fair Classification"; ``fairlearn.metrics``.) The spread of
groups is biased upwards where groups are small, so that only groups with support count.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.bootstrap import draws
from ml_platform.evaluation.champion import LEVEL
from ml_platform.models.outputs import of_class

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

DISPARITIES = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
)


class Disparity(BaseModel):
    """One disparity between the groups of a column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    lower: float
    upper: float
    #: Class whose decisions are most unequal, of a multiclass model.
    of: str = ""


class Fairness(BaseModel):
    """Disparities between the groups of one column that have support."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Groups that count, and those with too few rows or too few of either class.
    groups: tuple[str, ...]
    too_small: tuple[str, ...]
    #: Rows of the smallest group that counts.
    support: int
    #: By name; empty with fewer than two groups.
    disparities: dict[str, Disparity]


def fairness(
    frame: "pl.DataFrame",
    column: str,
    threshold: float,
    cluster: "pl.Series",
    min_support: int,
    min_positives: int,
    replicates: int = 1000,
    seed: int = 0,
) -> Fairness:
    """Disparities between the groups of ``column``; ``frame`` has ``label`` (0 or 1) and ``prediction``.

    ``cluster`` names what rows are resampled together. A group counts with ``min_support`` rows and
    ``min_positives`` of either class.
    """
    import numpy as np
    import polars as pl

    table = frame.select(
        group=pl.col(column).cast(pl.String).fill_null("(missing)"),
        positive=pl.col("label") == 1,
        selected=pl.col("prediction") >= threshold,
        cluster=pl.Series(np.unique(cluster.to_numpy(), return_inverse=True)[1]),
    )
    sizes = (
        table.group_by("group")
        .agg(rows=pl.len(), positives=pl.col("positive").sum())
        .with_columns(
            counts=(pl.col("rows") >= min_support)
            & (pl.col("positives") >= min_positives)
            & (pl.col("rows") - pl.col("positives") >= min_positives)
        )
        .sort("group")
    )
    kept = sizes.filter("counts")
    names = kept["group"].to_list()
    clusters = int(table["cluster"].n_unique())
    disparities: dict[str, Disparity] = {}
    if len(names) >= 2:
        position = {name: index for index, name in enumerate(names)}
        part = table.filter(pl.col("group").is_in(names))
        groups = part["group"].replace_strict(position, return_dtype=pl.Int64).to_numpy()
        where = part["cluster"].to_numpy() * len(names) + groups
        positive, selected = part["positive"].to_numpy(), part["selected"].to_numpy()

        def counts(rows: "np.ndarray") -> "np.ndarray":
            found = np.bincount(where, rows, clusters * len(names))
            return found.reshape(clusters, len(names))

        weights = np.vstack([np.ones(clusters), draws(clusters, replicates, seed)])
        values = _values(
            *(weights @ counts(rows) for rows in (positive, ~positive, positive & selected, ~positive & selected))
        )
        tail = (1 - LEVEL) / 2
        for name in DISPARITIES:
            drawn = values[name][1:]
            lower, upper = np.quantile(drawn[np.isfinite(drawn)], [tail, 1 - tail])
            disparities[name] = Disparity(value=float(values[name][0]), lower=float(lower), upper=float(upper))
    return Fairness(
        groups=tuple(names),
        too_small=tuple(sizes.filter(~pl.col("counts"))["group"]),
        support=int(kept["rows"].min() or 0),  # type: ignore[arg-type]
        disparities=disparities,
    )


def fairness_by_class(
    frame: "pl.DataFrame",
    column: str,
    classes: tuple[str, ...],
    cluster: "pl.Series",
    min_support: int,
    min_positives: int,
    replicates: int = 1000,
    seed: int = 0,
) -> Fairness:
    """Each disparity for the class where it is worst: every class is taken as a decision for or against it.

    As :func:`fairness` for a multiclass ``frame``. A group counts with ``min_positives`` rows in and out of a
    class for that class; groups, small ones and support are those over all classes.
    """
    found = {
        name: fairness(of_class(frame, index), column, 0.5, cluster, min_support, min_positives, replicates, seed)
        for index, name in enumerate(classes)
    }
    disparities: dict[str, Disparity] = {}
    for kind in DISPARITIES:
        known = {name: one.disparities[kind] for name, one in found.items() if kind in one.disparities}
        if known:
            pick = min if kind.endswith("_ratio") else max
            worst = pick(known, key=lambda name: known[name].value)
            disparities[kind] = known[worst].model_copy(update={"of": worst})
    groups = tuple(sorted({group for one in found.values() for group in one.groups}))
    return Fairness(
        groups=groups,
        too_small=tuple(sorted({group for one in found.values() for group in one.too_small} - set(groups))),
        support=min((one.support for one in found.values() if one.disparities), default=0),
        disparities=disparities,
    )


def _values(
    positives: "np.ndarray", negatives: "np.ndarray", hits: "np.ndarray", alarms: "np.ndarray"
) -> "dict[str, np.ndarray]":
    """Disparities of each replicate, from counts of shape (replicates, groups)."""
    import numpy as np

    def spread(rates: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        low, high = np.nanmin(rates, axis=1), np.nanmax(rates, axis=1)
        # Nobody selected in any group is parity.
        return high - low, np.divide(low, high, out=np.ones_like(low), where=high > 0)

    # A group that a draw leaves without a class has no rate in it; the others still have.
    with np.errstate(invalid="ignore", divide="ignore"):
        selection = (hits + alarms) / (positives + negatives)
        difference, ratio = spread(selection)
        true_difference, true_ratio = spread(hits / positives)
        false_difference, false_ratio = spread(alarms / negatives)
    return {
        "demographic_parity_difference": difference,
        "demographic_parity_ratio": ratio,
        "equalized_odds_difference": np.maximum(true_difference, false_difference),
        "equalized_odds_ratio": np.minimum(true_ratio, false_ratio),
    }
