"""A quick fit on the real rows: whether there is anything to learn, and how much."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.checked import measured
from ml_platform.models.predictor import load_predictor
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.declarations.model import ModelSpec

#: Standard errors by which predictions have to agree with the target: one table of noise in a hundred does by chance.
_SIGNAL = 2.33
#: Fits without time, each on all rows but its part.
_FOLDS = 4
_BOOTSTRAPS, _BOOTSTRAP_ROWS = 80, 4_000
#: Fewest clusters that are resampled in place of rows.
_CLUSTERS = 10
#: What is compared between recipes and with a linear model, by what a task predicts.
LOSSES = {"probability": "log_loss", "classes": "log_loss", "value": "mae"}


@dataclass(frozen=True)
class QuickFit:
    """Predictions of rows that the fit has not seen."""

    task: Task
    #: Labels and predictions; the trivial models' predictions, by name.
    y: "np.ndarray"
    p: "np.ndarray"
    trivial: "dict[str, np.ndarray]"
    #: Rows of a holdout, for errors of its size.
    rows: int
    #: What the rows that belong together have in common: the day, or the customer; ``None`` where each is for itself.
    clusters: "np.ndarray | None" = None

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What the fit came to."""
        return measured(self.task, self.y, self.p)

    @cached_property
    def trivially(self) -> dict[str, float]:
        """What the best trivial model came to."""
        return measured(self.task, self.y, next(iter(self.trivial.values())))

    @property
    def against(self) -> str:
        """Name of the trivial model."""
        return next(iter(self.trivial))

    def gain(self, metric: str) -> float:
        """Relative gain over the trivial model, as the gate ``baseline`` takes it."""
        sign = 1 if self.task.better.get(metric, True) else -1
        base = self.trivially[metric]
        return sign * (self.metrics[metric] - base) / abs(base)

    @cached_property
    def spread(self) -> dict[str, float]:
        """Standard error of each metric on a holdout of :attr:`rows`, of the ``gain`` over the trivial model in each,
        and of the ``calibration`` error; by bootstrap over clusters."""
        import numpy as np

        shrunk = math.sqrt(min(self.rows, len(self.y), _BOOTSTRAP_ROWS) / max(self.rows, 1))
        return {name: float(np.std(values)) * shrunk for name, values in self._resampled.items()}

    @cached_property
    def expected_calibration(self) -> float:
        """Calibration error to be expected on a holdout of :attr:`rows`: it grows as the rows become fewer."""
        import numpy as np

        return float(np.mean(self._resampled["calibration"]))

    @cached_property
    def _resampled(self) -> dict[str, list[float]]:
        import numpy as np

        random, size = np.random.default_rng(0), min(self.rows, len(self.y), _BOOTSTRAP_ROWS)
        base = next(iter(self.trivial.values()))
        codes = np.arange(len(self.y)) if self.clusters is None else np.unique(self.clusters, return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        if len(members) < _CLUSTERS:
            members = [*order.reshape(-1, 1)]
        drawn = max(2, round(len(members) * size / len(self.y)))
        found: dict[str, list[float]] = {}
        for _ in range(_BOOTSTRAPS):
            chosen = np.concatenate([members[one] for one in random.integers(0, len(members), drawn)])
            part = QuickFit(self.task, self.y[chosen], self.p[chosen], {self.against: base[chosen]}, size)
            for name, value in part.metrics.items():
                found.setdefault(name, []).append(value)
                if part.trivially.get(name):
                    found.setdefault(f"gain {name}", []).append(part.gain(name))
            found.setdefault("calibration", []).append(part.calibration)
        return found

    @cached_property
    def calibration(self) -> float:
        """Expected calibration error, as the gate takes it."""
        import numpy as np

        from ml_platform.evaluation.tables import calibration_table

        y, p = (np.asarray(part, float) for part in self.task.calibrated(self.y, self.p))
        return calibration_table(y, p, 10)[1]

    @cached_property
    def agreement(self) -> float:
        """Standard errors by which the ranks of the predictions agree with the target; of classes the best one.

        By the ranks' variance where both have nothing to do with each other: about normal, whatever the target's tails.
        """
        import numpy as np

        if self.task.output == "classes":
            each = [_agreement((self.y == index).astype(float), self.p[:, index]) for index in range(self.p.shape[1])]
            # The best of several is better by chance, too.
            return max(each) - math.sqrt(2 * math.log(len(each)))
        return _agreement(np.asarray(self.y, float), np.asarray(self.p, float))

    @property
    def loss(self) -> float:
        """What recipes are compared by."""
        return self.metrics[LOSSES[self.task.output]]

    @property
    def worthless(self) -> bool:
        """Whether a trivial model would have done as well on these rows."""
        found = {
            "probability": lambda: self.metrics["auc"] <= 0.5,
            "classes": lambda: self.gain("log_loss") <= 0,
            "value": lambda: self.metrics.get("r2", 0.0) <= 0,
        }
        return found[self.task.output]()

    @property
    def unrelated(self) -> bool:
        """Whether predictions agree with the target by no more than chance."""
        return self.agreement < _SIGNAL

    @property
    def noise(self) -> bool:
        """Whether nothing says that there is more in the predictions than chance."""
        return self.unrelated or self.worthless


def _agreement(y: "np.ndarray", p: "np.ndarray") -> float:
    import numpy as np
    import polars as pl

    first, second = (pl.Series(part).rank("average").to_numpy() for part in (y, p))
    if len(y) < 3 or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1]) * math.sqrt(len(y) - 1)


