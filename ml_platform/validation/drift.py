"""How far raw columns moved from a reference, in polars and numpy.

- Population stability index, ``sum((q_i - p_i) * ln(q_i / p_i))`` over the bins of a column, p of the reference and q
  of the current rows (Siddiqi, Credit Risk Scorecards, 2006). Shares are floored at 1e-4.
- Jensen-Shannon distance, the root of ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2`` and logarithms to the
  base 2: 0 for equal shares, 1 where no bin has rows of both (Lin 1991; Endres and Schindelin 2003).
- Kolmogorov-Smirnov statistic: the largest distance of the two distribution functions of a number; without bins, and
  blind for what is missing (``scipy.stats.ks_2samp``).

Numbers are binned by the reference's deciles, other columns by value; missing values are a bin of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BINS = 10
FLOOR = 1e-4
#: Most frequent values of the reference that get a bin each; the rest share one.
VALUES = 50
#: Slices that a column of numbers with more than :data:`VALUES` values is cut into.
SLICES = 20
#: Fewest rows of a slice, on either side: the PSI of equal distributions is then about 0.04 by chance.
SLICE_ROWS = 500
#: Fewest rows for a mean in a profile, and fewest means.
MEAN_ROWS, MEANS = 100, 4


def psi(reference: "pl.Series", current: "pl.Series") -> float:
    """PSI of one column, at least 0; 0 for equal shares. Lengths may differ. Raises PlatformError without rows."""
    import numpy as np

    ours, theirs = _shares(reference, current)
    p, q = np.clip(ours, FLOOR, None), np.clip(theirs, FLOOR, None)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: "pl.Series", current: "pl.Series") -> float:
    """Jensen-Shannon distance of one column, from 0 to 1. Raises PlatformError without rows."""
    import numpy as np

    p, q = _shares(reference, current)
    middle = (p + q) / 2

    def divergence(shares: "np.ndarray") -> float:
        there = shares > 0
        return float((shares[there] * np.log2(shares[there] / middle[there])).sum())

    # Rounding may leave less than nothing of equal shares.
    return max(0.0, (divergence(p) + divergence(q)) / 2) ** 0.5


def kolmogorov_smirnov(reference: "pl.Series", current: "pl.Series") -> float:
    """Kolmogorov-Smirnov statistic of one column of numbers, from 0 to 1; missing and infinite values do not count.

    Raises PlatformError for other columns, and without a value on either side.
    """
    import numpy as np

    _need_rows(reference, current)
    if not reference.dtype.is_numeric():
        raise PlatformError(f"drift of {current.name!r}: kolmogorov_smirnov is for numbers, not for {reference.dtype}")
    ours, theirs = np.sort(_finite(reference)), np.sort(_finite(current))
    if not len(ours) or not len(theirs):
        raise PlatformError(f"drift of {current.name!r}: {len(ours)} values to compare {len(theirs)} with")
    values = np.concatenate([ours, theirs])
    below = np.searchsorted(ours, values, side="right") / len(ours)
    return float(np.abs(below - np.searchsorted(theirs, values, side="right") / len(theirs)).max())


#: What can be measured of a column, by name.
MEASURES: dict[str, Callable[["pl.Series", "pl.Series"], float]] = {
    "psi": psi,
    "jensen_shannon": jensen_shannon,
    "kolmogorov_smirnov": kolmogorov_smirnov,
}


def drifted_columns(
    reference: "pl.DataFrame", current: "pl.DataFrame", columns: list[str], measure: str = "psi"
) -> dict[str, float]:
    """A measure (:data:`MEASURES`) of each column, largest first. Raises PlatformError as that does."""
    values = {name: MEASURES[measure](reference[name], current[name]) for name in columns}
    return dict(sorted(values.items(), key=lambda item: -item[1]))


def in_slices(
    reference: "pl.DataFrame", current: "pl.DataFrame", by: Sequence[str]
) -> "tuple[pl.DataFrame, pl.DataFrame]":
    """Both tables with columns of numbers cut into slices where ``by`` names one that has more than :data:`VALUES`.

    The cuts are quantiles of the reference, so that each slice has a twentieth of its rows; other columns stay.
    """
    from itertools import pairwise

    import numpy as np
    import polars as pl

    for name in by:
        if not reference.schema[name].is_numeric() or reference[name].n_unique() <= VALUES:
            continue
        edges = np.unique(np.quantile(_finite(reference[name]), np.linspace(0, 1, SLICES + 1)[1:-1]))
        between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
        labels = pl.Series([f"below {edges[0]:g}", *between, f"from {edges[-1]:g} on"])
        reference, current = (_cut(frame, name, edges, labels) for frame in (reference, current))
    return reference, current


def _cut(frame: "pl.DataFrame", name: str, edges: "np.ndarray", labels: "pl.Series") -> "pl.DataFrame":
    """The column's numbers replaced by the label of the slice that each is in; unknown ones stay unknown."""
    import numpy as np
    import polars as pl

    values = frame[name].cast(pl.Float64).fill_nan(None)
    places = np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="right")
    return frame.with_columns(pl.when(values.is_not_null()).then(labels[places]).alias(name))


