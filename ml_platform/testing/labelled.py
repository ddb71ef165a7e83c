"""A task with its labels and predictions, as the suites of tasks are given them."""

import numpy as np
import polars as pl

from ml_platform.models.task import Task
from ml_platform.testing.attributes import Wanted, require_attributes

WANTED: Wanted = {
    "task": (
        lambda given: hasattr(given, "labels") and not isinstance(given, type),
        'the task itself: task_of("module:Class", classes, threshold)',
    ),
    "target": (
        lambda given: isinstance(given, pl.Series),
        "a polars Series of values of the target, the last one missing",
    ),
    "predictions": (lambda given: isinstance(given, np.ndarray), "an array: a prediction for each label"),
}


class Labelled:
    """What the tests of a task are about."""

    #: The task itself, as ``task_of("module:Class", classes, threshold)`` gives it: no text, unlike that of a trainer's
    #: suite.
    task: Task
    #: Values of the target as they come, the last one missing: a column, not its name.
    target: pl.Series
    #: Predictions for all but the last: float32, rows or rows x classes.
    predictions: np.ndarray

    def __init_subclass__(cls) -> None:
        require_attributes(cls, WANTED)

    def right(self) -> np.ndarray:
        """The predictions of a model that is always right."""
        y = self.labels()
        return np.eye(len(self.task.classes))[y.astype(int)] if self.task.output == "classes" else y

    def mistaken(self) -> np.ndarray:
        """The predictions of a model that is always wrong."""
        right = self.right()
        return np.roll(right, 1, axis=1) if self.task.output == "classes" else right.max() + right.min() - right

    def labels(self) -> np.ndarray:
        return self.task.labels(pl.DataFrame({"target": self.target}), "target")[1]

    def missed(
        self, y: np.ndarray, rows: "slice | int", right: np.ndarray | None = None, mistaken: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Right predictions but for some rows, which are far off: of a value too high, and too low.

        Those of the task's labels, unless others are given.
        """
        if self.task.output != "value":
            missed = (self.right() if right is None else right).astype(np.float64)
            missed[rows] = (self.mistaken() if mistaken is None else mistaken)[rows]
            return [missed]
        found: list[np.ndarray] = []
        for side in (1, -1):
            missed = y.astype(np.float64)
            missed[rows] += side * 10 * (1 + np.abs(y).max())
            found.append(missed)
        return found
