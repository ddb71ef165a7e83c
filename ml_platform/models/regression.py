"""A number: labels and predictions are values of the target, in its unit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import Curve, Output, numeric_labels, paired

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Regression:
    """A regression; with a ``threshold`` the service says for each row whether it is reached."""

    classes: tuple[str, ...] = ()
    threshold: float | None = None

    name: ClassVar[str] = "regression"
    title: ClassVar[str] = "Regression"
    output: ClassVar[Output] = "value"
    measured: ClassVar[tuple[str, ...]] = (
        *("mae", "median_ae", "rmse", "bias", "mean_prediction", "mean_target", "r2"),
    )
    compared: ClassVar[tuple[str, ...]] = ("mae", "rmse", "r2")
    better: ClassVar[Mapping[str, bool]] = {"r2": True, "mae": False, "rmse": False, "median_ae": False}
    #: Of a constant prediction.
    chance: ClassVar[Mapping[str, float]] = {"r2": 0.0}
    unit: ClassVar[str] = "unit of the target"
    axes: ClassVar[tuple[str, str]] = ("mean prediction", "label (mean, 10-90 %)")
    fields: ClassVar[Mapping[str, Any]] = {"predictions": list[float], "decisions": list[bool] | None}
    numbers: ClassVar[str] = "predictions"
    buckets: ClassVar[tuple[float, ...]] = tuple(
        sorted([sign * 2.0**power for sign in (-1, 1) for power in range(12)] + [0.0])
    )

    def check(self) -> None:
        """Classes may not be declared."""
        if self.classes:
            raise PlatformError("classes: a regression model has none; use task: multiclass")

    def labels(self, frame: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, np.ndarray]":
        """Rows whose label is known; it has to be finite."""
        return numeric_labels(frame, target)

    def require(self, y: "np.ndarray", target: str) -> None:
        """Any label will do."""

    def measure(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
        """Metrics of predictions ``p`` for values ``y``, both of shape (rows,), in the unit of the target.

        - ``mae``: mean of |p - y|; ``median_ae``: median of it; ``rmse``: root of the mean of (p - y)^2.
        - ``bias``: mean of p - y; ``mean_prediction``, ``mean_target``.
        - ``r2``: 1 - sum (p - y)^2 / sum (y - mean y)^2; left out where y is constant.

        Raises PlatformError for empty input or different lengths.
        """
        import numpy as np

        y, p = paired(y, p)
        error = p - y
        spread = float(np.sum((y - y.mean()) ** 2))
        result = {
            "mae": float(np.abs(error).mean()),
            "median_ae": float(np.median(np.abs(error))),
            "rmse": float(np.sqrt(np.mean(error**2))),
            "bias": float(error.mean()),
            "mean_prediction": float(p.mean()),
            "mean_target": float(y.mean()),
        }
        if spread > 0:
            result["r2"] = 1 - float(np.sum(error**2)) / spread
        return result

    def losses(self, y: "np.ndarray", p: "np.ndarray") -> "Mapping[str, Callable[[], np.ndarray]]":
        """Absolute distance per row."""
        import numpy as np

        return {"mae": lambda: np.abs(p - y)}

    def cost(self, y: "np.ndarray", p: "np.ndarray") -> float | None:
        """The MAE."""
        import numpy as np

        return float(np.abs(p - y).mean())

    def comparable(self, y: "np.ndarray", metrics: Sequence[str]) -> tuple[str, ...]:
        """All of them."""
        return tuple(metrics)

    def baselines(self, y: "np.ndarray", rows: int) -> "dict[str, np.ndarray]":
        """``median`` of the training labels for every row."""
        import numpy as np

        return {"median": np.full(rows, np.median(y))}

    def counts(self, y: "pl.Expr") -> "dict[str, pl.Expr]":
        """Nothing but rows."""
        return {}

    def by_group(self, y: "pl.Expr", p: "pl.Expr") -> "dict[str, pl.Expr]":
        """Means, bias and errors."""
        return {
            "mean_target": y.mean(),
            "mean_prediction": p.mean(),
            "bias": (p - y).mean(),
            "mae": (p - y).abs().mean(),
            "rmse": ((p - y) ** 2).mean().sqrt(),
        }

    def calibrated(self, y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """As they are."""
        import numpy as np

        return y, p.astype(np.float64)

    def curves(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, Curve]:
        """``residuals``: left edge of a bin of prediction minus label, rows; 1st to 99th percentile."""
        import numpy as np

        residuals = p - y
        low, high = np.quantile(residuals, [0.01, 0.99])
        counts, edges = np.histogram(residuals, bins=60, range=(low, high) if low < high else None)
        return {"residuals": [[float(a), float(b)] for a, b in zip(edges[:-1], counts, strict=True)]}

    def answer(self, p: "np.ndarray") -> dict[str, Any]:
        """One value per row, in order; ``decisions`` where there is a threshold."""
        decided = None if self.threshold is None else (p >= self.threshold).tolist()
        return {"predictions": p.tolist(), "decisions": decided}

    def scores(self, p: "np.ndarray") -> "np.ndarray":
        """The values."""
        return p