def drifted_slices(
    reference: "pl.DataFrame", current: "pl.DataFrame", columns: list[str], by: list[str], measure: str = "psi"
) -> dict[tuple[str, str], float]:
    """A measure of each column in each slice by the columns ``by``, which is named by its values.

    Slices of fewer than :data:`SLICE_ROWS` rows on either side are left out.
    """
    before = reference.partition_by(by, as_dict=True)
    return {
        (column, ", ".join(str(value) for value in key)): MEASURES[measure](before[key][column], rows[column])
        for key, rows in current.partition_by(by, as_dict=True).items()
        if rows.height >= SLICE_ROWS and key in before and before[key].height >= SLICE_ROWS
        for column in columns
    }


def profile(reference: "pl.DataFrame", current: "pl.DataFrame", column: str, by: list[str]) -> float:
    """1 less Pearson's correlation of the means of a column by slice with those of the reference: from 0 to 2.

    A level that all slices share, and how strong the pattern is, do not count; its shape and place do. Means of fewer
    than :data:`MEAN_ROWS` rows are left out. Raises PlatformError for fewer than :data:`MEANS` slices that both have,
    and where all means are equal on one side.
    """
    import numpy as np
    import polars as pl

    def means(frame: "pl.DataFrame") -> "pl.DataFrame":
        value = pl.col(column).cast(pl.Float64).fill_nan(None)
        counted = frame.group_by(by).agg(mean=value.mean(), rows=value.count())
        return counted.filter(pl.col("rows") >= MEAN_ROWS).drop("rows")

    both = means(reference).join(means(current), on=by, suffix="_now").sort(by)
    if both.height < MEANS:
        raise PlatformError(
            f"profile of {column!r} by {', '.join(by)}: {both.height} slices have {MEAN_ROWS} values here and before, "
            f"{MEANS} are needed; take coarser slices"
        )
    correlation = float(np.corrcoef(both["mean"], both["mean_now"])[0, 1])
    if not np.isfinite(correlation):
        raise PlatformError(f"profile of {column!r} by {', '.join(by)}: its means are all equal; take another column")
    return 1 - correlation


def information_value(frame: "pl.DataFrame", column: str, label: "pl.Series") -> float:
    """How much a column says of a label of 0 and 1: the PSI of its values between both.

    Known as information value; above 0.5 it is taken for too good to be true (Siddiqi, Credit Risk Scorecards, 2006).
    Rows without a label do not count. Raises PlatformError for fewer than :data:`MEAN_ROWS` rows of either.
    """
    negative, positive = (frame[column].filter((label == value).fill_null(False)) for value in (0.0, 1.0))
    if min(len(negative), len(positive)) < MEAN_ROWS:
        raise PlatformError(
            f"information value of {column!r}: {len(positive)} rows with the label and {len(negative)} without, "
            f"{MEAN_ROWS} of each are needed"
        )
    return psi(negative, positive)