def best_fit(
    features: "pl.DataFrame",
    names: tuple[str, ...],
    spec: "ModelSpec",
    parts: "np.ndarray",
    *,
    once: bool,
    rows: int,
    cluster: str = "",
) -> "tuple[QuickFit, int | None]":
    """The better of two recipes on rows that it has not seen: all declared rounds, or a quarter of them, and which.

    A small or noisy table is learnt by heart with all; a fit of another recipe would say nothing of the model to come.
    """
    from ml_platform.training.trainer import rounds_of, trainer_of

    total = rounds_of(trainer_of(spec.trainer), spec.parameters)
    tried = [(quick_fit(features, names, spec, parts, once=once, rows=rows, cluster=cluster), total)]
    if total is not None and total >= 4:
        few = quick_fit(features, names, spec, parts, once=once, rows=rows, cluster=cluster, rounds=total // 4)
        tried.append((few, total // 4))
    return min(tried, key=lambda one: one[0].loss)


def quick_fit(
    features: "pl.DataFrame",
    names: tuple[str, ...],
    spec: "ModelSpec",
    parts: "np.ndarray",
    *,
    once: bool,
    rows: int = 0,
    cluster: str = "",
    rounds: int | None = None,
) -> QuickFit:
    """Fit and predict. ``parts``: with ``once`` 1 for rows that are held out; else the fold of each row. At most
    ``rounds`` of those that are declared; ``rows`` of a holdout, by itself all that were predicted; ``cluster`` is the
    column that rows have in common that belong together.

    Raises PlatformError as the trainer does, and where the rows that are predicted have one class only.
    """
    import numpy as np

    task = spec.kind()
    labels, predictions, together = [], [], []
    trivial: dict[str, list[Any]] = {}
    for train, held in divided(features, parts, once=once):
        y, p, base, known = _fit(train, held, names, spec, task, rounds)
        labels.append(y)
        predictions.append(p)
        if cluster:
            together.append(known[cluster].to_numpy())
        for name, values in base.items():
            trivial.setdefault(name, []).append(values)
    y = np.concatenate(labels)
    if task.output == "probability" and y.min() == y.max():
        raise PlatformError(
            f"all {len(y)} rows that are held out have the same {spec.target!r}, by which no model can be judged; "
            "bring more rows, or another target"
        )
    joined = {name: np.concatenate(values) for name, values in trivial.items()}
    codes = np.concatenate(together) if together else None
    return QuickFit(task, y, np.concatenate(predictions), joined, rows or len(y), codes)


def divided(
    features: "pl.DataFrame", parts: "np.ndarray", *, once: bool
) -> "Iterator[tuple[pl.DataFrame, pl.DataFrame]]":
    """Rows to fit on and rows to predict: once, or fold by fold."""
    import polars as pl

    for fold in [1] if once else sorted(set(parts.tolist())):
        yield features.filter(pl.Series(parts != fold)), features.filter(pl.Series(parts == fold))


def _fit(
    train: "pl.DataFrame",
    held: "pl.DataFrame",
    names: tuple[str, ...],
    spec: "ModelSpec",
    task: Task,
    rounds: int | None,
) -> "tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], pl.DataFrame]":
    from ml_platform.features.build import matrix
    from ml_platform.training.trainer import limited, trainer_of
    from ml_platform.training.trainer import train as trained

    trainer = trainer_of(spec.trainer)
    with tempfile.TemporaryDirectory(prefix="ml-platform-new-") as work:
        few = spec.parameters if rounds is None else limited(trainer, spec.parameters, rounds)
        made = trained(trainer, lambda: iter([train]), names, spec.target, task, few, Path(work), 0)
        model = load_predictor(made.format, made.file)
        known, y = task.labels(held, spec.target)
        _, before = task.labels(train, spec.target)
        return y, model.predict(matrix(known, names)), task.baselines(before, len(y)), known


def folds(frame: "pl.DataFrame", group: tuple[str, ...]) -> "np.ndarray":
    """The fold of each row: rows of a group are in one; without a group, row by row."""
    import numpy as np

    random = np.random.default_rng(0)
    if not group:
        return random.permutation(frame.height) % _FOLDS
    places = frame.select(group).with_row_index("place")
    ids = places.select(group).rows()
    numbers = {one: index for index, one in enumerate(dict.fromkeys(ids))}
    drawn = random.permutation(len(numbers)) % _FOLDS
    return np.array([drawn[numbers[one]] for one in ids])
