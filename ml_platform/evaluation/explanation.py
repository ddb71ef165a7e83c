"""What the predictions depend on: the influence of each feature, and how far it is that of the champion."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.models.outputs import distance
from ml_platform.models.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np

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


class Contributions(NamedTuple):
    """How much each feature moves the predictions, and how that was found."""

    #: Largest first.
    by_feature: dict[str, float]
    by: Literal["shap", "permutation"]
    #: The rows that were explained, ascending, and their SHAP values.
    explained: "tuple[np.ndarray, np.ndarray] | None" = None


def contributions(predictor: Predictor, x: "np.ndarray", features: tuple[str, ...], seed: int = 0) -> Contributions:
    """Mean absolute SHAP value of each feature, largest first, on at most :data:`ROWS` rows of ``x``.

    In units of the model's margin (log-odds for a binary one; of several classes the mean over them). Of a model that
    gives no SHAP values it is the mean absolute change of the prediction (of several classes the total variation)
    where the feature is permuted among the rows.
    """
    import numpy as np

    places = _spread(x, ROWS)
    rows = x[places]
    values = predictor.contributions(rows)
    if values is None:
        random, base = np.random.default_rng(seed), predictor.predict(rows)
        table = {}
        for index, name in enumerate(features):
            moved = rows.copy()
            moved[:, index] = random.permutation(moved[:, index])
            table[name] = float(distance(predictor.predict(moved), base).astype(np.float64).mean())
        return Contributions(_largest_first(table), "permutation")
    means = np.abs(values).mean(axis=tuple(range(values.ndim - 1)))
    return Contributions(
        _largest_first({name: float(value) for name, value in zip(features, means, strict=True)}),
        "shap",
        (places, values),
    )


def _spread(x: "np.ndarray", count: int) -> "np.ndarray":
    """Places of at most ``count`` rows of ``x``, evenly spread."""
    import numpy as np

    return np.arange(0, len(x), max(1, len(x) // count))[:count]


def _largest_first(table: dict[str, float]) -> dict[str, float]:
    return dict(sorted(table.items(), key=lambda item: (-item[1], item[0])))


def beeswarm(
    predictor: Predictor, x: "np.ndarray", features: tuple[str, ...], strongest: Contributions
) -> list[dict[str, Any]]:
    """SHAP values of a sample of rows for the strongest features, each with the rank of the feature's value (0 to 1).

    Of several classes they are those of the class that is decided for. A missing value has rank None. Empty for a
    model that gives no SHAP values.
    """
    import numpy as np
    import polars as pl

    places = _spread(x, SWARM_ROWS)
    rows = x[places]
    explained = strongest.explained
    # Each row costs a millisecond; often they are among those that were explained already.
    if explained is not None and np.isin(places, explained[0]).all():
        values = explained[1][explained[0].searchsorted(places)]
    else:
        values = predictor.contributions(rows)
    if values is None:
        return []
    if values.ndim == 3:
        values = values[np.arange(len(rows)), predictor.predict(rows).argmax(axis=1)]
    table = []
    for name in list(strongest.by_feature)[:TOP]:
        index = features.index(name)
        known = np.isfinite(rows[:, index])
        ranks = np.full(len(rows), np.nan)
        ranks[known] = (pl.Series(rows[known, index]).rank().to_numpy() - 1) / max(1, known.sum() - 1)
        table.append(
            {
                "feature": name,
                "shap": [float(f"{value:.4g}") for value in values[:, index]],
                "value": [None if np.isnan(rank) else round(float(rank), 3) for rank in ranks],
            }
        )
    return table


def stability(ours: dict[str, float], theirs: dict[str, float], top: int = TOP) -> Stability:
    """Overlap of the ``top`` strongest features that have any influence, and of all influence.

    The latter is the sum over the features of the smaller of their two shares of mean absolute SHAP values: 1 for
    models that weigh their features alike, 0 for models that depend on different ones.
    """

    def strongest(values: dict[str, float]) -> tuple[str, ...]:
        return tuple([name for name, value in values.items() if value > 0][:top])

    def share(values: dict[str, float], name: str) -> float:
        return values.get(name, 0.0) / (sum(values.values()) or 1.0)

    candidate, champion = strongest(ours), strongest(theirs)
    overlap = len(set(candidate) & set(champion)) / len(champion) if champion else 1.0
    influence = sum(min(share(ours, name), share(theirs, name)) for name in theirs) if champion else 1.0
    return Stability(candidate=candidate, champion=champion, overlap=overlap, influence=influence)
