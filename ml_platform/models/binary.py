"""Yes or no: labels 0 and 1, predictions are probabilities of 1."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.outputs import auc, brier_losses, log_losses, roc_curves
from ml_platform.models.task import Curve, Output, numeric_labels, paired

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Binary:
    """A binary classification; ``threshold`` is the probability from which on a row counts as positive."""

    classes: tuple[str, ...] = ()
    threshold: float | None = None

    name: ClassVar[str] = "binary"
    title: ClassVar[str] = "Binary classification"
    output: ClassVar[Output] = "probability"
    measured: ClassVar[tuple[str, ...]] = (
        *("auc", "pr_auc", "brier_skill", "brier", "log_loss", "precision", "recall", "f1"),
        *("base_rate", "mean_prediction", "selection_rate"),
    )
    compared: ClassVar[tuple[str, ...]] = ("auc", "pr_auc", "brier")
    better: ClassVar[Mapping[str, bool]] = {
        **{name: True for name in ("auc", "pr_auc", "brier_skill", "precision", "recall", "f1")},
        **{name: False for name in ("brier", "log_loss")},
    }
    #: Of constant predictions, or of a coin.
    chance: ClassVar[Mapping[str, float]] = {"auc": 0.5, "brier_skill": 0.0, "brier": 0.25, "log_loss": math.log(2)}
    unit: ClassVar[str] = "log-odds"
    axes: ClassVar[tuple[str, str]] = ("predicted probability", "share that happened")
    fields: ClassVar[Mapping[str, Any]] = {"predictions": list[float], "decisions": list[bool] | None}
    numbers: ClassVar[str] = "predictions"
    buckets: ClassVar[tuple[float, ...]] = tuple(step / 20 for step in range(1, 20))

    def check(self) -> None:
        """A threshold has to be declared, classes may not."""
        if self.threshold is None:
            raise PlatformError("decision_threshold: a binary model has to declare it")
        if self.classes:
            raise PlatformError("classes: a binary model has none; use task: multiclass")

    def labels(self, frame: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, np.ndarray]":
        """Rows whose label is known; it has to be 0 or 1."""
        import numpy as np

        known, y = numeric_labels(frame, target)
        if not np.isin(y, (0.0, 1.0)).all():
            raise PlatformError(
                f"target {target} holds values other than 0 and 1; use task: regression or another target"
            )
        return known, y

    def require(self, y: "np.ndarray", target: str) -> None:
        """Both classes have to happen."""
        if y.min() == y.max():
            raise PlatformError(f"training: every {target} is {int(y[0])}; a binary model needs both classes")

    def measure(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
        """Metrics of probabilities ``p`` for labels ``y`` (0 or 1), both of shape (rows,).

        - ``auc``: probability that a random positive scores above a random negative, ties count half.
        - ``pr_auc``: average precision, sum over thresholds of (recall step) x precision.
        - ``brier``: mean of (p - y)^2; ``brier_skill``: 1 - brier / (base_rate x (1 - base_rate)).
        - ``log_loss``: mean of -ln of the predicted probability of the label.
        - ``base_rate``: mean of y; ``mean_prediction``: mean of p.
        - ``precision``, ``recall``, ``f1``: of the decision p >= threshold; ``selection_rate``: its mean.

        With one class only, ``auc``, ``pr_auc`` and ``brier_skill`` are undefined and left out; so is
        ``precision`` where nothing is selected, and ``recall`` without positives.
        Raises PlatformError for empty input, different lengths, or without a threshold.
        """
        import numpy as np
        from sklearn.metrics import average_precision_score, roc_auc_score

        if self.threshold is None:
            raise PlatformError("evaluation: a binary model needs a decision threshold; declare decision_threshold")
        y, p = paired(y, p)
        rate = float(y.mean())
        brier = float(np.mean((p - y) ** 2))
        selected = p >= self.threshold
        hits = float(np.sum(selected * y))
        result: dict[str, float] = {}
        if 0 < rate < 1:
            result["auc"] = float(roc_auc_score(y, p))
            result["pr_auc"] = float(average_precision_score(y, p))
            result["brier_skill"] = 1 - brier / (rate * (1 - rate))
        result["brier"] = brier
        result["log_loss"] = float(np.mean(log_losses(y, p)))
        if selected.any():
            result["precision"] = hits / float(selected.sum())
        if rate > 0:
            result["recall"] = hits / float(y.sum())
            result["f1"] = 2 * hits / float(selected.sum() + y.sum())
        result["base_rate"] = rate
        result["mean_prediction"] = float(p.mean())
        result["selection_rate"] = float(selected.mean())
        return result

    def losses(self, y: "np.ndarray", p: "np.ndarray") -> "Mapping[str, Callable[[], np.ndarray]]":
        """``brier`` and ``log_loss`` of each row, both (rows,): see :mod:`~ml_platform.models.outputs`."""
        return {"brier": lambda: brier_losses(y, p), "log_loss": lambda: log_losses(y, p)}

    def cost(self, y: "np.ndarray", p: "np.ndarray") -> float | None:
        """Minus the AUC."""
        return -auc(y, p) if 0 < y.mean() < 1 else None

    def comparable(self, y: "np.ndarray", metrics: Sequence[str]) -> tuple[str, ...]:
        """None where one class only happens."""
        return tuple(metrics) if y.min() < y.max() else ()

    def baselines(self, y: "np.ndarray", rows: int) -> "dict[str, np.ndarray]":
        """``base_rate``: the share of positives for every row."""
        import numpy as np

        return {"base_rate": np.full(rows, np.mean(y))}

    def counts(self, y: "pl.Expr") -> "dict[str, pl.Expr]":
        """Positives; and so the rest, negatives."""
        import polars as pl

        return {"positives": y.sum().cast(pl.Int64)}

    def by_group(self, y: "pl.Expr", p: "pl.Expr") -> "dict[str, pl.Expr]":
        """Rates of labels and decisions, AUC and Brier score."""
        import polars as pl

        positives, negatives = y.sum(), (1 - y).sum()
        selected = p >= pl.lit(self.threshold)
        # Mann-Whitney: the rank sum of the positives gives the AUC, with ties as half.
        ranks = p.rank("average").filter(y == 1).sum()
        return {
            "base_rate": y.mean(),
            "mean_prediction": p.mean(),
            "selection_rate": selected.mean(),
            "true_positive_rate": (selected & (y == 1)).sum() / positives,
            "false_positive_rate": (selected & (y == 0)).sum() / negatives,
            "auc": (ranks - positives * (positives + 1) / 2) / (positives * negatives),
            "brier": ((p - y) ** 2).mean(),
        }

    def calibrated(self, y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """As they are."""
        import numpy as np

        return y, p.astype(np.float64)

    def curves(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, Curve]:
        """``roc`` (false positive rate, true positive rate) and ``precision_recall`` (recall, precision)."""
        return roc_curves(y, p)

    def answer(self, p: "np.ndarray") -> dict[str, Any]:
        """One probability per row, in order; ``decisions`` where there is a threshold."""
        decided = None if self.threshold is None else (p >= self.threshold).tolist()
        return {"predictions": p.tolist(), "decisions": decided}

    def scores(self, p: "np.ndarray") -> "np.ndarray":
        """The probabilities."""
        return p
