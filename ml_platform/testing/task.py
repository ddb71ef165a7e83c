"""What every task has to do. Subclass it and name the task, the labels and the predictions. It needs pytest."""

import json

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import named
from ml_platform.models.task import DRAWN, Task
from ml_platform.testing.attributes import Wanted, others, require_attributes

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


class TaskContract:
    """The tests of a task, for one of one's own too."""

    #: The task itself, as ``task_of("module:Class", classes, threshold)`` gives it: no text, unlike that of a trainer's
    #: suite.
    task: Task
    #: Values of the target as they come, the last one missing: a column, not its name.
    target: pl.Series
    #: Predictions for all but the last: float32, rows or rows x classes.
    predictions: np.ndarray

    def __init_subclass__(cls) -> None:
        require_attributes(cls, WANTED)

    def labels(self) -> np.ndarray:
        return self.task.labels(pl.DataFrame({"target": self.target}), "target")[1]

    def test_rows_without_a_label_are_left_out(self) -> None:
        known, y = self.task.labels(pl.DataFrame({"target": self.target}), "target")
        assert known.height == len(y) == len(self.target) - 1 and y.dtype == np.float64
        assert np.isfinite(y).all() and known.equals(pl.DataFrame({"target": self.target})[:-1])
        with pytest.raises(PlatformError, match="target other is not among the columns"):
            self.task.labels(pl.DataFrame({"target": self.target}), "other")
        with pytest.raises(PlatformError):
            self.task.labels(pl.DataFrame({"target": [[1.0], [2.0]]}), "target")

    def test_it_says_what_it_is(self) -> None:
        """Texts for people, and ranges for counters."""
        task = self.task
        texts = {"name": task.name, "title": task.title, "unit": task.unit, **dict(enumerate(task.axes))}
        assert {name: text for name, text in texts.items() if not (isinstance(text, str) and text)} == {}, "texts"
        assert task.output in ("probability", "classes", "value") and len(task.axes) == 2
        assert isinstance(task.classes, tuple) and others(task.classes, str) == []
        assert task.threshold is None or isinstance(task.threshold, float)
        assert task.numbers in task.fields and list(task.buckets) == sorted(set(task.buckets)) and task.buckets

    def test_a_declaration_that_fits_is_taken_and_another_is_refused(self) -> None:
        """Classes where there are none, and none where there have to be."""
        self.task.check()
        kind: type = type(self.task)
        with pytest.raises(PlatformError):
            kind((), self.task.threshold).check() if self.task.classes else kind(
                ("a", "b"), self.task.threshold
            ).check()

    def test_what_can_be_learnt_is_taken(self) -> None:
        """And of classes, labels that are all the same are not."""
        y = self.labels()
        self.task.require(y, "target")
        if self.task.output != "value":
            with pytest.raises(PlatformError):
                self.task.require(np.full(len(y), y[0]), "target")

    def test_metrics_are_finite_and_declared(self) -> None:
        found = self.task.measure(self.labels(), self.predictions)
        assert set(found) <= set(self.task.measured) and np.isfinite(list(found.values())).all()
        assert set(self.task.compared) <= set(self.task.better) <= set(self.task.measured)
        # Where few rows leave a metric undefined it is left out.
        assert np.isfinite(list(self.task.measure(self.labels()[:1], self.predictions[:1]).values())).all()
        with pytest.raises(PlatformError, match="0 labels"):
            self.task.measure(self.labels()[:0], self.predictions[:0])

    def test_losses_are_metrics_by_row(self) -> None:
        """Of each that `compared` names and the platform does not draw itself."""
        y, p = self.labels(), self.predictions.astype(np.float64)
        measured = self.task.measure(y, p)
        lacking = set(self.task.compared) - {*DRAWN[self.task.output], *self.task.losses(y, p)}
        assert not lacking, (
            f"{named(self.task)}: `compared` names {sorted(lacking)}; give their values by row in `losses`"
        )
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
        found = self.task.baselines(self.labels(), 7)
        assert found and others(found, str) == []
        for p in found.values():
            assert p.shape == (7, *self.predictions.shape[1:]) and np.isfinite(p).all()

    def test_models_are_compared_by_some_of_the_metrics_that_are_asked_for(self) -> None:
        """On these labels by one at least."""
        found = self.task.comparable(self.labels(), self.task.compared)
        assert isinstance(found, tuple) and found and set(found) <= set(self.task.compared)
        assert self.task.comparable(self.labels(), ()) == ()

    def test_counts_are_numbers_of_rows(self) -> None:
        """By name, as expressions of the column of labels."""
        y, found = self.labels(), self.task.counts(pl.col("label"))
        assert isinstance(found, dict) and others(found.values(), pl.Expr) == []
        if found:
            (row,) = pl.DataFrame({"label": y}).select(**found).to_dicts()
            assert {name: one for name, one in row.items() if not (isinstance(one, int) and 0 <= one <= len(y))} == {}

    def test_calibration_has_a_pair_for_each_row(self) -> None:
        """Actual and predicted, both finite."""
        y = self.labels()
        actual, predicted = self.task.calibrated(y, self.predictions)
        for values in (actual, predicted):
            assert isinstance(values, np.ndarray) and values.shape == y.shape and np.isfinite(values).all()

    def test_curves_are_points_that_a_report_can_keep(self) -> None:
        """Lists of two finite numbers, under names that it draws."""
        found = self.task.curves(self.labels(), self.predictions)
        assert isinstance(found, dict) and json.loads(json.dumps(found, allow_nan=False)) == found
        for name, curve in found.items():
            assert name.startswith(("roc", "precision_recall", "residuals"))
            assert isinstance(curve, list) and curve and [point for point in curve if len(point) != 2] == [], name

    def test_answers_have_the_declared_fields(self) -> None:
        found = self.task.answer(self.predictions)
        assert found.keys() == self.task.fields.keys()
        assert np.allclose(np.array(found[self.task.numbers]), self.predictions)
        assert json.dumps(found, allow_nan=False)
        scores = self.task.scores(self.predictions)
        assert scores.shape == (len(self.predictions),) and np.isfinite(scores).all()
