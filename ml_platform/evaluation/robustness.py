"""What a model does with inputs worse than those of the holdout: lost, noisy and extreme features."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.outputs import distance, flipped
from ml_platform.training.train import predict

if TYPE_CHECKING:
    import numpy as np
    import xgboost

#: Rows of the holdout that are disturbed.
ROWS = 5_000
#: Standard deviation of the noise, in standard deviations of the feature.
NOISE = 0.1

Kind = Literal["missing", "noise", "extreme"]


class Disturbance(BaseModel):
    """One way of disturbing the features, and what it did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    #: How much worse the metric got (AUC down, of several classes their mean; MAE up); negative where it got better,
    #: None where undefined.
    loss: float | None
    #: Share of rows whose decision changed, of a model that decides.
    flipped: float | None
    #: Of several classes their total variation.
    mean_absolute_difference: float


def robustness(
    booster: "xgboost.Booster",
    x: "np.ndarray",
    y: "np.ndarray",
    features: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
    task: str,
    threshold: float | None,
    seed: int = 0,
) -> list[Disturbance]:
    """Predict again with disturbed features, on at most :data:`ROWS` rows of ``x`` (rows x features, float32).

    - ``missing``: each feature alone, and each group of ``groups``, is missing in every row.
    - ``noise``: Gaussian noise of :data:`NOISE` standard deviations on every feature with more than two values.
    - ``extreme``: each such feature alone is at the smallest or largest value of ``x`` in one row of ten each: a
      sensor that sticks at its stop.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(len(x), min(ROWS, len(x)), replace=False))
    x, y = np.ascontiguousarray(x[chosen]), y[chosen]
    base = predict(booster, x).astype(np.float64)

    before = _cost(task, y, base)
    found = []
    for name, kind, disturbed in _disturbed(x, features, groups, random):
        p = predict(booster, disturbed).astype(np.float64)
        after = _cost(task, y, p)
        found.append(
            Disturbance(
                name=name,
                kind=kind,
                loss=None if before is None or after is None else after - before,
                flipped=flipped(p, base, threshold),
                mean_absolute_difference=float(distance(p, base).mean()),
            )
        )
    return found


def _cost(task: str, y: "np.ndarray", p: "np.ndarray") -> float | None:
    """What a disturbance makes larger: minus the AUC (mean over classes against the rest), or the MAE."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    if task == "regression":
        return float(np.abs(p - y).mean())
    if task == "binary":
        return -float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else None
    if len(np.unique(y)) < p.shape[1]:
        return None
    return -float(np.mean([roc_auc_score(y == place, p[:, place]) for place in range(p.shape[1])]))


def _disturbed(
    x: "np.ndarray",
    features: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
    random: "np.random.Generator",
) -> "Iterator[tuple[str, Kind, np.ndarray]]":
    import numpy as np

    known = [column[np.isfinite(column)] for column in x.T]
    varied = [place for place, values in enumerate(known) if len(np.unique(values)) > 2]
    for name, members in {**{feature: (feature,) for feature in features}, **groups}.items():
        lost = x.copy()
        lost[:, [features.index(member) for member in members]] = np.nan
        yield name, "missing", lost
    noisy = x.copy()
    for place in varied:
        noisy[:, place] += random.normal(0, NOISE * float(known[place].std()), len(x)).astype(x.dtype)
    yield "all features", "noise", noisy
    draw = random.random(len(x))
    for place in varied:
        stuck = x.copy()
        stuck[draw < 0.1, place] = known[place].min()
        stuck[draw >= 0.9, place] = known[place].max()
        yield features[place], "extreme", stuck
