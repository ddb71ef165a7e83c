"""What every trainer and the predictor of its files have to do. Subclass it and name the trainer and its data.

It needs pytest.
"""

import pickle
import random
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.models.checked import Misbehaved
from ml_platform.models.predictor import load_predictor, predictor_type
from ml_platform.models.task import TASKS, task_of
from ml_platform.testing.attributes import others
from ml_platform.testing.elsewhere import ZONES, elsewhere, seeds
from ml_platform.testing.explanations import ExplanationContract
from ml_platform.testing.predicting import PredictionContract
from ml_platform.training.trainer import limited, require_limits, rounds_of, trainer_of

#: A training in another process: its standard input is what it is given, its standard output the hash of the model.
_TRAINED = """
import pickle, sys, tempfile
from pathlib import Path
from ml_platform.foundation.files import sha256_bytes
from ml_platform.models.task import task_of
from ml_platform.training.trainer import train, trainer_of
name, parameters, frames, names, target, task = pickle.load(sys.stdin.buffer)
one = trainer_of(name)
with tempfile.TemporaryDirectory() as work:
    declared = one.Parameters.model_validate(parameters)
    done = train(one, lambda: iter(frames), names, target, task_of(*task), declared, Path(work), 1)
    Path(sys.argv[1]).write_text(sha256_bytes(done.file.read_bytes()))
"""


