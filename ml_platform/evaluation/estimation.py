"""Performance before outcomes come: what metrics have to be expected of outputs that say how sure they are.

Of probabilities (binary, several classes) the confusion of each row is known in expectation: a row whose calibrated
probability is c counts with c as a positive and with 1 - c as a negative. So with outputs p and their calibrated c

- accuracy: mean of c[decided class]; precision: sum of c over the selected rows, by their number; recall: the same by
  the sum of all c; f1 of both;
- Brier score: mean of c (1 - p)^2 + (1 - c) p^2; of several classes the sum over them; log loss: mean of
  -c ln p - (1 - c) ln(1 - p);
- AUC: sum of c_i (1 - c_j) over the pairs with p_i > p_j, ties as half, by the sum over all pairs; average precision
  with the same weights.

This is confidence-based performance estimation (Guillory et al. 2021, "Predicting with confidence on unseen
distributions"; Kivimäki et al. 2025, "Confidence-based estimators for predictive performance in model monitoring",
Journal of Artificial Intelligence Research 82). It holds as far as outputs stay calibrated: a changed relation of
features to outcomes is invisible to it, and is what :mod:`~ml_platform.evaluation.expectation` looks for once outcomes
are there.

Of values the loss of a row is expected to be what losses were on the reference where the output was about the same: the
mean in one of :data:`BINS` quantile bins of the output. That is direct loss estimation with the output as the only
feature.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.evaluation.calibration import Calibration
from ml_platform.models.outputs import EPSILON
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np

#: Quantile bins of the output in which losses of values are averaged.
BINS = 20
#: Fewest labelled rows that an estimate is learned from, and fewest rows it is made for.
ROWS = 500


class Labelled(NamedTuple):
    """Rows of a partition that a model did not learn from: what happened, and what it said."""

    y: "np.ndarray"
    p: "np.ndarray"


class Estimator:
    """Expected metrics of outputs without outcomes, learned from labelled rows."""

    def __init__(self, task: Task, reference: Sequence[Labelled]) -> None:
        import numpy as np

        self.task = task
        y, p = (np.concatenate(one) for one in zip(*reference, strict=True))
        if task.output == "value":
            self._losses = _Losses(y, np.asarray(p, np.float64))
        else:
            self._calibration = Calibration(task, y, p)

    def estimate(self, p: "np.ndarray") -> dict[str, float]:
        """Expected metrics of outputs, (rows,) or (rows, classes), by the names of :meth:`Task.measure`."""
        import numpy as np

        p = np.asarray(p, np.float64)
        if self.task.output == "value":
            return self._losses.expected(p)
        c = self._calibration.of(p)
        return _of_classes(c, p) if self.task.output == "classes" else _binary(c[:, 0], p, self.task.threshold)


class Back(NamedTuple):
    """An estimate for a partition beside what it came to."""

    partition: str
    rows: int
    estimated: Mapping[str, float]
    actual: Mapping[str, float]


def back_test(task: Task, history: Mapping[str, Labelled]) -> list[Back]:
    """For each partition but the first what would have been estimated from those before it, and the truth.

    ``history`` is in the order of time. Partitions with fewer than :data:`ROWS` labelled rows, before or at hand, are
    left out.
    """
    found: list[Back] = []
    before: list[Labelled] = []
    for partition, rows in history.items():
        if len(rows.y) >= ROWS and sum(len(one.y) for one in before) >= ROWS:
            estimated = Estimator(task, before).estimate(rows.p)
            measured = task.measure(rows.y, rows.p)
            actual = {name: measured[name] for name in estimated if name in measured}
            found.append(Back(partition, len(rows.y), estimated, actual))
        if len(rows.y):
            before.append(rows)
    return found


def errors(tested: Sequence[Back]) -> dict[str, float]:
    """Largest distance of estimate and truth in a back-test, by metric."""
    found: dict[str, float] = {}
    for one in tested:
        for name, actual in one.actual.items():
            found[name] = max(found.get(name, 0.0), abs(one.estimated[name] - actual))
    return found


def _binary(c: "np.ndarray", p: "np.ndarray", threshold: float | None) -> dict[str, float]:
    import numpy as np

    sure = np.clip(p, EPSILON, 1 - EPSILON)
    found = {
        "brier": float(np.mean(c * (1 - p) ** 2 + (1 - c) * p**2)),
        "log_loss": float(np.mean(-c * np.log(sure) - (1 - c) * np.log(1 - sure))),
        "base_rate": float(c.mean()),
        **_ranking(c, p),
    }
    if threshold is not None and c.sum() > 0:
        selected = p >= threshold
        hits = float(c[selected].sum())
        found["recall"] = hits / float(c.sum())
        found["f1"] = 2 * hits / float(selected.sum() + c.sum())
        if selected.any():
            found["precision"] = hits / float(selected.sum())
    return found


def _ranking(c: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
    """AUC and average precision of rows that are positives with the weight c, negatives with 1 - c."""
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not 0 < c.mean() < 1:
        return {}
    y, twice = np.repeat([1.0, 0.0], len(p)), np.concatenate([p, p])
    weight = np.concatenate([c, 1 - c])
    return {
        "auc": float(roc_auc_score(y, twice, sample_weight=weight)),
        "pr_auc": float(average_precision_score(y, twice, sample_weight=weight)),
    }


def _of_classes(c: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
    import numpy as np

    decided = p.argmax(axis=1)
    # (1 - p[k])^2 for the class that it is, p^2 for the others: their sum is 1 - 2 p[k] + sum p^2.
    squares = (p**2).sum(axis=1)
    found = {
        "accuracy": float(c[np.arange(len(c)), decided].mean()),
        "brier": float(np.mean(1 - 2 * (c * p).sum(axis=1) + squares)),
        "log_loss": float(np.mean(-(c * np.log(np.clip(p, EPSILON, None))).sum(axis=1))),
    }
    each = [_ranking(c[:, index], p[:, index]).get("auc") for index in range(p.shape[1])]
    known = [one for one in each if one is not None]
    return found | ({"auc_macro": float(np.mean(known))} if len(known) == len(each) else {})


class _Losses:
    """Mean losses by the quantile bin of the output."""

    def __init__(self, y: "np.ndarray", p: "np.ndarray") -> None:
        import numpy as np

        self._edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
        places = np.searchsorted(self._edges, p, side="right")
        rows = np.bincount(places, minlength=len(self._edges) + 1)
        error = p - y
        self._means = {
            name: np.bincount(places, values, len(self._edges) + 1) / np.maximum(rows, 1)
            for name, values in (("mae", np.abs(error)), ("rmse", error**2), ("mean_target", y))
        }

    def expected(self, p: "np.ndarray") -> dict[str, float]:
        """``mae`` and ``rmse``, and the mean of the outcome."""
        import numpy as np

        places = np.searchsorted(self._edges, p, side="right")
        found = {name: float(means[places].mean()) for name, means in self._means.items()}
        return found | {"rmse": float(np.sqrt(found["rmse"]))}
