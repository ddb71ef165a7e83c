"""What every task has to do. Subclass it and name the task, the labels and the predictions. It needs pytest."""

import json

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.dry_run import TRIED, mistake
from ml_platform.models.task import chance_of
from ml_platform.testing.answers import AnswerContract
from ml_platform.testing.attributes import others


class TaskContract(AnswerContract):
    """The tests of a task, for one of one's own too."""

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

    def test_each_method_gives_what_evaluations_and_services_ask_for(self) -> None:
        """The types and shapes that ``validate`` asks for, too."""
        y, p = self.labels(), self.predictions
        wrong = [line for name in TRIED if (line := mistake(self.task, name, y, p))]
        assert not wrong, "; ".join(wrong)

    def test_metrics_are_declared_and_come(self) -> None:
        found = self.task.measure(self.labels(), self.predictions)
        assert set(self.task.better) <= set(self.task.measured)
        lacking = set(self.task.measured) - {*found, *self.task.measure(self.labels(), self.right())}
        assert not lacking, f"`measured` names {sorted(lacking)}, which `measure` never gives on these labels"
        # Where few rows leave a metric undefined it is left out.
        assert np.isfinite(list(self.task.measure(self.labels()[:1], self.predictions[:1]).values())).all()
        with pytest.raises(PlatformError, match="0 labels"):
            self.task.measure(self.labels()[:0], self.predictions[:0])

    def test_losses_are_metrics_by_row(self) -> None:
        y, p = self.labels(), self.predictions.astype(np.float64)
        measured = self.task.measure(y, p)
        for name, values in self.task.losses(y, p).items():
            assert float(np.mean(values())) == pytest.approx(measured[name])

    def test_each_row_is_answered_for_where_it_stands(self) -> None:
        """Rows in another order give the same values in that order: what is compared is compared row by row."""
        y, p = self.labels(), self.predictions
        order = np.random.default_rng(1).permutation(len(y))
        target = self.target[:-1][order.tolist()]
        _, found = self.task.labels(pl.DataFrame({"target": target}), "target")
        assert np.array_equal(found, y[order]), "`labels` of rows in another order"
        wide = p.astype(np.float64)
        other = self.task.losses(y[order], wide[order])
        for name, values in self.task.losses(y, wide).items():
            assert np.allclose(other[name](), values()[order]), f"`losses` of {name} are not in the order of the rows"
        assert np.allclose(self.task.scores(p[order]), self.task.scores(p)[order]), "`scores`: not in order"
        pairs = zip(self.task.calibrated(y[order], p[order]), self.task.calibrated(y, p), strict=True)
        assert all(np.allclose(ours, before[order]) for ours, before in pairs), "`calibrated`: not in order"

    def test_different_values_stay_different_labels(self) -> None:
        """Large, small and negative ones too, or they are refused: capped or rounded in silence they would be learnt as
        what never happened."""
        if self.task.output != "value" or not self.target.dtype.is_numeric():
            return
        values = self.target.cast(pl.Float64 if self.target.dtype.is_float() else pl.Int64)
        for kind, others_like in {"large": values * 1000, "small": values / 1000, "negative": -values.abs()}.items():
            try:
                _, y = self.task.labels(pl.DataFrame({"target": others_like}), "target")
            except PlatformError:
                continue
            apart = others_like[:-1].n_unique()
            found = len(np.unique(y))
            assert found == apart, f"of {apart} {kind} values `labels` made {found} different labels"

    def test_a_group_is_measured_by_its_own_rows(self) -> None:
        """Whatever other groups hold."""
        from ml_platform.models.outputs import series

        y, p = self.labels(), self.predictions
        place = np.arange(len(y)) % 3 // 2
        frame = pl.DataFrame({"group": place, "label": y}).with_columns(series("prediction", p))
        groups = self.task.by_group(pl.col("label"), pl.col("prediction"))
        for row in frame.group_by("group").agg(**groups).to_dicts():
            kept = place == row["group"]
            measured = self.task.measure(y[kept], p[kept])
            ours = {name: row[name] for name in measured if row.get(name) is not None}
            assert ours == pytest.approx({name: measured[name] for name in ours}, nan_ok=True), "`by_group` of a group"

    def test_a_group_of_all_rows_has_the_metrics_of_all_rows(self) -> None:
        from ml_platform.models.outputs import series

        frame = pl.DataFrame({"label": self.labels()}).with_columns(series("prediction", self.predictions))
        (row,) = frame.select(**self.task.by_group(pl.col("label"), pl.col("prediction"))).to_dicts()
        measured = self.task.measure(self.labels(), self.predictions)
        both = row.keys() & measured.keys()
        first = self.task.compared[0]
        assert first in both, f"`by_group` has no {first}, by which models are compared first; slices are judged by it"
        assert {name: row[name] for name in both} == pytest.approx({name: measured[name] for name in both})

    def test_worse_predictions_cost_more_than_right_ones(self) -> None:
        """On either side."""
        y, right = self.labels(), self.right()
        best = self.task.cost(y, right)
        assert best is not None
        for worse in (self.predictions, *self.missed(y, slice(None))):
            ours = self.task.cost(y, worse)
            assert ours is not None and best < ours, f"`cost` of wrong predictions is {ours}, of right ones {best}"

    def test_every_row_is_measured(self) -> None:
        """Whatever its label: where one prediction is far off, the most telling metric differs, and so does a cost."""
        task, y = self.task, self.labels()
        name = task.compared[0]
        given = {"": y} | ({" of values by a thousand times larger": y * 1000} if task.output == "value" else {})
        for kind, labels in given.items():
            right = self.right() if not kind else labels
            best = task.measure(labels, right)[name]
            for row in sorted({0, len(y) // 2, len(y) - 1, int(labels.argmin()), int(labels.argmax())}):
                found = [task.measure(labels, p)[name] for p in self.missed(labels, row)]
                told = f"{name}{kind}: where a row of label {labels[row]:g} is far off, `measure` gives the same"
                assert set(found) != {best}, told

    def test_right_predictions_lie_on_the_better_side(self) -> None:
        """By each metric that has one, and apart by those that models are compared by."""
        task, y = self.task, self.labels()
        ours, best = task.measure(y, self.predictions), task.measure(y, self.right())
        gains = {
            name: (best[name] - ours[name]) * (1 if more else -1)
            for name, more in task.better.items()
            if name in ours and name in best
        }
        wrong = [name for name, gain in gains.items() if gain < -1e-9]
        assert not wrong, f"right predictions are worse than others by {', '.join(wrong)}, as `better` has it"
        alike = [name for name in task.compared if gains.get(name, 1) <= 0]
        assert not alike, f"right predictions are no better than others by {', '.join(alike)}; see `compared`"

    def test_a_baseline_knows_the_labels(self) -> None:
        """One at least: of other labels it predicts something else."""
        y = np.sort(self.labels())
        low, high = (self.task.baselines(part, 7) for part in (y[: len(y) // 2], y[len(y) // 2 :]))
        assert low and low.keys() == high.keys()
        same = [name for name, p in low.items() if np.array_equal(p, high[name])]
        assert len(same) < len(low), f"{', '.join(same)}: the same of whatever labels; what beats it shows nothing"

    def test_a_baseline_can_be_beaten_and_is_worth_beating(self) -> None:
        """By right predictions; and it is no worse than most models that answer every row with one same label."""
        task, y, right = self.task, self.labels(), self.right()
        name = task.compared[0]
        sign = 1 if task.better[name] else -1
        worth = [sign * task.measure(y, p)[name] for p in task.baselines(y, len(y)).values()]
        best = sign * task.measure(y, right)[name]
        assert max(worth) < best, f"`baselines`: by {name} one is as good as being right; no model can beat it"
        rows = np.argsort(y)[np.linspace(0, len(y) - 1, 21).astype(int)]
        constants = [
            sign * task.measure(y, np.repeat(right[row : row + 1], len(y), axis=0)).get(name, -np.inf) for row in rows
        ]
        usual = float(np.median(constants))
        assert max(worth) >= usual - 1e-9, (
            f"`baselines`: by {name} the best one reaches {sign * max(worth):g}, and any one label for every row about "
            f"{sign * usual:g}; every model beats that"
        )

    def test_models_are_compared_by_some_of_the_metrics_that_are_asked_for(self) -> None:
        """On these labels by the most telling one, and by none that was not asked for."""
        y, compared = self.labels(), self.task.compared
        found = self.task.comparable(y, compared)
        assert compared[0] in found, f"`comparable` of these labels leaves {compared[0]} out, the first of `compared`"
        assert set(self.task.comparable(y, compared[1:])) <= set(compared[1:])
        assert self.task.comparable(y, ()) == ()

    def test_counts_are_numbers_of_rows(self) -> None:
        y, found = self.labels(), self.task.counts(pl.col("label"))
        if found:
            (row,) = pl.DataFrame({"label": y}).select(**found).to_dicts()
            assert {name: one for name, one in row.items() if not (isinstance(one, int) and 0 <= one <= len(y))} == {}

    def test_calibration_is_of_what_is_actual_first(self) -> None:
        y = self.labels()
        actual, predicted = self.task.calibrated(y, self.predictions)
        other, still = self.task.calibrated(np.roll(y, 1), self.predictions)
        assert np.array_equal(still, predicted), "other labels changed what is predicted; actual comes first"
        assert not np.array_equal(other, actual), "other labels changed nothing in what is actual"
        assert self.rises(predicted), "`calibrated`: what is predicted does not rise with the predictions"

    def rises(self, found: np.ndarray) -> bool:
        """Whether a number of each prediction tells some apart, and where there are no classes, is never smaller for a
        larger prediction."""
        order = np.argsort(self.predictions if self.predictions.ndim == 1 else found, kind="stable")
        return bool(np.ptp(self.predictions) == 0 or (np.ptp(found) > 0 and (np.diff(found[order]) >= 0).all()))

    def test_scores_rise_with_the_predictions(self) -> None:
        """A histogram of numbers that are all the same shows nothing; of classes they only have to differ."""
        found = self.task.scores(self.predictions)
        assert self.rises(found), "`scores` are all the same, or smaller for larger predictions"

    def test_what_a_model_without_knowledge_reaches_is_of_its_metrics(self) -> None:
        """Where the task says so, in `chance`."""
        found = dict(chance_of(self.task))
        assert set(found) <= set(self.task.better) and others(found.values(), float) == []
        task, y = self.task, self.labels()
        best = task.measure(y, self.right())
        gains = {
            name: (best[name] - worth) * (1 if task.better[name] else -1)
            for name, worth in found.items()
            if name in best
        }
        wrong = [name for name, gain in gains.items() if gain <= 0]
        assert not wrong, f"`chance` of {', '.join(wrong)} is no worse than being right"
        others_measured = [
            task.measure(y, p) for p in (self.mistaken(), self.predictions, *task.baselines(y, len(y)).values())
        ]
        sides = {name: 1 if task.better[name] else -1 for name in gains}
        beyond = [
            name
            for name, side in sides.items()
            if side * found[name] < min(side * one[name] for one in others_measured if name in one)
        ]
        assert not beyond, f"`chance` of {', '.join(beyond)} is worse than being always wrong"

    def test_curves_have_names_that_a_report_draws(self) -> None:
        for name, curve in self.task.curves(self.labels(), self.predictions).items():
            assert name.startswith(("roc", "precision_recall", "residuals")) and curve, name

    def test_answers_hold_the_predictions(self) -> None:
        found = self.task.answer(self.predictions)
        numbers = np.array(found[self.task.numbers], np.float32)
        assert np.array_equal(numbers, self.predictions.astype(np.float32)), "`answer` gives other numbers, or rounds"
        assert json.dumps(found, allow_nan=False)
