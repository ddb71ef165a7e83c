"""What every task has to do. Subclass it and name the task, the labels and the predictions."""

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import Task


class TaskContract:
    """The tests of a task, for one of one's own too."""

    #: The task, a column of the target with a missing label at its end, and predictions for the others.
    task: Task
    target: pl.Series
    predictions: np.ndarray

    def labels(self) -> np.ndarray:
        return self.task.labels(pl.DataFrame({"target": self.target}), "target")[1]

    def test_rows_without_a_label_are_left_out(self) -> None:
        known, y = self.task.labels(pl.DataFrame({"target": self.target}), "target")
        assert known.height == len(y) == len(self.target) - 1 and y.dtype == np.float64
        with pytest.raises(PlatformError, match="target other is not among the columns"):
            self.task.labels(pl.DataFrame({"target": self.target}), "other")

    def test_metrics_are_finite_and_declared(self) -> None:
        found = self.task.measure(self.labels(), self.predictions)
        assert set(found) <= set(self.task.measured) and np.isfinite(list(found.values())).all()
        assert set(self.task.compared) <= set(self.task.better) <= set(self.task.measured)
        with pytest.raises(PlatformError, match="0 labels"):
            self.task.measure(self.labels()[:0], self.predictions[:0])

    def test_losses_are_metrics_by_row(self) -> None:
        y, p = self.labels(), self.predictions.astype(np.float64)
        measured = self.task.measure(y, p)
        for name, values in self.task.losses(y, p).items():
            assert values().shape == (len(y),)
            assert float(np.mean(values())) == pytest.approx(measured[name])

    def test_a_group_of_all_rows_has_the_metrics_of_all_rows(self) -> None:
        from ml_platform.models.outputs import series

        frame = pl.DataFrame({"label": self.labels()}).with_columns(series("prediction", self.predictions))
        (row,) = frame.select(**self.task.by_group(pl.col("label"), pl.col("prediction"))).to_dicts()
        measured = self.task.measure(self.labels(), self.predictions)
        both = row.keys() & measured.keys()
        assert both and {name: row[name] for name in both} == pytest.approx({name: measured[name] for name in both})

    def test_worse_predictions_cost_more_than_right_ones(self) -> None:
        y = self.labels()
        right = np.eye(len(self.task.classes))[y.astype(int)] if self.task.output == "classes" else y
        ours, best = self.task.cost(y, self.predictions), self.task.cost(y, right)
        assert ours is not None and best is not None and best < ours

    def test_baselines_have_the_shape_of_predictions(self) -> None:
        for p in self.task.baselines(self.labels(), 7).values():
            assert p.shape == (7, *self.predictions.shape[1:])

    def test_answers_have_the_declared_fields(self) -> None:
        found = self.task.answer(self.predictions)
        assert found.keys() == self.task.fields.keys()
        assert np.allclose(np.array(found[self.task.numbers]), self.predictions)
        assert self.task.scores(self.predictions).shape == (len(self.predictions),)
