"""What predictions of each task have in common: decisions, distances, and the part of each class.

Predictions have shape (rows,): probabilities of a binary task, values of a regression; or (rows, classes):
probabilities of a multiclass task, whose labels are indices of the classes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Probabilities are kept this far from 0 and 1 in the log loss, which is infinite there.
EPSILON = 1e-7
#: Points kept of a curve; more cannot be seen.
CURVE_POINTS = 200


def decisions(p: "np.ndarray", threshold: float | None) -> "np.ndarray | None":
    """What is decided for each row, (rows,): the index of the most probable class, or whether the threshold is reached.

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
    """Distance of the outputs of each row, (rows,): |p - q|; of classes half its sum, the total variation, 0 to 1."""
    import numpy as np

    difference = np.abs(p - q)
    return difference.sum(axis=1) / 2 if difference.ndim == 2 else difference


def probability_of_label(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """Predicted probability of the label's class, (rows,), of a multiclass task."""
    import numpy as np

    return p[np.arange(len(y)), y.astype(int)]


def log_losses(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """-ln of the predicted probability of the label (rows,), which counts as at least :data:`EPSILON`."""
    import numpy as np

    if p.ndim == 2:
        return -np.log(np.clip(probability_of_label(y, p), EPSILON, None))
    return -np.log(np.clip(np.where(y > 0, p, 1 - p), EPSILON, None))


def brier_losses(y: "np.ndarray", p: "np.ndarray") -> "np.ndarray":
    """Squared error of the predicted probability (rows,), of several classes summed over them (Brier 1950)."""
    if p.ndim == 2:
        return (p**2).sum(axis=1) - 2 * probability_of_label(y, p) + 1
    return (p - y) ** 2


def auc(y: "np.ndarray", p: "np.ndarray") -> float:
    """Share of pairs of a row of label 1 and one of label 0 that ``p`` puts in order, ties count half; both (rows,).

    That of scikit-learn but for the last bits, in a fiftieth of its time on some thousand rows; both labels have to
    happen.
    """
    import numpy as np

    positive = y > 0
    ours, others = p[positive], np.sort(p[~positive])
    won = np.searchsorted(others, ours, "left").sum() + np.searchsorted(others, ours, "right").sum()
    return float(won / (2 * len(ours) * len(others)))


def roc_curves(y: "np.ndarray", p: "np.ndarray") -> dict[str, list[list[float]]]:
    """``roc`` (false positive rate, true positive rate) and ``precision_recall`` (recall, precision) of 0 and 1.

    At most :data:`CURVE_POINTS` points each; nothing where one class only happens.
    """
    import numpy as np
    from sklearn.metrics import precision_recall_curve, roc_curve

    if y.min() == y.max():
        return {}
    fpr, tpr, _ = roc_curve(y, p)
    precision, recall, _ = precision_recall_curve(y, p)

    def thin(x: np.ndarray, z: np.ndarray) -> list[list[float]]:
        # Evenly along the curve, so that its steep part keeps its shape.
        length = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(z)))]
        indices = np.searchsorted(length, np.linspace(0, length[-1], min(CURVE_POINTS, len(x))))
        return [[float(x[i]), float(z[i])] for i in np.unique(np.r_[0, indices, len(x) - 1])]

    return {"roc": thin(fpr, tpr), "precision_recall": thin(recall[::-1], precision[::-1])}


def series(name: str, p: "np.ndarray") -> "pl.Series":
    """Predictions as a column of Float64: of numbers, or of arrays with one number per class."""
    import numpy as np
    import polars as pl

    return pl.Series(name, p.astype(np.float64), dtype=pl.Array(pl.Float64, p.shape[1]) if p.ndim == 2 else pl.Float64)


def each(outputs: "pl.Series") -> "list[pl.Series]":
    """Predictions as columns of numbers, as :func:`series` or the prediction log has them; of classes one for each."""
    import numpy as np
    import polars as pl

    if not outputs.dtype.is_nested():
        return [outputs.cast(pl.Float64)]
    columns = np.array(outputs.to_list(), dtype=np.float64).reshape(len(outputs), -1).T
    return [pl.Series(outputs.name, column) for column in columns]


def of_class(frame: "pl.DataFrame", index: int) -> "pl.DataFrame":
    """``frame`` as if one class were asked for alone: ``label`` 0 or 1, ``prediction`` 1 where it is decided for."""
    import polars as pl

    return frame.with_columns(
        label=(pl.col("label") == index).cast(pl.Float64),
        prediction=(pl.col("prediction").arr.arg_max() == index).cast(pl.Float64),
    )
