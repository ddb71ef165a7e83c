"""Tables of an evaluation: groups of rows, calibration, importance. Plain lists of flat records."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_platform.evaluation.explanation import Contributions
from ml_platform.models.predictor import Importance
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Table = list[dict[str, Any]]

#: Rows of training and of holdout whose shares are compared.
DRIFT_ROWS = 20_000


def group_table(
    frame: "pl.DataFrame",
    by: "pl.Expr",
    task: Task,
    min_support: int,
    min_positives: int,
) -> Table:
    """Metrics of each group of rows, by the group's name.

    ``frame`` has the columns ``label`` and ``prediction``; ``by`` names the group of a row. Every record has
    ``group``, ``rows`` and ``supported``: at least ``min_support`` rows, and ``min_positives`` on either
    side of what the task counts (of a binary one positives and negatives).
    A metric is None where it is undefined or the group not supported.
    """
    import polars as pl

    y, p = pl.col("label"), pl.col("prediction")
    counts = task.counts(y)
    enough = [pl.col("rows") >= min_support]
    for name in counts:
        enough += [pl.col(name) >= min_positives, pl.col("rows") - pl.col(name) >= min_positives]
    result = (
        frame.with_columns(by.cast(pl.String).fill_null("(missing)").alias("group"))
        .group_by("group")
        .agg(rows=pl.len(), **counts, **task.by_group(y, p))
        .with_columns(supported=pl.all_horizontal(enough))
    )
    measured = [name for name in result.columns if name not in {"group", "rows", "supported", *counts}]
    return (
        result.with_columns(
            pl.when(pl.col("supported") & pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in measured
        )
        .sort("group")
        .to_dicts()
    )


def calibration_table(y: "np.ndarray", p: "np.ndarray", bins: int) -> tuple[Table, float]:
    """Predicted against actual in ``bins`` quantile bins of the prediction, and the calibration error.

    A record has ``rows``, ``mean_prediction``, ``mean_label`` and the 10th and 90th percentile of the label.
    The error is the mean over rows of the bin's |mean_label - mean_prediction| (expected calibration
    error, Naeini et al. 2015). Equal predictions share a bin, so there may be fewer bins.
    """
    import numpy as np

    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)))
    codes = np.searchsorted(edges[1:-1], p, "right")
    table: Table = []
    error = 0.0
    for code in np.unique(codes):
        inside = codes == code
        labels, predictions = y[inside], p[inside]
        low, high = np.quantile(labels, [0.1, 0.9])
        table.append(
            {
                "rows": int(inside.sum()),
                "mean_prediction": float(predictions.mean()),
                "mean_label": float(labels.mean()),
                "label_p10": float(low),
                "label_p90": float(high),
            }
        )
        error += len(labels) / len(y) * abs(float(labels.mean()) - float(predictions.mean()))
    return table, error


def confusion_table(y: "np.ndarray", p: "np.ndarray", classes: tuple[str, ...]) -> Table:
    """Rows of each class (``label``) by the class that was decided for, and their number as ``rows``."""
    import numpy as np

    count = len(classes)
    cells = np.bincount(y.astype(int) * count + p.argmax(axis=1), minlength=count**2).reshape(count, count)
    return [
        {"label": name, "rows": int(cells[index].sum())}
        | {f"decided {other}": int(cells[index, column]) for column, other in enumerate(classes)}
        for index, name in enumerate(classes)
    ]


def feature_drift(train: "np.ndarray", holdout: "np.ndarray", features: tuple[str, ...]) -> dict[str, float]:
    """Population stability index of each feature, largest first; its source is in :mod:`~ml_platform.validation.drift`.

    ``train`` and ``holdout`` are rows x features with NaN for missing; some :data:`DRIFT_ROWS` rows of each count.
    """
    import polars as pl

    from ml_platform.validation.drift import drifted_columns

    def drawn(x: "np.ndarray") -> "pl.DataFrame":
        return pl.from_numpy(x[:: max(1, len(x) // DRIFT_ROWS)], schema=list(features)).fill_nan(None)

    return drifted_columns(drawn(train), drawn(holdout), list(features))


def importance_table(known: Mapping[str, Importance] | None, explained: Contributions, names: tuple[str, ...]) -> Table:
    """Every feature with its ``share``, largest first.

    Of the ``gain`` (total reduction of the loss over its splits), with the number of ``splits``; where training knows
    neither, both are None and the share is that of all contributions.
    """
    weights = {name: one.gain for name, one in known.items()} if known is not None else explained.by_feature
    total = sum(weights.values()) or 1.0
    rows = [
        {
            "feature": name,
            "gain": None if known is None else weights.get(name, 0.0),
            "share": weights.get(name, 0.0) / total,
            "splits": None if known is None else (known[name].splits if name in known else 0),
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: (-weights.get(row["feature"], 0.0), row["feature"]))
