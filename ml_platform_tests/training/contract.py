"""What every trainer and the predictor of its files have to do. Subclass it and name the trainer."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import load_predictor
from ml_platform.models.task import task_of
from ml_platform.training.trainer import trainer_of
from ml_platform_tests.training.synthetic import NAMES, Fit, fit, month_frame

FRAMES = [month_frame(1), month_frame(2)]
TARGETS = {"binary": "late"}


class TrainerContract:
    """The tests of a trainer, for one of one's own too."""

    #: As declared.
    trainer: str
    parameters: dict[str, Any] = {}  # noqa: RUF012
    task = "binary"

    def trained(self, frames: list[pl.DataFrame] = FRAMES, threads: int = 1) -> Fit:
        target = TARGETS.get(self.task, "arr_delay")
        return fit(frames, target, self.task, trainer=self.trainer, threads=threads, **self.parameters)

    def test_equal_rows_give_equal_bytes(self) -> None:
        one = self.trained().content
        assert self.trained().content == one
        assert self.trained(threads=2).content == one
        assert self.trained([pl.concat(FRAMES)]).content == one
        assert self.trained([FRAMES[1], FRAMES[1]]).content != one

    def test_rows_without_a_label_are_left_out_and_counted(self) -> None:
        done = self.trained().trained
        unlabelled = sum(frame[TARGETS.get(self.task, "arr_delay")].null_count() for frame in FRAMES)
        assert (done.rows, done.dropped) == (sum(frame.height for frame in FRAMES) - unlabelled, unlabelled)

    def test_a_row_is_predicted_as_among_others(self) -> None:
        predictor, x = self.trained().predictor, matrix(month_frame(3), NAMES)
        assert predictor.width == len(NAMES)
        p = predictor.predict(x)
        assert p.dtype == np.float32 and len(p) == len(x) and np.isfinite(p).all()
        for row in range(0, 1500, 97):
            np.testing.assert_array_equal(predictor.predict(x[row : row + 1]), p[row : row + 1])

    def test_it_beats_what_knows_the_labels_only(self) -> None:
        task = task_of(self.task, (), 0.5)
        known, y = task.labels(month_frame(3), TARGETS.get(self.task, "arr_delay"))
        ours = task.measure(y, self.trained().predictor.predict(matrix(known, NAMES)))
        metric = task.compared[0]
        for trivial in task.baselines(y, len(y)).values():
            gain = ours[metric] - task.measure(y, trivial)[metric]
            assert gain > 0 if task.better[metric] else gain < 0

    def test_explanations_have_a_value_per_feature(self) -> None:
        predictor, x = self.trained().predictor, matrix(month_frame(3), NAMES)[:50]
        values = predictor.contributions(x)
        assert values is None or (values.shape[0], values.shape[-1]) == x.shape
        importance = predictor.importance(NAMES)
        assert importance is None or set(importance) <= set(NAMES)

    def test_what_cannot_be_done_is_named(self) -> None:
        trainer = trainer_of(self.trainer)
        with pytest.raises(ValidationError):
            trainer.Parameters.model_validate({**self.parameters, "no_such_parameter": 1})
        with pytest.raises(PlatformError, match="no row has a value of"):
            self.trained([FRAMES[0].with_columns(late=pl.lit(None, pl.Int8), arr_delay=pl.lit(None, pl.Float32))])
        done = self.trained()
        with pytest.raises(PlatformError, match="expects 4 features"):
            done.predictor.predict(np.zeros((2, 3), np.float32))
        with TemporaryDirectory() as folder:
            file = Path(folder) / done.trained.file.name
            file.write_bytes(b"no model")
            with pytest.raises(PlatformError, match="train"):
                load_predictor(done.trained.format, file)
