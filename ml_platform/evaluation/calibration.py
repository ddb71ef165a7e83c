"""Outputs of a model as what they came to: calibrated on rows that it did not learn from.

Isotonic regression by pool adjacent violators (Zadrozny and Elkan 2002, "Transforming classifier scores into accurate
multiclass probability estimates"): the best non-decreasing step function of the output, whatever its shape. Of several
classes each has one of its own, and what they give is divided by its sum.
"""

from typing import TYPE_CHECKING

from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np


def by_output(task: Task, y: "np.ndarray", outputs: int) -> "np.ndarray":
    """Labels (rows,) as one column for each output, (rows, outputs): of classes 1 where it is the label's."""
    import numpy as np

    return (y[:, None] == np.arange(outputs)).astype(np.float64) if task.output == "classes" else y[:, None]


class Calibration:
    """What outputs of a model mean, by labelled rows: ``y`` (rows,), ``p`` (rows,) or (rows, classes).

    Their mean over those rows is that of the labels.
    """

    def __init__(self, task: Task, y: "np.ndarray", p: "np.ndarray") -> None:
        import numpy as np
        from sklearn.isotonic import IsotonicRegression

        columns = np.asarray(p, np.float64).reshape(len(p), -1)
        actual = by_output(task, np.asarray(y, np.float64), columns.shape[1])
        self._classes = task.output == "classes"
        self._steps = [
            IsotonicRegression(out_of_bounds="clip").fit(column, one)
            for column, one in zip(columns.T, actual.T, strict=True)
        ]

    def of(self, p: "np.ndarray") -> "np.ndarray":
        """The expectation of each row and output, (rows, outputs): probabilities, or a value in the target's unit."""
        import numpy as np

        columns = np.asarray(p, np.float64).reshape(len(p), -1)
        found = np.column_stack([step.predict(column) for step, column in zip(self._steps, columns.T, strict=True)])
        if not self._classes:
            return found
        total = found.sum(axis=1, keepdims=True)
        # Where every class came to nothing there is nothing to tell them apart by.
        return np.divide(found, total, out=np.full_like(found, 1 / found.shape[1]), where=total > 0)
