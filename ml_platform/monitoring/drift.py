"""Population stability index of raw columns, in polars.

``PSI = sum((q_i - p_i) * ln(q_i / p_i))`` over the bins of a column, p of the reference and q of the
current rows (Siddiqi, Credit Risk Scorecards, 2006). Numbers are binned by the reference's deciles, other
columns by value; missing values are a bin of their own. Shares are floored at 1e-4.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ml_platform.errors import PlatformError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BINS = 10
FLOOR = 1e-4
#: Most frequent values of the reference that get a bin each; the rest share one.
VALUES = 50


def psi(reference: "pl.Series", current: "pl.Series") -> float:
    """PSI of one column, at least 0; 0 for equal shares. Lengths may differ. Raises PlatformError without rows."""
    import numpy as np

    if not len(reference) or not len(current):
        raise PlatformError(f"drift of {current.name!r}: {len(reference)} reference and {len(current)} current rows")
    ours, theirs = _shares(reference, current)
    p, q = np.clip(ours, FLOOR, None), np.clip(theirs, FLOOR, None)
    return float(((q - p) * np.log(q / p)).sum())


def drifted_columns(reference: "pl.DataFrame", current: "pl.DataFrame", columns: list[str]) -> dict[str, float]:
    """PSI of each column, largest first."""
    values = {name: psi(reference[name], current[name]) for name in columns}
    return dict(sorted(values.items(), key=lambda item: -item[1]))


def _shares(reference: "pl.Series", current: "pl.Series") -> "tuple[np.ndarray, np.ndarray]":
    return (_of_numbers if reference.dtype.is_numeric() else _of_values)(reference, current)


def _of_numbers(reference: "pl.Series", current: "pl.Series") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    def finite(series: "pl.Series") -> "np.ndarray":
        values = series.drop_nulls().to_numpy().astype(float)
        known = np.isfinite(values)
        return values if known.all() else values[known]

    # Quantiles of what is sorted already need no search, and one comparison with each of the few edges is a quarter
    # of the work of a binary search for each row.
    ours, theirs = np.sort(finite(reference)), finite(current)
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
