"""A predictor of one's own: the mean label of the nearest rows that were kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import Importance, check_width


class Nearest:
    """Rows, labels, and how many of them answer."""

    suffix = "npy"
    packages = (("numpy",),)
    unused = ()

    def __init__(self, table: np.ndarray) -> None:
        self.rows, self.labels, self.neighbours = np.nan_to_num(table[:, :-2]), table[:, -2], int(table[0, -1])
        self.width = self.rows.shape[1]

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Self:
        """From the file."""
        try:
            return cls(np.load(file, allow_pickle=False))
        except (ValueError, EOFError, IndexError) as error:
            raise PlatformError(f"model {file} is no table of numbers; train it again") from error

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Row by row, since the sums differ otherwise."""
        check_width(self.width, matrix)
        found = np.empty(len(matrix), np.float32)
        for place, row in enumerate(np.nan_to_num(matrix).astype(np.float64)):
            distances = ((self.rows - row) ** 2).sum(axis=1)
            found[place] = self.labels[np.argsort(distances, kind="stable")[: self.neighbours]].mean()
        return found

    def contributions(self, matrix: np.ndarray) -> None:
        """None."""

    def importance(self, names: Sequence[str]) -> dict[str, Importance] | None:
        """None."""
        return None
