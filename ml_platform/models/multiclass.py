"""One of several classes: labels are indices of the classes, predictions the probabilities of all of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.outputs import EPSILON, auc, brier_losses, log_losses, roc_curves
from ml_platform.models.task import Curve, Output, paired, target_column

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Multiclass:
    """A classification into ``classes``; decides for the most probable one, so that it has no threshold."""

    classes: tuple[str, ...] = ()
    threshold: float | None = None

    name: ClassVar[str] = "multiclass"
    title: ClassVar[str] = "Classification"
    output: ClassVar[Output] = "classes"
    measured: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss", "brier", "f1_macro", "mean_confidence", "auc_macro")
    compared: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss", "auc_macro", "f1_macro")
    better: ClassVar[Mapping[str, bool]] = {
        **{name: True for name in ("accuracy", "auc_macro", "f1_macro")},
        **{name: False for name in ("brier", "log_loss")},
    }
    unit: ClassVar[str] = "log-odds"
    axes: ClassVar[tuple[str, str]] = ("probability of the most probable class", "share that was right")
    fields: ClassVar[Mapping[str, Any]] = {
        "predictions": list[str],
        "probabilities": list[list[float]],
        "classes": tuple[str, ...],
    }
    numbers: ClassVar[str] = "probabilities"
    buckets: ClassVar[tuple[float, ...]] = tuple(step / 20 for step in range(1, 20))

    @property
    def chance(self) -> Mapping[str, float]:
        """Of equal probabilities for every class."""
        return {"auc_macro": 0.5, "log_loss": math.log(len(self.classes))} if self.classes else {}

    def check(self) -> None:
        """Three or more different classes have to be declared, a threshold may not."""
        if self.threshold is not None:
            raise PlatformError("decision_threshold: a multiclass model decides for the most probable class; remove it")
        if len(self.classes) < 3 or len(set(self.classes)) < len(self.classes):
            raise PlatformError(
                "classes: a multiclass model has to declare three or more different values of its target"
            )

    def labels(self, frame: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, np.ndarray]":
        """Rows whose label is known, texts or numbers; each has to be a class."""
        import polars as pl

        known = frame.filter(target_column(frame, target).is_not_null())
        if known[target].dtype.is_nested():
            raise PlatformError(
                f"target {target} is {known[target].dtype}, no class; make it a text or number in the feature function"
            )
        names = known[target].cast(pl.String)
        if unknown := set(names.unique()) - set(self.classes):
            raise PlatformError(
                f"target {target} holds {', '.join(sorted(unknown)[:5])}, not among the classes "
                f"{', '.join(self.classes)}; declare every class"
            )
        indices = {name: index for index, name in enumerate(self.classes)}
        return known, names.replace_strict(indices, return_dtype=pl.Float64).to_numpy()

    def require(self, y: "np.ndarray", target: str) -> None:
        """Every class has to happen."""
        if lacking := [name for index, name in enumerate(self.classes) if not (y == index).any()]:
            raise PlatformError(f"training: no row has the {target} {', '.join(lacking)}; declare classes that happen")

    def measure(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
        """Metrics of probabilities ``p`` (rows x classes) for labels ``y`` (rows,), indices of the classes.

        - ``accuracy``: share of rows whose most probable class is the label.
        - ``log_loss``: mean of -ln of the predicted probability of the label.
        - ``brier``: mean over rows of the sum over classes of (p - 1[label])^2, from 0 to 2.
        - ``f1_macro``: mean of the F1 of each class that happens or is decided for.
        - ``auc_macro``: mean of the AUC of each class against the rest; left out where a class does not happen.
        - ``mean_confidence``: mean of the largest probability.

        Raises PlatformError for empty input or different lengths.
        """
        import numpy as np
        from sklearn.metrics import f1_score

        y, p = paired(y, p)
        decided = p.argmax(axis=1)
        result = {
            "accuracy": float(np.mean(decided == y)),
            "log_loss": float(np.mean(log_losses(y, p))),
            "brier": float(np.mean(brier_losses(y, p))),
            "f1_macro": float(f1_score(y.astype(int), decided, average="macro")),
            "mean_confidence": float(p.max(axis=1).mean()),
        }
        cost = self.cost(y, p)
        return result if cost is None else result | {"auc_macro": -cost}

    def losses(self, y: "np.ndarray", p: "np.ndarray") -> "Mapping[str, Callable[[], np.ndarray]]":
        """``brier``, ``log_loss`` and ``accuracy`` of each row, all (rows,): see :mod:`~ml_platform.models.outputs`."""
        return {
            "brier": lambda: brier_losses(y, p),
            "log_loss": lambda: log_losses(y, p),
            "accuracy": lambda: p.argmax(axis=1) == y,
        }

    def cost(self, y: "np.ndarray", p: "np.ndarray") -> float | None:
        """Minus the mean AUC of the classes against the rest."""
        import numpy as np

        if len(np.unique(y)) < p.shape[1]:
            return None
        return -float(np.mean([auc(y == index, p[:, index]) for index in range(p.shape[1])]))

    def comparable(self, y: "np.ndarray", metrics: Sequence[str]) -> tuple[str, ...]:
        """Without a row of each class the AUC against the rest is not defined."""
        import numpy as np

        if len(np.unique(y)) == len(self.classes):
            return tuple(metrics)
        return tuple(name for name in metrics if name not in {"auc_macro", "f1_macro"})

    def baselines(self, y: "np.ndarray", rows: int) -> "dict[str, np.ndarray]":
        """``base_rate``: the shares of the classes for every row."""
        import numpy as np

        shares = np.bincount(y.astype(int), minlength=len(self.classes)) / len(y)
        return {"base_rate": np.tile(shares, (rows, 1))}

    def counts(self, y: "pl.Expr") -> "dict[str, pl.Expr]":
        """Nothing but rows."""
        return {}

    def by_group(self, y: "pl.Expr", p: "pl.Expr") -> "dict[str, pl.Expr]":
        """Accuracy, confidence and log loss."""
        import polars as pl

        label = y.cast(pl.Int64)
        given = p.arr.get(label).clip(EPSILON)
        return {
            "accuracy": (p.arr.arg_max().cast(pl.Int64) == label).mean(),
            "mean_confidence": p.arr.max().mean(),
            "log_loss": -given.log().mean(),
        }

    def calibrated(self, y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """The most probable class: how often it is right against how sure the model was."""
        import numpy as np

        return (p.argmax(axis=1) == y).astype(np.float64), p.max(axis=1).astype(np.float64)

    def curves(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, Curve]:
        """Those of each class against the rest, as ``roc 0`` and ``precision_recall 0`` for the first."""
        return {
            f"{name} {index}": points
            for index in range(p.shape[1])
            for name, points in roc_curves((y == index).astype(float), p[:, index]).items()
        }

    def answer(self, p: "np.ndarray") -> dict[str, Any]:
        """The most probable class of each row, in order, and the probabilities of all ``classes`` in their order."""
        return {
            "predictions": [self.classes[index] for index in p.argmax(axis=1)],
            "probabilities": p.tolist(),
            "classes": self.classes,
        }

    def scores(self, p: "np.ndarray") -> "np.ndarray":
        """The largest probability."""
        return p.max(axis=1)