class TrainerContract(PredictionContract, ExplanationContract):
    """The tests of a trainer, for one of one's own too."""

    def test_equal_rows_give_equal_bytes(self) -> None:
        """For any number of threads, and however the rows are divided."""
        one = sha256_bytes(self.fit().content)
        assert sha256_bytes(self.fit().content) == one, "trained again, equal rows gave other bytes"
        assert sha256_bytes(self.fit(threads=2).content) == one, "two threads gave other bytes than one"
        assert sha256_bytes(self.fit(threads=0).content) == one, "0 threads, all cores, gave other bytes than one"
        joined = sha256_bytes(self.fit([pl.concat(self.frames)]).content)
        assert joined == one, "the same rows in one frame gave other bytes than in several"
        other = sha256_bytes(self.fit([self.frames[1], self.frames[1]]).content)
        assert other != one, "other rows gave the same bytes; give the contract two different frames"

    def test_training_in_another_process_makes_equal_bytes(self) -> None:
        """As the next run is one: nothing may depend on the order of a set, which each process makes anew, nor on the
        folder that it was started in, nor on the day."""
        kind = (self.task, tuple(self.classes), self.threshold)
        given = (self.trainer, self.parameters, list(self.frames), list(self.names), self.target, kind)
        ours = sha256_bytes(self.fit().content)
        for seed, zone in zip(cycle(seeds(self.names)), ZONES, strict=False):
            with TemporaryDirectory() as folder:
                file = Path(folder) / "hash"
                done = elsewhere(_TRAINED, pickle.dumps(given), str(file), seed=seed, zone=zone, folder=Path(folder))
                assert done.returncode == 0, done.stderr.decode().strip().splitlines()[-1]
                assert file.read_text() == ours, "trained in another process, equal rows gave other bytes"

    def test_chance_is_left_as_it_was(self) -> None:
        """A training draws from generators of its own: what others draw in this process does not hang on it."""
        self.fit()
        before, others_before = np.random.get_state(legacy=False), random.getstate()
        try:
            np.random.seed(12345)
            random.seed(12345)
            state, others_state = np.random.get_state(legacy=False), random.getstate()
            self.fit()
            same = pickle.dumps(np.random.get_state(legacy=False)) == pickle.dumps(state)
            assert same, "a training draws from or seeds numpy.random; take numpy.random.default_rng(seed)"
            assert random.getstate() == others_state, "a training draws from or seeds random; take random.Random(seed)"
        finally:
            np.random.set_state(before)
            random.setstate(others_before)

    def test_a_feature_that_never_came_is_learnt_or_refused(self) -> None:
        """As a column of a table that is filled from some month on."""
        name = self.names[0]
        never = [frame.with_columns(pl.lit(None, frame.schema[name]).alias(name)) for frame in self.frames]
        try:
            predictor = self.fit(never).predictor
        except Misbehaved:
            raise
        except (PlatformError, ValueError):
            return
        for rows in (self.unseen, never[0]):
            predictor.predict(matrix(rows, self.names))

    def test_only_the_features_and_the_target_are_read(self) -> None:
        """Not other columns of a frame, nor the order of its columns."""
        wide = [
            frame.select(
                pl.lit("text").alias("a text beside"), pl.lit(date(2024, 1, 1)).alias("a date beside"),
                *reversed(frame.columns),
            )
            for frame in self.frames
        ]  # fmt: skip
        assert self.fit(wide).content == self.fit().content, "columns beside, in another order, gave other bytes"

    def test_features_are_learnt_in_the_order_of_their_names(self) -> None:
        """As it is given, which is that of the columns of the matrix: in no order of the trainer's own."""
        other = self.names[::-1]
        one, turned = self.fit().predictor, self.fit(names=other).predictor
        ours, theirs = matrix(self.unseen, self.names), matrix(self.unseen, other)
        ignored = np.array_equal(turned.predict(theirs), one.predict(theirs))
        told = "trained with the names in another order, the model takes the columns of its matrix as before"
        assert not ignored or np.array_equal(one.predict(theirs), one.predict(ours)), told

    def test_rows_with_missing_features_are_learnt(self) -> None:
        """Or refused, or counted as dropped: not left out in silence."""
        pair = self.frames[:2]
        gaps = [_with_gaps(frame, self.names) for frame in pair]
        whole = [frame.filter(pl.int_range(pl.len()) % 3 > 0) for frame in pair]
        try:
            found = self.fit(gaps)
        except Misbehaved:
            raise
        except (PlatformError, ValueError):
            return
        total = sum(frame.height for frame in gaps)
        assert found.trained.rows + found.trained.dropped == total, "rows with missing features are not counted"
        kept = self.fit(whole)
        left_out = found.content == kept.content and found.trained.rows > kept.trained.rows
        assert not left_out, (
            f"of {found.trained.rows} rows that it says it learnt, those with a missing feature change nothing"
        )

    def test_rows_without_a_label_teach_nothing(self) -> None:
        """Missing labels are not learnt as a value: the model is that of the rows that have one."""
        some = [
            frame.with_columns(pl.when(pl.int_range(pl.len()) % 5 > 0).then(self.target).alias(self.target))
            for frame in self.frames
        ]
        known = [self.kind().labels(frame, self.target)[0] for frame in some]
        assert self.fit(some).content == self.fit(known).content, "rows without a label gave other bytes than none"

    def test_it_says_what_it_is(self) -> None:
        """Versions, and packages that are installed."""
        format = self.fit().trained.format
        assert format == (self.format or format), f"format: its files are of {format}"
        trainer, kind = trainer_of(self.trainer), predictor_type(format)
        assert isinstance(trainer.version, int) and others(trainer.equal_versions, str) == []
        missing = [name for name in trainer.libraries if not _installed(name)]
        assert missing == [], "libraries: a tuple of distributions that are installed, as `pip list` names them"
        assert isinstance(kind.suffix, str) and kind.suffix and not kind.suffix.startswith(".")
        missing = others(kind.packages, tuple) or [group for group in kind.packages if not any(map(_installed, group))]
        assert missing == [], "packages: tuples of distributions of which one is installed"
        assert others(kind.unused, str) == [], "unused: names of packages"

    def test_what_its_check_takes_it_can_train(self) -> None:
        """Of every task of the platform: refused before a training, or trained and predicted in its shape."""
        trainer, declared = trainer_of(self.trainer), self.declared()
        trainer.check(declared, self.kind())
        for name in TASKS:
            task = task_of(name, ("a", "b", "c") if name == "multiclass" else (), 0.5 if name == "binary" else None)
            try:
                trainer.check(declared, task)
            except PlatformError:
                continue
            three = pl.int_range(pl.len()) % 3
            values = {"classes": pl.lit(pl.Series(["a", "b", "c"])).gather(three), "probability": three.clip(0, 1)}
            labels = values.get(task.output, three + 1).alias(self.target)
            rows = [frame.with_columns(labels) for frame in self.frames]
            found = self.fit(rows, task=task).predictor.predict(matrix(self.unseen, self.names))
            assert found.shape == (self.unseen.height, *((3,) if task.output == "classes" else ())), name

    def test_its_rounds_can_be_limited(self) -> None:
        """Where it counts any; with fewer it trains too, and more are not made of few."""
        trainer, declared = trainer_of(self.trainer), self.declared()
        require_limits(trainer, declared)
        assert declared == self.declared(), "the parameters that were given stay as they are"
        assert self.fit(parameters=limited(trainer, declared, 1)).trained.rows > 0

    def test_rows_without_a_label_are_left_out_and_counted(self) -> None:
        """As the task reads the labels."""
        done = self.fit().trained
        known = sum(self.kind().labels(frame, self.target)[0].height for frame in self.frames)
        assert (done.rows, done.dropped) == (known, sum(frame.height for frame in self.frames) - known)

    def test_it_beats_what_knows_the_labels_only(self) -> None:
        """In the task's most telling metric."""
        task = self.kind()
        known, y = task.labels(self.unseen, self.target)
        _, before = task.labels(pl.concat(self.frames), self.target)
        ours = task.measure(y, self.fit().predictor.predict(matrix(known, self.names)))
        metric = task.compared[0]
        for trivial in task.baselines(before, len(y)).values():
            gain = ours[metric] - task.measure(y, trivial)[metric]
            assert gain > 0 if task.better[metric] else gain < 0

    def test_a_beginning_tells_other_trainings_apart(self) -> None:
        """Where the predictor has one: texts that other rows change, and fewer rounds leave as they are."""
        trainer, declared = trainer_of(self.trainer), self.declared()
        total, held = rounds_of(trainer, declared), self.fit().predictor
        if not hasattr(held, "beginning"):
            return
        count = min(2, total or 1)
        short = limited(trainer, declared, count)
        ours, again, other = (
            one.beginning(count)  # type: ignore[attr-defined]
            for one in (
                held,
                self.fit(parameters=short).predictor,
                self.fit([self.frames[1], self.frames[1]], parameters=short).predictor,
            )
        )
        assert isinstance(ours, list) and ours and others(ours, str) == [], "beginning: a list of texts"
        assert ours == again, "beginning: trained for as many rounds only, the same rows gave another"
        assert ours != other, "beginning: other rows gave the same"

    def test_what_cannot_be_done_is_named(self) -> None:
        """Unknown parameters, no labels, another width, a file that is no model."""
        trainer = trainer_of(self.trainer)
        with pytest.raises(ValidationError):
            trainer.Parameters.model_validate({**self.parameters, "no_such_parameter": 1})
        labels = pl.lit(None, self.frames[0].schema[self.target])
        with pytest.raises(PlatformError, match="no row has a value of"):
            self.fit([self.frames[0].with_columns(labels.alias(self.target))])
        done = self.fit()
        with pytest.raises(PlatformError, match=f"expects {len(self.names)} features"):
            done.predictor.predict(np.zeros((2, len(self.names) + 1), np.float32))
        with TemporaryDirectory() as folder:
            file = Path(folder) / done.trained.file.name
            file.write_bytes(b"no model")
            with pytest.raises(PlatformError):
                load_predictor(done.trained.format, file)


def _with_gaps(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Where every third row lacks a feature, each another one in turn."""
    row = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when((row % 3 > 0) | (row // 3 % len(names) != place)).then(pl.col(name)).alias(name)
        for place, name in enumerate(names)
    )


def _installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False
