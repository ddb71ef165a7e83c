"""What a task makes of a threshold, of labels that are none, and of many rows: part of its suite."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import Task
from ml_platform.testing.labelled import Labelled

#: Rows of a large partition.
MANY = 20_001


class AnswerContract(Labelled):
    """The tests of decisions, of labels that are none, and of many rows."""

    def test_decisions_follow_the_threshold(self) -> None:
        """Whatever it is: from it on a row counts as positive, in `decisions` and where `selection_rate` counts."""
        if self.predictions.ndim > 1:
            pytest.skip("predictions of several classes have no threshold")
        y, p = self.labels(), self.predictions
        for threshold in _between(p):
            task = type(self.task)(self.task.classes, threshold)
            try:
                task.check()
            except PlatformError:
                continue
            positive = p >= threshold
            if "decisions" in task.fields:
                found = task.answer(p).get("decisions")
                told = f"`decisions` of threshold {threshold:g} are not those of predictions from it on"
                assert found == positive.tolist(), told
            groups: Mapping[str, Any] = task.by_group(pl.col("label"), pl.col("prediction"))
            (row,) = pl.DataFrame({"label": y, "prediction": p}).select(**groups).to_dicts()
            for name, counted in {"measure": task.measure(y, p), "by_group": row}.items():
                share = counted.get("selection_rate", positive.mean())
                told = f"`selection_rate` of `{name}` is not the share of predictions from the threshold on"
                assert share == pytest.approx(positive.mean()), told

    def test_the_most_probable_class_is_answered(self) -> None:
        """In one of the fields of texts, where there are any."""
        p = self.predictions
        if self.task.output != "classes":
            pytest.skip("the task has no classes")
        answer = self.task.answer(p)
        named = [
            list(value)
            for name, value in answer.items()
            if name != self.task.numbers and isinstance(value, list) and {*map(str, value)} <= {*self.task.classes}
        ]
        expected = [self.task.classes[place] for place in p.argmax(axis=1)]
        assert not named or expected in named, "`answer` names other classes than the most probable ones"

    def test_what_is_no_label_is_none(self) -> None:
        """NaN and infinite numbers, or texts that are no class: left out or refused, never learnt."""
        odd: list[Any] = []
        if self.target.dtype.is_numeric():
            odd = [float("nan"), float("inf"), float("-inf")]
        elif self.task.output == "classes" and self.target.dtype == pl.String:
            odd = ["no such class"]
        for value in odd:
            kind = pl.Float64 if isinstance(value, float) else pl.String
            given = pl.Series([*self.target[:-1].to_list(), value], dtype=kind, strict=False)
            try:
                known, y = self.task.labels(pl.DataFrame({"target": given}), "target")
            except PlatformError:
                continue
            assert known.height == len(y) == len(given) - 1, f"`labels` takes {value!r} as a label; leave its row out"

    def test_many_rows_are_looked_at_to_the_last(self) -> None:
        """As those of a large holdout are."""
        task, small, places = self.task, self.labels(), np.arange(MANY) % len(self.labels())
        y, p = small[places], self.predictions[places]
        target = self.target[:-1][places.tolist()]
        known, found = task.labels(pl.DataFrame({"target": target}), "target")
        assert known.height == MANY and np.array_equal(found, y), f"of {MANY} rows `labels` gives other labels"
        wide = p.astype(np.float64)
        for name, values in task.losses(y, wide).items():
            few = task.losses(small, self.predictions.astype(np.float64))[name]()
            assert np.allclose(values(), few[places]), f"of {MANY} rows `losses` of {name} are others than of few"
        assert np.allclose(task.scores(p), task.scores(self.predictions)[places]), f"`scores` of {MANY} rows are others"
        pairs = zip(task.calibrated(y, p), task.calibrated(small, self.predictions), strict=True)
        alike = [bool(np.allclose(ours, few[places])) for ours, few in pairs]
        assert alike == [True, True], f"`calibrated` of {MANY} rows gives other values than of few"
        numbers = np.array(task.answer(p)[task.numbers], np.float32)
        assert np.array_equal(numbers, p.astype(np.float32)), f"`answer` of {MANY} rows gives other numbers"
        lengths = {name: len(one) for name, one in task.baselines(small, MANY).items()}
        assert {*lengths.values()} == {MANY}, f"`baselines` for {MANY} rows: {lengths}"
        self.require_the_last_counts(task, y, places)

    def require_the_last_counts(self, task: Task, y: np.ndarray, places: np.ndarray) -> None:
        """A last row that is far off changes the most telling metric, of a group too, and the cost."""
        from ml_platform.models.outputs import series

        name = task.compared[0]
        right = self.right()[places].astype(np.float64)

        def told(p: np.ndarray) -> dict[str, float | None]:
            frame = pl.DataFrame({"label": y}).with_columns(series("prediction", p))
            (row,) = frame.select(**task.by_group(pl.col("label"), pl.col("prediction"))).to_dicts()
            return {"measure": task.measure(y, p)[name], "by_group": row[name], "cost": task.cost(y, p)}

        best = told(right)
        wrong = [told(p) for p in self.missed(y, -1, right, self.mistaken()[places])]
        for method, value in best.items():
            same = {one[method] for one in wrong} == {value}
            assert not same, f"of {MANY} rows `{method}` gives the same where the last one is far off"


def _between(p: np.ndarray) -> list[float]:
    """Thresholds between predictions, low to high."""
    values = np.unique(p.astype(np.float64))
    middles = (values[1:] + values[:-1]) / 2
    return [float(one) for one in middles[np.linspace(0, len(middles) - 1, 5).astype(int)]] if len(middles) else []
