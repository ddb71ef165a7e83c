"""What predictions of each task have in common: decisions, distances, and the part of each class.

Predictions have shape (rows,): probabilities of a binary task, values of a regression; or (rows, classes):
probabilities of a multiclass task, whose labels are places among the classes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def decisions(p: "np.ndarray", threshold: float | None) -> "np.ndarray | None":
    """What is decided for each row: the most probable class, or whether the threshold is reached.

    None where nothing is decided: values without a threshold.
    """
    if p.ndim == 2:
        return p.argmax(axis=1)
    return None if threshold is None else p >= threshold


def flipped(p: "np.ndarray", q: "np.ndarray", threshold: float | None) -> float | None:
    """Share of rows that are decided differently; None where nothing is decided."""
    ours, theirs = decisions(p, threshold), decisions(q, threshold)
    return None if ours is None or theirs is None else float((ours != theirs).mean())


def distance(p: "np.ndarray", q: "np.ndarray") -> "np.ndarray":
    """Distance of the outputs of each row: absolute difference; of classes their total variation, from 0 to 1."""
    import numpy as np

    difference = np.abs(p - q)
    return difference.sum(axis=1) / 2 if difference.ndim == 2 else difference


def given_to_label(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """Probability that was given to the class that happened, per row of a multiclass task."""
    import numpy as np

    return p[np.arange(len(y)), y.astype(int)]


def series(name: str, p: "np.ndarray") -> "pl.Series":
    """Predictions as a column of Float64: of numbers, or of arrays with one number per class."""
    import numpy as np
    import polars as pl

    return pl.Series(name, p.astype(np.float64), dtype=pl.Array(pl.Float64, p.shape[1]) if p.ndim == 2 else pl.Float64)


def of_class(frame: "pl.DataFrame", place: int) -> "pl.DataFrame":
    """``frame`` as if one class were asked for alone: ``label`` 0 or 1, ``prediction`` 1 where it is decided for."""
    import polars as pl

    return frame.with_columns(
        label=(pl.col("label") == place).cast(pl.Float64),
        prediction=(pl.col("prediction").arr.arg_max() == place).cast(pl.Float64),
    )
