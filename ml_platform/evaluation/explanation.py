"""What the predictions stand on: mean absolute SHAP values, and how far they are those of the champion."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import xgboost

#: Rows that are explained, and features that are compared.
ROWS = 1_000
TOP = 10
#: Rows whose SHAP values are drawn.
SWARM_ROWS = 250


class Stability(BaseModel):
    """The strongest features of two models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: tuple[str, ...]
    champion: tuple[str, ...]
    #: Share of the champion's strongest features that are among the candidate's.
    overlap: float
    #: Share of all influence (mean absolute SHAP value) that lies on the same features; None of older evaluations.
    influence: float | None = None


def contributions(booster: "xgboost.Booster", x: "np.ndarray", features: tuple[str, ...]) -> dict[str, float]:
    """Mean absolute SHAP value of each feature, largest first, on at most :data:`ROWS` rows of ``x``.

    In units of the model's margin (log-odds for a binary one; of several classes the mean over them), by XGBoost's
    TreeSHAP (Lundberg et al. 2020).
    """
    import numpy as np
    import xgboost

    rows = np.ascontiguousarray(x[:: max(1, len(x) // ROWS)][:ROWS])
    data = xgboost.DMatrix(rows, feature_names=list(features))
    # The last column is the bias.
    found = np.abs(booster.predict(data, pred_contribs=True)[..., :-1])
    values = found.mean(axis=tuple(range(found.ndim - 1)))
    table = {name: float(value) for name, value in zip(features, values, strict=True)}
    return dict(sorted(table.items(), key=lambda item: (-item[1], item[0])))


def beeswarm(
    booster: "xgboost.Booster", x: "np.ndarray", features: tuple[str, ...], strongest: dict[str, float]
) -> list[dict[str, Any]]:
    """SHAP values of a sample of rows for the strongest features, each with the rank of the feature's value (0 to 1).

    Of several classes they are those of the class that is decided for. A missing value has rank None.
    """
    import numpy as np
    import polars as pl
    import xgboost

    rows = np.ascontiguousarray(x[:: max(1, len(x) // SWARM_ROWS)][:SWARM_ROWS])
    values = booster.predict(xgboost.DMatrix(rows, feature_names=list(features)), pred_contribs=True)
    if values.ndim == 3:
        values = values[np.arange(len(rows)), booster.inplace_predict(rows).argmax(axis=1)]
    table = []
    for name in list(strongest)[:TOP]:
        place = features.index(name)
        known = np.isfinite(rows[:, place])
        ranks = np.full(len(rows), np.nan)
        ranks[known] = (pl.Series(rows[known, place]).rank().to_numpy() - 1) / max(1, known.sum() - 1)
        table.append(
            {
                "feature": name,
                "shap": [float(f"{value:.4g}") for value in values[:, place]],
                "value": [None if np.isnan(rank) else round(float(rank), 3) for rank in ranks],
            }
        )
    return table


def stability(ours: dict[str, float], theirs: dict[str, float], top: int = TOP) -> Stability:
    """Overlap of the ``top`` strongest features that have any influence, and of all influence.

    The latter is the sum over the features of the smaller of their two shares of mean absolute SHAP values: 1 for
    models that weigh their features alike, 0 for models that stand on different ones.
    """

    def strongest(values: dict[str, float]) -> tuple[str, ...]:
        return tuple([name for name, value in values.items() if value > 0][:top])

    def share(values: dict[str, float], name: str) -> float:
        return values.get(name, 0.0) / (sum(values.values()) or 1.0)

    candidate, champion = strongest(ours), strongest(theirs)
    overlap = len(set(candidate) & set(champion)) / len(champion) if champion else 1.0
    influence = sum(min(share(ours, name), share(theirs, name)) for name in theirs) if champion else 1.0
    return Stability(candidate=candidate, champion=champion, overlap=overlap, influence=influence)
