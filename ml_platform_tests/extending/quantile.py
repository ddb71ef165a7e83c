"""A task of one's own: the value that nine of ten rows stay below."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from ml_platform.models.regression import Regression
from ml_platform.models.task import paired

LEVEL = 0.9


def pinball(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Loss per row, whose mean the quantile makes smallest."""
    return np.maximum(LEVEL * (y - p), (LEVEL - 1) * (y - p))


@dataclass(frozen=True)
class Quantile(Regression):
    """Quantile regression."""

    name: ClassVar[str] = "quantile"
    title: ClassVar[str] = "Quantile regression"
    measured: ClassVar[tuple[str, ...]] = ("pinball", "coverage", *Regression.measured)
    compared: ClassVar[tuple[str, ...]] = ("pinball",)
    better: ClassVar[Mapping[str, bool]] = {**Regression.better, "pinball": False}

    def measure(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        """Also ``pinball`` and ``coverage``, the share of rows below their prediction."""
        y, p = paired(y, p)
        return {
            "pinball": float(pinball(y, p).mean()),
            "coverage": float((y <= p).mean()),
            **super().measure(y, p),
        }

    def losses(self, y: np.ndarray, p: np.ndarray) -> Mapping[str, Callable[[], np.ndarray]]:
        """Pinball loss per row."""
        return {**super().losses(y, p), "pinball": lambda: pinball(y, p)}

    def by_group(self, y: pl.Expr, p: pl.Expr) -> dict[str, pl.Expr]:
        """The mean pinball loss too."""
        loss = pl.max_horizontal(LEVEL * (y - p), (LEVEL - 1) * (y - p)).mean()
        return {**super().by_group(y, p), "pinball": loss}

    def cost(self, y: np.ndarray, p: np.ndarray) -> float:
        """The mean pinball loss."""
        return float(pinball(y, p).mean())

    def baselines(self, y: np.ndarray, rows: int) -> dict[str, np.ndarray]:
        """``quantile`` of the training labels for every row."""
        return {"quantile": np.full(rows, np.quantile(y, LEVEL))}
