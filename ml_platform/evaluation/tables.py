"""Tables of an evaluation: groups of rows, calibration, curves, importance. Plain lists of flat records."""

from typing import TYPE_CHECKING, Any

from ml_platform.models.metrics import EPSILON

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost

Table = list[dict[str, Any]]

#: Points kept of a curve; more cannot be seen.
CURVE_POINTS = 200
#: Rows of training and of holdout whose shares are compared.
DRIFT_ROWS = 20_000


def group_table(
    frame: "pl.DataFrame",
    by: "pl.Expr",
    task: str,
    threshold: float | None,
    min_support: int,
    min_positives: int,
) -> Table:
    """Metrics of each group of rows, by the group's name.

    ``frame`` has the columns ``label`` and ``prediction``; ``by`` names the group of a row. Every record has
    ``group``, ``rows`` and ``supported``: at least ``min_support`` rows, and for a binary task
    ``min_positives`` of both classes. A metric is None where it is undefined or the group not supported.
    """
    import polars as pl

    y, p = pl.col("label"), pl.col("prediction")
    table = frame.with_columns(by.cast(pl.String).fill_null("(missing)").alias("group")).group_by("group")
    if task == "binary":
        positives, negatives = y.sum(), (1 - y).sum()
        selected = p >= pl.lit(threshold)
        # Mann-Whitney: the rank sum of the positives gives the AUC, with ties as half.
        ranks = p.rank("average").filter(y == 1).sum()
        result = table.agg(
            rows=pl.len(),
            positives=positives.cast(pl.Int64),
            base_rate=y.mean(),
            mean_prediction=p.mean(),
            selection_rate=selected.mean(),
            true_positive_rate=(selected & (y == 1)).sum() / positives,
            false_positive_rate=(selected & (y == 0)).sum() / negatives,
            auc=(ranks - positives * (positives + 1) / 2) / (positives * negatives),
            brier=((p - y) ** 2).mean(),
        ).with_columns(
            supported=(pl.col("rows") >= min_support)
            & (pl.col("positives") >= min_positives)
            & (pl.col("rows") - pl.col("positives") >= min_positives)
        )
        plain = {"group", "rows", "positives", "supported"}
    elif task == "multiclass":
        label = y.cast(pl.Int64)
        given = p.arr.get(label).clip(EPSILON)
        result = table.agg(
            rows=pl.len(),
            accuracy=(p.arr.arg_max().cast(pl.Int64) == label).mean(),
            mean_confidence=p.arr.max().mean(),
            log_loss=-given.log().mean(),
        ).with_columns(supported=pl.col("rows") >= min_support)
        plain = {"group", "rows", "supported"}
    else:
        result = table.agg(
            rows=pl.len(),
            mean_target=y.mean(),
            mean_prediction=p.mean(),
            bias=(p - y).mean(),
            mae=(p - y).abs().mean(),
            rmse=((p - y) ** 2).mean().sqrt(),
        ).with_columns(supported=pl.col("rows") >= min_support)
        plain = {"group", "rows", "supported"}
    measured = [name for name in result.columns if name not in plain]
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
    error). Equal predictions share a bin, so there may be fewer bins.
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


def curves(task: str, y: "np.ndarray", p: "np.ndarray") -> dict[str, list[list[float]]]:
    """Curves for the report as lists of points. Of several classes: those of each against the rest, as ``roc 0`` and
    ``precision_recall 0`` for the first.

    Binary: ``roc`` (false positive rate, true positive rate) and ``precision_recall`` (recall, precision).
    Regression: ``residuals`` (left edge of a bin of prediction minus label, rows), 1st to 99th percentile.
    """
    import numpy as np

    if task == "regression":
        residuals = p - y
        low, high = np.quantile(residuals, [0.01, 0.99])
        counts, edges = np.histogram(residuals, bins=60, range=(low, high) if low < high else None)
        return {"residuals": [[float(a), float(b)] for a, b in zip(edges[:-1], counts, strict=True)]}
    if task == "multiclass":
        return {
            f"{name} {place}": points
            for place in range(p.shape[1])
            for name, points in curves("binary", (y == place).astype(float), p[:, place]).items()
        }
    if y.min() == y.max():
        return {}
    from sklearn.metrics import precision_recall_curve, roc_curve

    fpr, tpr, _ = roc_curve(y, p)
    precision, recall, _ = precision_recall_curve(y, p)

    def thin(x: np.ndarray, z: np.ndarray) -> list[list[float]]:
        # Evenly along the curve, so that its steep part keeps its shape.
        length = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(z)))]
        places = np.searchsorted(length, np.linspace(0, length[-1], min(CURVE_POINTS, len(x))))
        return [[float(x[i]), float(z[i])] for i in np.unique(np.r_[0, places, len(x) - 1])]

    return {"roc": thin(fpr, tpr), "precision_recall": thin(recall[::-1], precision[::-1])}


def confusion_table(y: "np.ndarray", p: "np.ndarray", classes: tuple[str, ...]) -> Table:
    """Rows of each class (``label``) by the class that was decided for, and their number as ``rows``."""
    import numpy as np

    count = len(classes)
    cells = np.bincount(y.astype(int) * count + p.argmax(axis=1), minlength=count**2).reshape(count, count)
    return [
        {"label": name, "rows": int(cells[place].sum())}
        | {f"decided {other}": int(cells[place, column]) for column, other in enumerate(classes)}
        for place, name in enumerate(classes)
    ]


def feature_drift(train: "np.ndarray", holdout: "np.ndarray", features: tuple[str, ...]) -> dict[str, float]:
    """Population stability index of each feature from training to holdout rows, largest first."""
    import polars as pl

    from ml_platform.validation.drift import drifted_columns

    def drawn(x: "np.ndarray") -> "pl.DataFrame":
        return pl.from_numpy(x[:: max(1, len(x) // DRIFT_ROWS)], schema=list(features)).fill_nan(None)

    return drifted_columns(drawn(train), drawn(holdout), list(features))


def importance_table(booster: "xgboost.Booster", names: tuple[str, ...]) -> Table:
    """Every feature with ``gain`` (total reduction of the loss over its splits), ``share`` and ``splits``."""
    gain: dict[str, Any] = booster.get_score(importance_type="total_gain")
    splits: dict[str, Any] = booster.get_score(importance_type="weight")
    total = sum(gain.values()) or 1.0
    rows = [
        {
            "feature": name,
            "gain": float(gain.get(name, 0.0)),
            "share": float(gain.get(name, 0.0)) / total,
            "splits": int(splits.get(name, 0)),
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: (-row["gain"], row["feature"]))
