"""What a model does with inputs worse than those of the holdout: lost, noisy, extreme and unknown ones."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.search import differing, worst_case
from ml_platform.models.outputs import distance, flipped
from ml_platform.models.predictor import Predictor
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np

#: Rows of the holdout that are disturbed.
ROWS = 5_000
#: Standard deviation of the noise, in standard deviations of the feature.
NOISE = 0.1

Kind = Literal["missing", "noise", "extreme", "unseen", "worst_case"]


class Unseen(NamedTuple):
    """Rows of the holdout, and the same with a value that no training row had in one raw column."""

    #: Features (rows x features) and labels (None: no loss is measured); rows without a label are left out.
    x: "np.ndarray"
    y: "np.ndarray | None"
    #: Raw column to the features that its rows have with the unknown value.
    changed: "Mapping[str, np.ndarray]"


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
    #: Rows that it was measured on; None in an evaluation that was made before.
    rows: int | None = None


def robustness(
    predictor: Predictor,
    x: "np.ndarray",
    y: "np.ndarray | None",
    features: tuple[str, ...],
    task: Task,
    options: EvaluationOptions,
    unseen: Unseen | None = None,
) -> list[Disturbance]:
    """Predict again with disturbed features, on at most :data:`ROWS` rows of ``x`` (rows x features, float32).

    Without labels ``y`` no loss is measured.

    - ``missing``: each feature alone, and each of ``options.feature_groups``, is missing in every row.
    - ``noise``: Gaussian noise of :data:`NOISE` standard deviations on every feature with more than two values.
    - ``extreme``: each such feature alone is at the smallest or largest value of ``x`` in one row of ten each: a
      sensor that sticks at its stop.
    - ``unseen``: a raw column holds a value that nobody has seen, in all rows of ``unseen``.
    - ``worst_case``: what small changes of all features at once can do, see
      :func:`~ml_platform.evaluation.search.worst_case`.
    """
    import numpy as np

    random = np.random.default_rng(options.seed)
    chosen = np.sort(random.choice(len(x), min(ROWS, len(x)), replace=False))
    x, y = np.ascontiguousarray(x[chosen]), y[chosen] if y is not None else None
    compare = _Comparison(predictor, task, x, y)
    groups = options.feature_groups
    found = [compare(name, kind, disturbed) for name, kind, disturbed in _disturbed(x, features, groups, random)]
    if unseen is not None:
        compare = _Comparison(predictor, task, unseen.x, unseen.y)
        found += [compare(column, "unseen", changed) for column, changed in unseen.changed.items()]
    within = options.worst_case_within
    rows, worst = worst_case(predictor, x, features, task.threshold, within, options.worst_case_bounds, options.seed)
    changed = _Comparison(predictor, task, rows, None)
    found.append(changed(f"every feature within {within:g} of its interquartile range", "worst_case", worst))
    return found


class _Comparison:
    """Predictions of some rows, compared with those of the same rows disturbed."""

    def __init__(self, predictor: Predictor, task: Task, x: "np.ndarray", y: "np.ndarray | None") -> None:
        self.predictor, self.task, self.x, self.y = predictor, task, x, y
        self.base = self._predict(x)
        self.before = self._cost(self.base)

    def __call__(self, name: str, kind: Kind, disturbed: "np.ndarray") -> Disturbance:
        import numpy as np

        p = self.base.copy()
        # A row that nothing happened to keeps its prediction.
        if len(rows := differing(self.x, disturbed)):
            p[rows] = self._predict(np.ascontiguousarray(disturbed[rows]))
        after = self._cost(p)
        return Disturbance(
            name=name,
            kind=kind,
            loss=None if self.before is None or after is None else after - self.before,
            flipped=flipped(p, self.base, self.task.threshold),
            mean_absolute_difference=float(distance(p, self.base).mean()),
            rows=len(p),
        )

    def _predict(self, x: "np.ndarray") -> "np.ndarray":
        import numpy as np

        return self.predictor.predict(x).astype(np.float64)

    def _cost(self, p: "np.ndarray") -> float | None:
        return None if self.y is None else self.task.cost(self.y, p)


def _disturbed(
    x: "np.ndarray",
    features: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
    random: "np.random.Generator",
) -> "Iterator[tuple[str, Kind, np.ndarray]]":
    import numpy as np

    known = [column[np.isfinite(column)] for column in x.T]
    varied = [index for index, values in enumerate(known) if len(np.unique(values)) > 2]
    for name, members in {**{feature: (feature,) for feature in features}, **groups}.items():
        lost = x.copy()
        lost[:, [features.index(member) for member in members]] = np.nan
        yield name, "missing", lost
    noisy = x.copy()
    for index in varied:
        noisy[:, index] += random.normal(0, NOISE * float(known[index].std()), len(x)).astype(x.dtype)
    yield "all features", "noise", noisy
    draw = random.random(len(x))
    for index in varied:
        stuck = x.copy()
        stuck[draw < 0.1, index] = known[index].min()
        stuck[draw >= 0.9, index] = known[index].max()
        yield features[index], "extreme", stuck