def correlation(frame: "pl.DataFrame", one: str, other: str) -> float:
    """Pearson's correlation of two columns of numbers, over rows that have both.

    Raises PlatformError for other columns, for fewer than :data:`MEAN_ROWS` such rows and where one column is constant.
    """
    import numpy as np
    import polars as pl

    for name in (one, other):
        if not frame.schema[name].is_numeric():
            raise PlatformError(f"drift of {name!r}: a correlation is of numbers, not of {frame.schema[name]}")
    rows = frame.select(pl.col(one, other).cast(pl.Float64)).filter(pl.all_horizontal(pl.all().is_finite()))
    if rows.height < MEAN_ROWS:
        raise PlatformError(
            f"correlation of {one!r} and {other!r}: {rows.height} rows have both, {MEAN_ROWS} are needed"
        )
    if any(rows[name].n_unique() < 2 for name in (one, other)):
        raise PlatformError(f"correlation of {one!r} and {other!r}: one of them is constant; take another column")
    return float(np.corrcoef(rows[one], rows[other])[0, 1])


def beyond(
    earlier: "Sequence[pl.Series]", current: "pl.Series", quantiles: "Sequence[float]"
) -> "list[dict[str, float]]":
    """How far quantiles of a column of numbers lie beyond those that each earlier batch had.

    Per quantile ``value``, ``lowest`` and ``highest`` before, and ``beyond``: 0 within them, else the distance over the
    interquartile range of all earlier rows (over 1 where that is 0). Missing and infinite values do not count. Raises
    PlatformError for other columns, and without a value on either side.
    """
    import numpy as np

    if not current.dtype.is_numeric():
        raise PlatformError(f"drift of {current.name!r}: quantiles are of numbers, not of {current.dtype}")
    known = [values for series in earlier if len(values := _finite(series))]
    now = _finite(current)
    if not known or not len(now):
        raise PlatformError(f"drift of {current.name!r}: {len(now)} values to compare with {sum(map(len, known))}")
    wide = float(np.subtract(*np.quantile(np.concatenate(known), (0.75, 0.25)))) or 1.0
    before = np.array([np.quantile(values, quantiles) for values in known])
    found = zip(quantiles, np.quantile(now, quantiles), before.min(axis=0), before.max(axis=0), strict=True)
    return [
        {
            "quantile": quantile,
            "value": float(value),
            "lowest": float(lowest),
            "highest": float(highest),
            "beyond": float(max(value - highest, lowest - value, 0.0)) / wide,
        }
        for quantile, value, lowest, highest in found
    ]


def _need_rows(reference: "pl.Series", current: "pl.Series") -> None:
    if not len(reference) or not len(current):
        raise PlatformError(f"drift of {current.name!r}: {len(reference)} reference and {len(current)} current rows")


def _finite(series: "pl.Series") -> "np.ndarray":
    import numpy as np

    values = series.drop_nulls().to_numpy().astype(float)
    known = np.isfinite(values)
    return values if known.all() else values[known]


def _shares(reference: "pl.Series", current: "pl.Series") -> "tuple[np.ndarray, np.ndarray]":
    _need_rows(reference, current)
    return (_of_numbers if reference.dtype.is_numeric() else _of_values)(reference, current)


def _of_numbers(reference: "pl.Series", current: "pl.Series") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    # Quantiles of what is sorted already need no search, and one comparison with each of the few edges is a quarter
    # of the work of a binary search for each row.
    ours, theirs = np.sort(_finite(reference)), _finite(current)
    quantiles = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(ours, quantiles)) if len(ours) else np.array([])

    def share(values: "np.ndarray", rows: int, beyond: "Iterable[int]") -> "np.ndarray":
        counts = -np.diff([len(values), *beyond, 0])
        return np.append(counts, rows - len(values)) / rows

    return (
        share(ours, len(reference), len(ours) - np.searchsorted(ours, edges, side="left")),
        share(theirs, len(current), [int(np.count_nonzero(theirs >= edge)) for edge in edges]),
    )


def _of_values(reference: "pl.Series", current: "pl.Series") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np
    import polars as pl

    def counts(series: "pl.Series") -> "pl.DataFrame":
        return series.drop_nulls().cast(pl.String).alias("value").value_counts(sort=True)

    def share(series: "pl.Series", counted: "pl.DataFrame") -> "np.ndarray":
        by_value = dict(counted.iter_rows())
        named = [by_value.get(value, 0) for value in tops]
        missing = series.null_count()
        return np.array([*named, missing, len(series) - missing - sum(named)]) / len(series)

    frequent = counts(reference)
    tops = sorted(frequent["value"].head(VALUES).to_list())
    return share(reference, frequent), share(current, counts(current))
