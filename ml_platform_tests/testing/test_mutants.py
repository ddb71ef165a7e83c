"""Implementations that break their protocol in one method each: the suite of the seam has to turn red."""

import inspect
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from time import sleep
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np
import polars as pl
import pytest

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.foundation.errors import Corrupt, DeclarationError, MissingReference, PlatformError
from ml_platform.foundation.files import made, sha256_bytes, write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Measurement, kind
from ml_platform.models.binary import Binary
from ml_platform.models.multiclass import Multiclass
from ml_platform.models.predictor import Importance, check_width
from ml_platform.models.regression import Regression
from ml_platform.models.task import task_of
from ml_platform.references.files import FileReferences
from ml_platform.references.refs import written
from ml_platform.rollout.record import RolloutRecord
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.records import StaleRecord
from ml_platform.testing.alerts import AlertChannelContract
from ml_platform.testing.gate import GateContract
from ml_platform.testing.references import ReferencesContract
from ml_platform.testing.rollout_records import RolloutRecordsContract
from ml_platform.testing.source import SourceContract
from ml_platform.testing.store import StoreContract
from ml_platform.testing.task import TaskContract
from ml_platform.testing.trainer import TrainerContract
from ml_platform.training.trainer import Trained
from ml_platform_tests.extending.nearest import Nearest
from ml_platform_tests.extending.nearest_trainer import NearestTrainer, Parameters

#: What a test of a suite asks for beside itself, made anew for each.
Fixtures = Callable[[Path], Mapping[str, Any]]


def red(suite: type, fixtures: Fixtures = lambda _: {}, only: str = "") -> Iterator[str]:
    """Names of the tests that fail with what they say, as they are found, of those with ``only`` in their name; those
    that draw or have parameters are left out."""
    for name, test in inspect.getmembers(suite, inspect.isfunction):
        if (
            not name.startswith("test_")
            or only not in name
            or hasattr(test, "hypothesis")
            or getattr(test, "pytestmark", ())
        ):
            continue
        with tempfile.TemporaryDirectory() as folder:
            given, one = fixtures(Path(folder)), suite()
            one.folder = Path(folder)
            try:
                test(one, **{wanted: given[wanted] for wanted in list(inspect.signature(test).parameters)[1:]})
            except pytest.skip.Exception:
                pass
            except (Exception, pytest.fail.Exception) as error:
                yield f"{name}: {error}"


def assert_told(found: Iterator[str]) -> None:
    """A test fails, and says what was found: not only that something was."""
    told = next(found, "")
    name, _, said = told.partition(": ")
    assert name, "no test fails"
    assert said and "generator object" not in said, told


def each(table: Mapping[str, Any]) -> Any:
    return pytest.mark.parametrize("method", [*table])


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=60)

TASK: dict[str, Any] = {
    "name": "",
    "title": "",
    "unit": None,
    "axes": ("one",),
    "output": "text",
    "measured": ("mae",),
    "compared": ("auc",),
    "better": {"auc": True},
    "fields": {"predictions": list[float]},
    "numbers": "values",
    "buckets": (3.0, 1.0),
    "check": lambda self: None,
    "labels": lambda self, frame, target: (frame, frame[target].to_numpy()),
    "require": lambda self, y, target: (_ for _ in ()).throw(PlatformError("never")),
    "measure": lambda self, y, p: {"mae": float("nan")},
    "losses": lambda self, y, p: {"mae": lambda: np.zeros(3)},
    "comparable by row": lambda self, y, p: {},
    "cost": lambda self, y, p: 1.0,
    "comparable": lambda self, y, metrics: 7,
    "baselines": lambda self, y, rows: {"median": np.zeros(rows + 1)},
    "counts": lambda self, y: "many",
    "by_group": lambda self, y, p: {"mae": y.mean()},
    "calibrated": lambda self, y, p: "nonsense",
    "calibrated, swapped": lambda self, y, p: (p.astype(np.float64), y),
    "better, inverted for a loss": {**Regression.better, "mae": True},
    "measured, one that never comes": (*Regression.measured, "mape"),
    "by_group, without the metric": lambda self, y, p: {"bias": (p - y).mean()},
    "baselines, of zeros": lambda self, y, rows: {"median": np.zeros(rows)},
    "chance, of another metric": {"auc": 0.5},
    "chance, better than being right": {"mae": 0.0, "r2": 1.5},
    "chance, worse than being wrong": {"mae": 1e9},
    "chance, that of being right": {"mae": 0.0},
    "losses, sorted": lambda self, y, p: {"mae": lambda: np.sort(np.abs(p - y))},
    "losses, backwards": lambda self, y, p: {"mae": lambda: np.abs(p - y)[::-1]},
    "scores, of the place": lambda self, p: np.arange(len(p), dtype=np.float64),
    "comparable, never by the first": lambda self, y, metrics: tuple(one for one in metrics if one != "mae"),
    "comparable, by what was not asked for": lambda self, y, metrics: ("mae", *metrics) if metrics else (),
    "baselines, too easy": lambda self, y, rows: {"median": np.full(rows, y.max())},
    "baselines, right": lambda self, y, rows: {"median": np.resize(y, rows)},
    "labels, capped": lambda self, frame, target: _capped(*Regression.labels(self, frame, target)),
    "by_group, of all rows": lambda self, y, p: {"mae": (p - y).abs().mean() * y.len() / 60},
    "curves": lambda self, y, p: None,
    "labels, rounded": lambda self, frame, target: _rounded(*Regression.labels(self, frame, target)),
    "measure, without large labels": lambda self, y, p: _of_small(self, y, p),
    "cost, of one side": lambda self, y, p: float(np.maximum(y - p, 0).mean()),
    "calibrated, by the mean": lambda self, y, p: (y, np.full(len(p), p.mean(), np.float64)),
    "answer": lambda self, p: {"predictions": p.tolist()[1:], "decisions": None},
    "answer, decisions the other way": lambda self, p: _decided(p, self.threshold and p < self.threshold),
    "answer, decided from 0.5 on": lambda self, p: _decided(p, self.threshold and p >= 0.5),
    "answer, decides nothing": lambda self, p: _decided(p, None),
    "answer, the first rows": lambda self, p: Regression.answer(self, p) | {"predictions": _first(p).tolist()},
    "labels, NaN and infinity are some": lambda self, frame, target: _whatever_number(frame, target),
    "labels, infinity is one": lambda self, frame, target: _infinite(self, frame, target),
    "measure, of the first rows": lambda self, y, p: Regression.measure(self, y[:10_000], p[:10_000]),
    "losses, of the first rows": lambda self, y, p: {"mae": lambda: _first(np.abs(p - y))},
    "by_group, of the first rows": lambda self, y, p: Regression.by_group(self, y.head(10_000), p.head(10_000)),
    "cost, of the first rows": lambda self, y, p: Regression.cost(self, y[:10_000], p[:10_000]),
    "scores, of the first rows": lambda self, p: _first(p),
    "calibrated, of the first rows": lambda self, y, p: (_first(y), p.astype(np.float64)),
    "labels, of the first rows": lambda self, frame, target: Regression.labels(self, frame.head(10_000), target),
    "baselines, for the first rows": lambda self, y, rows: Regression.baselines(self, y, min(rows, 10_000)),
    "answer, rounded": lambda self, p: {"predictions": p.astype(np.float64).round(8).tolist(), "decisions": None},
    "scores, all the same": lambda self, p: np.zeros(len(p)),
    "scores, of the other sign": lambda self, p: -p,
    "scores": lambda self, p: p[1:],
}


def _decided(p: np.ndarray, decided: np.ndarray | None) -> dict[str, Any]:
    return {"predictions": p.tolist(), "decisions": None if decided is None else decided.tolist()}


def _first(values: np.ndarray) -> np.ndarray:
    """What a computation of the first 10,000 rows leaves behind."""
    found = np.zeros_like(values)
    found[:10_000] = values[:10_000]
    return found


def _whatever_number(frame: pl.DataFrame, target: str) -> tuple[pl.DataFrame, np.ndarray]:
    if target not in frame.columns or frame[target].dtype.is_nested():
        raise PlatformError(f"target {target} is not among the columns")
    known = frame.filter(pl.col(target).is_not_null())
    return known, known[target].cast(pl.Float64).to_numpy()


def _infinite(task: Regression, frame: pl.DataFrame, target: str) -> tuple[pl.DataFrame, np.ndarray]:
    known, y = _whatever_number(frame, target)
    return known.filter(~np.isnan(y)), y[~np.isnan(y)]


def _capped(known: pl.DataFrame, y: np.ndarray) -> tuple[pl.DataFrame, np.ndarray]:
    return known, np.minimum(y, 12)


def _rounded(known: pl.DataFrame, y: np.ndarray) -> tuple[pl.DataFrame, np.ndarray]:
    return known, y.round(3)


def _of_small(task: Regression, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    small = y < 1000 if (y < 1000).any() else y > 0
    return Regression.measure(task, y[small], p[small])


class Regressions(TaskContract):
    task = task_of("regression")
    target = pl.Series([*X.tolist(), None])
    predictions = (X + RANDOM.normal(size=60) / 4).astype(np.float32)


@each(TASK)
def test_a_task(method: str) -> None:
    member = "losses" if method == "comparable by row" else method.partition(",")[0]
    own = type("Own", (Regression,), {member: TASK[method]})
    assert_told(red(type("Suite", (Regressions,), {"task": own()})))


#: Changes of a task of several classes, and of one of yes and no, by its member.
CLASSES: dict[str, Callable[..., Any]] = {
    "answer, the least probable": lambda self, p: {
        **Multiclass.answer(self, p), "predictions": [self.classes[place] for place in p.argmin(axis=1)],
    },
    "labels, another text is the first class": lambda self, frame, target: Multiclass.labels(
        self, frame.with_columns(pl.when(pl.col(target).is_in(self.classes)).then(target).otherwise(
            pl.when(pl.col(target).is_not_null()).then(pl.lit(self.classes[0]))).alias(target)), target,
    ),
}  # fmt: skip
BINARY: dict[str, Callable[..., Any]] = {
    "answer, decided from 0.5 on": lambda self, p: _decided(p, p >= 0.5),
    "measure, decided from 0.5 on": lambda self, y, p: Binary.measure(replace(self, threshold=0.5), y, p),
    "by_group, decided from 0.5 on": lambda self, y, p: Binary.by_group(replace(self, threshold=0.5), y, p),
    "labels, NaN is a no": lambda self, frame, target: Binary.labels(
        self, frame.with_columns(pl.col(target).cast(pl.Float64).fill_nan(0)), target
    ),
}


class Several(TaskContract):
    task = task_of("multiclass", ("a", "b", "c"))
    target = pl.Series(["a", "b", "c"] * 20 + [None])
    predictions = RANDOM.dirichlet(np.ones(3), 60).astype(np.float32)


class YesAndNo(TaskContract):
    task = task_of("binary", (), 0.4)
    target = pl.Series([0, 1] * 30 + [None])
    predictions = (np.tile([0.0, 0.4], 30) + 0.6 * RANDOM.random(60)).astype(np.float32)


@each(CLASSES)
def test_a_task_of_several_classes(method: str) -> None:
    assert [*red(Several)] == []
    own = type("Own", (Multiclass,), {method.partition(",")[0]: CLASSES[method]})
    assert_told(red(type("Suite", (Several,), {"task": own(("a", "b", "c"))})))


@each(BINARY)
def test_a_task_of_yes_and_no(method: str) -> None:
    assert [*red(YesAndNo)] == []
    own = type("Own", (Binary,), {method.partition(",")[0]: BINARY[method]})
    assert_told(red(type("Suite", (YesAndNo,), {"task": own((), 0.4)})))


class Amounts(Regressions):
    """Labels that are never negative."""

    target = pl.Series([*np.exp(X).tolist(), None])
    predictions = (np.exp(X) + RANDOM.normal(size=60) / 4).astype(np.float32)


def test_a_task_that_clips_what_its_labels_do_not_show() -> None:
    def labels(self: Any, frame: pl.DataFrame, target: str) -> tuple[pl.DataFrame, np.ndarray]:
        known, y = Regression.labels(self, frame, target)
        return known, np.maximum(y, 0)

    assert [*red(Amounts)] == []
    assert_told(red(type("Suite", (Amounts,), {"task": type("Own", (Regression,), {"labels": labels})()})))


def frame(seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=120)
    return pl.DataFrame({"a": x, "b": random.normal(size=120), "y": x * 2 + random.normal(size=120) / 4})


def fed(change: Callable[[Trained, Path], Trained]) -> Any:
    def train(self: Any, *given: Any) -> Trained:
        return change(NearestTrainer.train(self, *given), given[5])

    return train


def elsewhere(trained: Trained, _: Path) -> Trained:
    place = Path(tempfile.mkdtemp()) / "model.npy"
    place.write_bytes(trained.file.read_bytes())
    return trained._replace(file=place)


def noisy(trained: Trained, _: Path) -> Trained:
    table = np.load(trained.file)
    table[0, 0] += RANDOM.normal()
    np.save(trained.file, table)
    return trained


TRAINER: dict[str, Any] = {
    "version": "one",
    "equal_versions": (1,),
    "libraries": ("no-such-package",),
    "Parameters": type("Loose", (Parameters,), {"model_config": {"extra": "ignore"}}),
    "check": lambda self, parameters, task: None,
    "rounds": lambda self, parameters: "many",
    "limited": lambda self, parameters, rounds: None,
    "train": fed(noisy),
    "train, elsewhere": fed(elsewhere),
    "train, miscounted": fed(lambda trained, _: trained._replace(dropped=trained.dropped + 1)),
    "train, columns of the frame": lambda self, frames, names, *given: NearestTrainer.train(
        self, frames, [one for one in next(iter(frames())).columns if one in names], *given
    ),
    "train, every column that is a number": lambda self, frames, names, target, *given: NearestTrainer.train(
        self, frames, [one for one in next(iter(frames())).columns if one != target], target, *given
    ),
    "train, missing labels are zeros": lambda self, *given: _unlabelled(self, *given),
    "train, another format": fed(lambda trained, _: trained._replace(format="ubj")),
    "train, on no thread": lambda self, *given: NearestTrainer.train(self, *given) if given[6] else 1 / 0,
    "train, other bytes on all cores": lambda self, *given: (fed(noisy) if given[6] == 0 else NearestTrainer.train)(
        self, *given
    ),
    "train, seeded for everybody": lambda self, *given: _seeded(self, *given),
    "train, names in their order": lambda self, frames, names, *given: NearestTrainer.train(
        self, frames, sorted(names), *given
    ),
    "train, without rows of missing features": lambda self, *given: _without_gaps(self, *given),
    "train, NaN where a feature never came": fed(lambda trained, _: _nan_of_nothing(trained)),
}
#: Changes of the predictor, by its member.
PREDICTOR: dict[str, Any] = {
    "suffix": ".npy",
    "packages": (("no-such-package",),),
    "unused": (1,),
    "width": property(lambda self: 1, lambda self, _: None),
    "load": classmethod(lambda cls, file, threads=1, types=(): _doubled(cls, file, threads)),
    "predict": lambda self, matrix: np.full(len(matrix), len(matrix), np.float32),
    "predict, NaN": lambda self, matrix: np.full(len(matrix), np.nan, np.float32),
    "predict, NaN for what is missing": lambda self, matrix: np.where(
        np.isnan(matrix).any(axis=1), np.float32("nan"), Nearest.predict(self, matrix)
    ),
    "predict, the mean of the batch for what is missing": lambda self, matrix: _mean_of_batch(self, matrix),
    "predict, what is missing only among others": lambda self, matrix: _missing_among_others(self, matrix),
    "predict, into one buffer": lambda self, matrix: _one_buffer(self, matrix),
    "predict, into one buffer of all threads": lambda self, matrix: _shared_buffer(self, matrix),
    "contributions, into one buffer": lambda self, matrix: _one_explanation(self, matrix),
    "predict, in place": lambda self, matrix: _in_place(self, matrix),
    "predict, in place of what is missing": lambda self, matrix: Nearest.predict(
        self, np.nan_to_num(matrix, copy=False)
    ),
    "load, into the class": classmethod(lambda cls, file, threads=1, types=(): _into_class(cls, file)),
    "load, a pickle": classmethod(lambda cls, file, threads=1, types=(): Nearest(np.load(file, allow_pickle=True))),
    "load, by the width": classmethod(lambda cls, file, threads=1, types=(): _by_width(Nearest(np.load(file)))),
    "predict, some rows": lambda self, matrix: (matrix.argmax(), Nearest.predict(self, matrix))[1],
    "predict, the first rows": lambda self, matrix: _the_first(self, matrix),
    "predict, as it lies": lambda self, matrix: Nearest.predict(self, matrix.ravel(order="K").reshape(matrix.shape)),
    "contributions": lambda self, matrix: matrix[:, :1],
    "importance": lambda self, names: {"other": 1.0},
    "contributions, of the batch": lambda self, matrix: np.tile(np.nanmean(matrix, axis=0) * 1e6, (len(matrix), 1)),
    "contributions, swapped": lambda self, matrix: _without_each(self, matrix)[:, ::-1],
    "importance, of the next": lambda self, names: _of_the_next(self, names),
    "contributions_unit": 7,
    "explains_rows": "yes",
    "explains_rows, and nothing is": True,
    "beginning": lambda self, rounds: ["x"],
    "beginning, no text": lambda self, rounds: 7,
}


def _added(trained: Trained, number: float) -> Trained:
    table = np.load(trained.file)
    table[0, 0] += number
    np.save(trained.file, table)
    return trained


def _nan_of_nothing(trained: Trained) -> Trained:
    table = np.load(trained.file)
    if np.isnan(table[:, :-2]).all(axis=0).any():
        table[:, -2] = np.nan
        np.save(trained.file, table)
    return trained


def _seeded(self: Any, *given: Any) -> Trained:
    np.random.seed(7)
    return NearestTrainer.train(self, *given)


KEPT: dict[int, Any] = {}


def _by_width(made: Nearest) -> Nearest:
    return KEPT.setdefault(made.width, made)


def _the_first(self: Any, matrix: np.ndarray) -> np.ndarray:
    found = np.zeros(len(matrix), np.float32)
    found[:1024] = Nearest.predict(self, matrix[:1024])
    return found


def _unlabelled(self: Any, frames: Any, names: Any, target: str, *given: Any) -> Trained:
    kept = NearestTrainer.train(self, frames, names, target, *given)
    filled = NearestTrainer.train(
        self, lambda: (one.with_columns(pl.col(target).fill_null(0)) for one in frames()), names, target, *given
    )
    return filled._replace(rows=kept.rows, dropped=kept.dropped)


def _without_gaps(self: Any, frames: Any, names: Any, *given: Any) -> Trained:
    """Says that every row was learnt."""
    kept = NearestTrainer.train(self, frames, names, *given)
    found = NearestTrainer.train(self, lambda: (one.drop_nulls(names) for one in frames()), names, *given)
    return found._replace(rows=kept.rows, dropped=kept.dropped)


def _mean_of_batch(self: Any, matrix: np.ndarray) -> np.ndarray:
    """What is missing is the mean of the rows that are asked for together."""
    known = np.nan_to_num(matrix).sum(axis=0) / np.maximum(1, (~np.isnan(matrix)).sum(axis=0))
    return Nearest.predict(self, np.where(np.isnan(matrix), known, matrix))


def _missing_among_others(self: Any, matrix: np.ndarray) -> np.ndarray:
    """Alone a row with missing features is refused."""
    if len(matrix) == 1 and np.isnan(matrix).any():
        raise PlatformError("a feature is missing")
    return Nearest.predict(self, matrix)


def _one_buffer(self: Any, matrix: np.ndarray) -> np.ndarray:
    found = Nearest.predict(self, matrix)
    if len(getattr(self, "kept", ())) < len(found):
        self.kept = np.empty(len(found), np.float32)
    self.kept[: len(found)] = found
    return self.kept[: len(found)]


def _shared_buffer(self: Any, matrix: np.ndarray) -> np.ndarray:
    """Each answer is a copy, of what two threads write."""
    check_width(self.width, matrix)
    self.kept = np.empty(len(matrix), np.float32)
    for place in range(len(matrix)):
        found = Nearest.predict(self, matrix[place : place + 1])
        if place < len(self.kept):
            self.kept[place : place + 1] = found
    return np.resize(self.kept, len(matrix)).copy()


def _one_explanation(self: Any, matrix: np.ndarray) -> np.ndarray:
    found = _without_each(self, matrix)
    if len(getattr(self, "told", ())) < len(found):
        self.told = np.empty(found.shape)
    self.told[: len(found)] = found
    return self.told[: len(found)]


def _in_place(self: Any, matrix: np.ndarray) -> np.ndarray:
    found = Nearest.predict(self, matrix)
    matrix[:] = 0
    return found


def _without_each(self: Any, matrix: np.ndarray) -> np.ndarray:
    """What each prediction changes by where a feature is 0."""
    found = Nearest.predict(self, matrix)
    columns = range(matrix.shape[1])
    return np.stack(
        [found - Nearest.predict(self, np.where(one == np.array(columns), 0, matrix)) for one in columns], 1
    )


def _of_the_next(self: Any, names: Any) -> dict[str, Importance]:
    gains = np.ptp(self.rows, axis=0)
    return {names[place - 1]: Importance(float(gain), 1) for place, gain in enumerate(gains)}


def _into_class(cls: Any, file: Path) -> Any:
    cls.kept = Nearest(np.load(file))
    made = type("Shared", (cls,), {"__init__": lambda self: None})()
    for name in ("rows", "labels", "neighbours", "width"):
        setattr(type(made), name, property(lambda self, name=name: getattr(cls.kept, name)))
    return made


def _doubled(cls: Any, file: Path, threads: int) -> Any:
    return cls(np.load(file) * (1 + threads % 2))


class Own(NearestTrainer):
    """What is changed for one test."""


class OwnNearest(Nearest):
    """What is changed for one test."""


class OwnFormat(Own):
    """Its file is read by the predictor that is changed."""

    train = fed(lambda trained, _: trained._replace(format=f"{__name__}:OwnNearest"))


def in_set_order(trained: Trained, _: Path) -> Trained:
    table = np.load(trained.file)
    np.save(trained.file, table[[int(one[1:]) for one in {f"r{place}" for place in range(len(table))}]])
    return trained


class SetOrdered(NearestTrainer):
    """Rows in the order of a set of texts."""

    train = fed(in_set_order)


class OrderOfNames(NearestTrainer):
    """Columns in the order of a set."""

    train: Any = lambda self, frames, names, *given: NearestTrainer.train(self, frames, [*{*names}], *given)


class DayInFile(NearestTrainer):
    """The file says when it was made."""

    train = fed(lambda trained, _: _added(trained, date.today().toordinal()))


class FolderInFile(NearestTrainer):
    """The file says where it was made."""

    train = fed(lambda trained, _: _added(trained, crc32(os.getcwd().encode())))


class Trainers(TrainerContract):
    trainer = f"{__name__}:Own"
    parameters = {"kept": 150, "neighbours": 5}  # noqa: RUF012
    frames = (frame(1), frame(2))
    unseen = frame(3)
    names = ("a", "b")
    target = "y"
    task = "regression"


class InTwo(Nearest):
    """The labels lie in a file beside the model's."""

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Any = ()) -> Any:
        made = cls(np.load(file))
        made.labels = np.load(file.with_name("labels.npy"))
        return made


def in_two(trained: Trained, _: Path) -> Trained:
    np.save(trained.file.with_name("labels.npy"), np.load(trained.file)[:, -2])
    return trained._replace(format=f"{__name__}:InTwo")


class TwoFiles(NearestTrainer):
    """Of a model in two files only one is kept."""

    train = fed(in_two)


@pytest.mark.slow
def test_a_model_in_two_files() -> None:
    assert_told(red(type("Suite", (Trainers,), {"trainer": f"{__name__}:TwoFiles"})))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SetOrdered, OrderOfNames, DayInFile, FolderInFile])
def test_a_trainer_that_makes_something_else_in_another_process(kind: type) -> None:
    found = [*red(type("Suite", (Trainers,), {"trainer": f"{__name__}:{kind.__name__}"}))]
    assert "test_training_in_another_process_makes_equal_bytes: trained in another process" in "".join(found), found


@pytest.mark.slow
@each(TRAINER)
def test_a_trainer(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, method.partition(",")[0], TRAINER[method])
    assert_told(red(Trainers))


@pytest.mark.slow
@each(PREDICTOR)
def test_a_predictor(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnNearest, method.partition(",")[0], PREDICTOR[method], raising=False)
    assert_told(red(type("Suite", (Trainers,), {"trainer": f"{__name__}:OwnFormat"})))


class Till:
    def __init__(self) -> None:
        self.days = {"2024-01-01": 1.0, "2024-01-02": 2.0}

    def change(self) -> str:
        self.days["2024-01-02"] += 1
        return "2024-01-02"

    def partitions(self) -> dict[str, str]:
        return {day: str(amount) for day, amount in self.days.items()}

    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame({"day": [partition] * 2, "amount": [self.days[partition], 3.0]})


class Sources(SourceContract):
    partitions = {"every": "day", "start": "2024-01-01"}  # noqa: RUF012


COUNT = itertools.count()
SOURCE: dict[str, Any] = {
    "partitions": lambda self: {},
    "partitions, no text": lambda self: {"2024-01-01": 1},
    "partitions, another mark each time": lambda self: {"2024-01-01": str(next(COUNT))},
    "partitions, another form": lambda self: {day[:7]: "1" for day in self.days},
    "partitions, always one mark": lambda self: dict.fromkeys(self.days, "1"),
    "read": lambda self, partition: self.days[partition],
    "read, other rows": lambda self, partition: pl.DataFrame({"amount": [next(COUNT)]}),
    "read, another order": lambda self, partition: pl.DataFrame({"amount": [1, 2][:: -1 if next(COUNT) % 2 else 1]}),
    "read, once": lambda self, partition: vars(self).setdefault(partition, Till.read(self, partition)),
    "read, others change too": lambda self, partition: pl.DataFrame(
        {"day": [partition] * 2, "amount": [sum(self.days.values()), 3.0]}
    ),
    "read, nothing of what is unknown": lambda self, partition: (
        Till.read(self, partition) if partition in self.days else pl.DataFrame(schema={"day": pl.String})
    ),
    "read, too few rows": lambda self, partition: pl.DataFrame({"amount": [1]}),
}


class Shop(Till):
    """Two columns, and rows that may change places."""

    def __init__(self) -> None:
        self.rows = {day: [(day, 1.0, "a"), (day, 3.0, "b")] for day in ("2024-01-01", "2024-01-02")}

    def partitions(self) -> dict[str, str]:
        return {day: str(rows) for day, rows in self.rows.items()}

    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame(self.rows[partition], ["day", "amount", "name"], orient="row")

    def changes(self) -> list[Callable[[], str]]:
        day = "2024-01-02"

        def named() -> str:
            self.rows[day][0] = (day, 1.0, "c")
            return day

        def swapped() -> str:
            self.rows[day] = [(day, 3.0, "c"), (day, 1.0, "b")]
            return day

        return [named, swapped]


SHOP: dict[str, Any] = {
    "partitions, of one column": lambda self: {day: str([row[1] for row in rows]) for day, rows in self.rows.items()},
    "partitions, of rows and a sum": lambda self: {
        day: str((len(rows), sum(row[1] for row in rows), sorted(row[2] for row in rows)))
        for day, rows in self.rows.items()
    },
    "read, some rows twice": lambda self, partition: pl.concat(
        [Shop.read(self, partition), Shop.read(self, "2024-01-02")[:1]]
    ),
}


class ShopSources(Sources):
    time = "day"


def shop(kind: type) -> Fixtures:
    def fixtures(_: Path) -> Mapping[str, Any]:
        made = kind()
        return {"source": made, "change": made.changes(), **dict.fromkeys(("refuse", "unreachable", "damage"))}

    return fixtures


@pytest.mark.slow
@each(SHOP)
def test_a_source_of_rows_with_their_time(method: str) -> None:
    assert [*red(ShopSources, shop(Shop))] == []
    assert_told(red(ShopSources, shop(type("Own", (Shop,), {method.partition(",")[0]: SHOP[method]}))))


class HashedMarks(Till):
    """Fingerprints that are others in the next process."""

    def partitions(self) -> dict[str, str]:
        return {day: str(hash(f"{day} {amount}")) for day, amount in self.days.items()}


class SetOrder(Till):
    """Rows in the order of a set."""

    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame({"name": [*{f"{self.days[partition]} {number}" for number in range(50)}]})


class Receipts(Till):
    """Amounts with the second that they came at, of days in UTC; each amount is a part of its day."""

    def __init__(self) -> None:
        begin = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
        self.parts: dict[float, float | None] = {begin + 3600 * hour: hour / 2 for hour in range(0, 48, 4)}

    def change(self) -> str:
        self.parts[max(self.parts)] = 7.0
        return self.day(max(self.parts))

    def damage(self) -> str:
        self.parts[max(self.parts)] = None
        return self.day(max(self.parts))

    def day(self, second: float) -> str:
        return datetime.fromtimestamp(second, UTC).date().isoformat()

    def kept(self) -> dict[float, float | None]:
        return self.parts

    def partitions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for second, amount in self.kept().items():
            found[self.day(second)] = found.get(self.day(second), "") + f" {amount}"
        return found

    def read(self, partition: str) -> pl.DataFrame:
        rows = [amount for second, amount in self.kept().items() if self.day(second) == partition]
        if not rows or None in rows:
            raise PlatformError(f"till: {partition} is not there, or a part of it cannot be read")
        return pl.DataFrame({"amount": rows})


class LocalDays(Receipts):
    def day(self, second: float) -> str:
        return datetime.fromtimestamp(second).date().isoformat()


class SkipsParts(Receipts):
    def kept(self) -> dict[float, float | None]:
        return {second: amount for second, amount in self.parts.items() if amount is not None}


class SkipsDays(Receipts):
    """A partition of which a part cannot be read is not offered."""

    def partitions(self) -> dict[str, str]:
        whole = {day: mark for day, mark in super().partitions().items() if "None" not in mark}
        return whole


class RawOfParts(Receipts):
    def read(self, partition: str) -> pl.DataFrame:
        try:
            return super().read(partition)
        except PlatformError as error:
            raise OSError("input/output error") from error


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LocalDays, SkipsParts, SkipsDays, RawOfParts])
def test_a_source_of_parts_with_their_time(kind: type) -> None:
    assert [*red(Sources, till(Receipts))] == []
    assert_told(red(Sources, till(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [HashedMarks, SetOrder])
def test_a_source_that_says_something_else_in_another_process(kind: type) -> None:
    found = [*red(Sources, till(kind))]
    assert len(found) == 1 and found[0].startswith("test_another_process_is_told_the_same: "), found


def test_a_source_that_says_the_same_everywhere() -> None:
    assert [*red(Sources, till(Till))] == []


SECRET = "open-sesame"  # pragma: allowlist secret


class Guarded(Till):
    """Behind a token."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = False

    def refuse(self) -> str:
        self.refused = True
        return SECRET

    def require(self) -> None:
        if self.refused:
            raise PlatformError("till: the token is refused; set TILL_TOKEN")

    def partitions(self) -> dict[str, str]:
        self.require()
        return super().partitions()

    def read(self, partition: str) -> pl.DataFrame:
        self.require()
        return super().read(partition)


class EmptyWhenRefused(Guarded):
    def partitions(self) -> dict[str, str]:
        return {} if self.refused else super().partitions()


class NoRowsWhenRefused(Guarded):
    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame() if self.refused else super().read(partition)


class TellsTheSecret(Guarded):
    def require(self) -> None:
        if self.refused:
            raise PlatformError(f"till: {SECRET} is refused")


class TellsInTwoLines(Guarded):
    def require(self) -> None:
        if self.refused:
            raise PlatformError("till: it answered\n401")


class TellsByTheReason(Guarded):
    def require(self) -> None:
        if self.refused:
            raise PlatformError("till: refused") from ValueError(SECRET)


class AnyError(Guarded):
    def require(self) -> None:
        if self.refused:
            raise ValueError("401")


class Far(Guarded):
    """Behind a network."""

    def unreachable(self) -> None:
        self.refused = True

    def refuse(self) -> Any:
        pytest.skip("no credentials")


class EmptyWhenUnreachable(Far):
    def partitions(self) -> dict[str, str]:
        return {} if self.refused else Till.partitions(self)


class RawWhenUnreachable(Far):
    def require(self) -> None:
        if self.refused:
            raise ConnectionError("no route")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EmptyWhenUnreachable, RawWhenUnreachable])
def test_a_source_that_cannot_be_reached(kind: type) -> None:
    assert_told(red(Sources, till(kind)))
    assert [*red(Sources, till(Far))] == []


class ShowsTheSecret(Guarded):
    def __repr__(self) -> str:
        return f"Till({SECRET})"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [EmptyWhenRefused, NoRowsWhenRefused, TellsTheSecret, TellsInTwoLines, TellsByTheReason, AnyError, ShowsTheSecret],
)
def test_a_source_whose_credentials_are_refused(kind: type) -> None:
    assert_told(red(Sources, till(kind)))
    assert [*red(Sources, till(Guarded))] == []


def till(kind: type) -> Fixtures:
    def fixtures(_: Path) -> Mapping[str, Any]:
        made = kind()
        optional = {name: getattr(made, name, None) for name in ("refuse", "unreachable", "damage")}
        return {"source": made, "change": made.change, **optional}

    return fixtures


@each(SOURCE)
def test_a_source(method: str) -> None:
    assert_told(red(Sources, till(type("Own", (Till,), {method.partition(",")[0]: SOURCE[method]}))))


STORE: dict[str, Any] = {
    "open": lambda self, ref, path: BytesIO(self._files.path(self._found(ref, path)[0].md5).read_bytes()),
    "local_path": lambda self, ref, path: self._files.path(self._found(ref, path)[0].md5),
    "local_path, writable": lambda self, ref, path: _writable(EmbeddedStore.local_path(self, ref, path)),
    "create_branch": lambda self, name, source="main", exist_ok=False: EmbeddedStore.create_branch(
        self, name, source, exist_ok=True
    ),
    "delete_branch": lambda self, name: None,
    "branches": lambda self, prefix="": EmbeddedStore.branches(self),
    "resolve": lambda self, ref: "0" * 40,
    "tag": lambda self, name, ref, exist_ok=False: EmbeddedStore.tag(self, name, ref, exist_ok=True),
    "tags": lambda self, prefix="": {},
    "commit": lambda self, branch, files, message, metadata=None, objects=None: EmbeddedStore.commit(
        self, branch, files, message, metadata
    ),
    "merge": lambda self, source, dest, message, metadata=None: EmbeddedStore.merge(self, source, dest, message),
    "revert": lambda self, branch, commit, parent_number=0, metadata=None: EmbeddedStore.resolve(self, branch),
    "diff": lambda self, left, right: [],
    "stat": lambda self, ref, path: None,
    "list": lambda self, ref, prefix="": EmbeddedStore.list(self, ref),
    "log": lambda self, ref, limit=None: EmbeddedStore.log(self, ref),
    "url": lambda self, ref, path="": "",
    "url, with the secret": lambda self, ref, path="": f"{EmbeddedStore.url(self, ref, path)}?token={SECRET}",
    "open, the beginning": lambda self, ref, path: BytesIO(EmbeddedStore.open(self, ref, path).read()[:65536]),
    "open, looked at where it is read from its beginning": lambda self, ref, path: _unverified(self, ref, path),
    "branches, a page": lambda self, prefix="": EmbeddedStore.branches(self, prefix)[:100],
    "tags, a page": lambda self, prefix="": dict([*EmbeddedStore.tags(self, prefix).items()][:100]),
    "open, forwards only": lambda self, ref, path: Forwards(EmbeddedStore.open(self, ref, path).read()),
    "list, a page": lambda self, ref, prefix="": EmbeddedStore.list(self, ref, prefix)[:1000],
    "log, a page": lambda self, ref, limit=None: itertools.islice(EmbeddedStore.log(self, ref, limit), 100),
    "log, local times": lambda self, ref, limit=None: (
        replace(one, created=one.created.replace(tzinfo=None).astimezone(UTC))
        for one in EmbeddedStore.log(self, ref, limit)
    ),
    "commit, other ends of lines": lambda self, branch, files, *given, **named: EmbeddedStore.commit(
        self, branch, {name: file and _with_newlines(file) for name, file in files.items()}, *given, **named
    ),
    "commit, no message": lambda self, branch, files, message, *given, **named: EmbeddedStore.commit(
        self, branch, files, "commit", *given, **named
    ),
}


class Unverified(BytesIO):
    """Bytes that are compared with what they should be by who reads them whole."""

    right = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 0 and not self.right:
            raise Corrupt("a/b is damaged")
        return super().read(size)


def _unverified(store: EmbeddedStore, ref: str, path: str) -> Unverified:
    found = Unverified(store._files.path(store._found(ref, path)[0].md5).read_bytes())
    found.right = sha256_bytes(found.getvalue()) == store.stat(ref, path).sha256
    return found


class Forwards(BytesIO):
    """A stream that is read once."""

    def seekable(self) -> bool:
        return False


def _with_newlines(file: Path) -> Path:
    data = file.read_bytes()
    if b"\r\n" in data and b"\x00" not in data:
        file = file.with_name(f"{file.name}-lf")
        file.write_bytes(data.replace(b"\r\n", b"\n"))
    return file


class Unlocked(EmbeddedStore):
    """What another one merged meanwhile is undone."""

    def merge(self, source: str, dest: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        seen = self._repo.target(f"refs/heads/{dest}")
        sleep(0.01)
        with self._repo.lock():
            if seen is not None:
                self._repo.point(f"refs/heads/{dest}", seen, force=True)
        return super().merge(source, dest, message, metadata)


#: What holds off others of this process only.
OF_THIS_PROCESS: Any = {}


def held_here() -> Any:
    return OF_THIS_PROCESS.setdefault("lock", Lock())


class LockedHere(Unlocked):
    """Threads wait for each other, and processes do not."""

    def merge(self, *given: Any, **named: Any) -> str:
        with held_here():
            return super().merge(*given, **named)


@pytest.mark.slow
def test_a_store_that_is_locked_in_one_process_only() -> None:
    found = [
        *red(StoreContract, opened(lambda folder: LockedHere(folder / "store", "test-repo"), "open_store"), "at_once")
    ]
    assert [one.partition(":")[0] for one in found] == ["test_what_two_processes_write_at_once_is_all_there"], found


@pytest.mark.slow
def test_a_store_without_a_lock() -> None:
    found = [
        *red(StoreContract, opened(lambda folder: Unlocked(folder / "store", "test-repo"), "open_store"), "at_once")
    ]
    names = [f"test_what_{several}_write_at_once_is_all_there" for several in ("many", "two_processes")]
    assert [one.partition(":")[0] for one in found] == names


def _writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


def opened(open_one: Callable[[Path], Any], name: str = "opened") -> Fixtures:
    def fixtures(folder: Path) -> Mapping[str, Any]:
        made = {"store": open_one(folder), "references": open_one(folder)}
        return {name: lambda: open_one(folder), **made, "secret": SECRET}

    return fixtures


@pytest.mark.slow
@each(STORE)
def test_a_store(method: str) -> None:
    own = type("Own", (EmbeddedStore,), {method.partition(",")[0]: STORE[method]})
    assert_told(red(StoreContract, opened(lambda folder: own(folder / "store", "test-repo"), "open_store")))


REFERENCES: dict[str, Any] = {
    "save": lambda self, asset, partition, ref: None,
    "load": lambda self, asset, partition="", run_id="": FileReferences.load(self, asset, partition),
    "load, of a run whatever the partition": lambda self, asset, partition="", run_id="": _whatever_partition(
        self, asset, partition, run_id
    ),
    "of_run, by the beginning of its name": lambda self, asset, partition, run_id: bool(
        [*self._folder(asset, partition).glob(f"{run_id}*.json")]
    ),
    "all": lambda self, asset: {},
    "partitions": lambda self, asset: FileReferences.partitions(self, asset)[::-1],
    "partitions, a page": lambda self, asset: FileReferences.partitions(self, asset)[:1000],
    "all, a page": lambda self, asset: dict([*FileReferences.all(self, asset).items()][:1000]),
    "of_run": lambda self, asset, partition, run_id: True,
    "forget": lambda self, asset, partition: None,
}


def _whatever_partition(references: FileReferences, asset: str, partition: str, run_id: str) -> Any:
    found = sorted((references.root / asset).rglob(f"{run_id}.json")) if run_id else []
    return FileReferences.load(references, asset, found[0].parent.name if found else partition, run_id)


class Remembering(FileReferences):
    """What was read once is not read again."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.mind: dict[Any, Any] = {}

    def load(self, asset: str, partition: str = "", run_id: str = "") -> Any:
        key = (asset, partition, run_id)
        if key not in self.mind:
            self.mind[key] = super().load(*key)
        return self.mind[key]

    def save(self, asset: str, partition: str, ref: Any) -> None:
        super().save(asset, partition, ref)
        self.mind.clear()

    def forget(self, asset: str, partition: str) -> None:
        super().forget(asset, partition)
        self.mind.clear()


class CaseBlind(FileReferences):
    """Names without case."""

    def _folder(self, asset: str, partition: str) -> Path:
        return super()._folder(asset.lower(), partition)


class AnyLetter(FileReferences):
    """A `_` is any letter, where it finds some."""

    def _folder(self, asset: str, partition: str) -> Path:
        found = sorted(self.root.glob(asset.replace("_", "?"))) if "_" in asset else []
        return found[0] / partition if found else super()._folder(asset, partition)


class ByLocalTime(FileReferences):
    """The latest is the one with the latest time on the wall."""

    def save(self, asset: str, partition: str, ref: Any) -> None:
        seen = self._folder(asset, partition) / "seen"
        now = datetime.now().replace(tzinfo=UTC).timestamp()
        before = self.load(asset, partition) if self._folder(asset, partition).exists() else None
        super().save(asset, partition, ref)
        if before is not None and seen.exists() and float(seen.read_text()) > now:
            write_atomic(self._folder(asset, partition) / "latest.json", written(before, indent=1))
        else:
            seen.write_text(str(now))


class Column(FileReferences):
    """A text of so many letters, of an alphabet of its own."""

    letters, alphabet = 10**9, "utf-8"

    def save(self, asset: str, partition: str, ref: Any) -> None:
        super().save(asset, partition, ref)
        for path in self._folder(asset, partition).glob("*.json"):
            text = path.read_text().encode(self.alphabet, "replace").decode(self.alphabet)
            path.write_text(text[: self.letters])


class Short(Column):
    letters = 65_535


class Latin(Column):
    alphabet = "latin-1"


@pytest.mark.parametrize("own", [Remembering, CaseBlind, AnyLetter, Short, Latin, ByLocalTime])
def test_references_of_another_kind(own: Any) -> None:
    assert_told(red(ReferencesContract, opened(lambda folder: own(folder / "refs"))))


@each(REFERENCES)
def test_references(method: str) -> None:
    own = type("Own", (FileReferences,), {method.partition(",")[0]: REFERENCES[method]})
    assert_told(red(ReferencesContract, opened(lambda folder: own(folder / "refs"))))


RECORDS: dict[str, Any] = {
    "models": lambda self: RecordFiles.models(self)[::-1],
    "load": lambda self, model: RecordFiles.load(self, "m"),
    "history": lambda self, model, after=0: RecordFiles.history(self, model),
    "history, a page": lambda self, model, after=0: RecordFiles.history(self, model, after)[:100],
    "models, a page": lambda self: RecordFiles.models(self)[:100],
    "save": lambda self, record: record,
    "update": lambda self, model, change: change(RecordFiles.load(self, model)),
    "location": lambda self, model: "",
    "load, damaged": lambda self, model: _whatever(self, model),
}


def _whatever(records: RecordFiles, model: str) -> RolloutRecord:
    try:
        return RecordFiles.load(records, model)
    except MissingReference:
        raise
    except PlatformError:
        return RolloutRecord(model=model)


def kept(own: type) -> Fixtures:
    def fixtures(folder: Path) -> Mapping[str, Any]:
        settings = Settings(local=folder)
        return {"opened": lambda: own(settings), "damage": lambda: RecordFiles(settings).path("m").write_text("{")}

    return fixtures


@each(RECORDS)
def test_rollout_records(method: str) -> None:
    assert_told(
        red(RolloutRecordsContract, kept(type("Own", (RecordFiles,), {method.partition(",")[0]: RECORDS[method]})))
    )


class RecordsLockedHere(RecordFiles):
    """Threads wait for each other, and processes do not."""

    def _locked(self, model: str) -> Any:
        made(self.path(model).parent)
        return held_here()

    def _save(self, record: RolloutRecord) -> RolloutRecord:
        sleep(0.005)
        return super()._save(record)


def test_records_that_are_locked_in_one_process_only() -> None:
    found = [*red(RolloutRecordsContract, kept(RecordsLockedHere))]
    assert [one.partition(":")[0] for one in found] == ["test_changes_of_two_processes_are_all_kept"], found


class InWordsOfItsOwn(RecordFiles):
    """Right in everything, but for the sentences."""

    def load(self, model: str) -> RolloutRecord:
        try:
            return RecordFiles.load(self, model)
        except MissingReference:
            raise MissingReference(f"nothing of {model}") from None

    def save(self, record: RolloutRecord) -> RolloutRecord:
        try:
            return RecordFiles.save(self, record)
        except StaleRecord:
            raise StaleRecord("too late") from None
        except PlatformError:
            raise PlatformError("say more") from None


def test_records_that_say_it_in_words_of_their_own_are_right() -> None:
    assert [*red(RolloutRecordsContract, kept(InWordsOfItsOwn))] == []


GATE: dict[str, Any] = {
    "no measurement": lambda evidence, gate: Measurement(None, "nothing"),
    "never refuses": lambda evidence, gate: Measurement(9.0 + 0 * evidence["amount"], "fine"),
    "no reason": lambda evidence, gate: Measurement(evidence["amount"], ""),
    "two lines": lambda evidence, gate: Measurement(evidence["amount"], "one\ntwo"),
    "another each time": lambda evidence, gate: Measurement(evidence["amount"], f"{next(COUNT)}"),
    "passes without rows": lambda evidence, gate: Measurement(evidence["amount"], "mean"),
    "changes what it sees": lambda evidence, gate: Measurement(_raise_amount(evidence), "fine"),
    "takes anything": lambda evidence, gate: Measurement(getattr(evidence, "get", lambda _: 5.0)("amount"), "fine"),
}


def _raise_amount(evidence: Any) -> float:
    found = evidence["amount"]
    evidence["amount"] = 100.0
    return found


def measure(evidence: Any, gate: Any) -> Measurement:
    if evidence["amount"] is None:
        raise PlatformError("there are no rows")
    return Measurement(evidence["amount"], "as it is")


takings = kind("takings", "batch", "An amount", needs=("min",))(lambda evidence, gate: measure(evidence, gate))


class Gates(GateContract):
    gate = {"gate": f"{__name__}:takings", "min": 3}  # noqa: RUF012

    def sound(self) -> Any:
        return {"amount": 4.0}

    def broken(self) -> Any:
        return {"amount": 1.0}

    def empty(self) -> Any:
        return {"amount": None}


def mean(values: pl.Series) -> Measurement:
    found: Any = values.mean()
    return Measurement(found, f"the mean of {len(values)} rows", support=len(values))


#: Of rows, what is said of the values of a column.
ROW_GATE: dict[str, Any] = {
    "a missing value": lambda values: Measurement(None, "gaps") if values.null_count() else mean(values),
    "no numbers": lambda values: _of_numbers(values),
    "the first rows": lambda values: mean(values.head(3)),
    "the first thousand": lambda values: mean(values.head(1000)),
    "the day": lambda values: Measurement(mean(values).observed, f"on {date.today()}"),
}


def _of_numbers(values: pl.Series) -> Measurement:
    found: Any = values.cast(pl.Float64, strict=False).mean()
    return Measurement(found, "no numbers" if found is None else "the mean")


def said(values: pl.Series) -> Measurement:
    return mean(values)


rows_taken = kind("rows_taken", "batch", "Mean", needs=("min",), requires=("columns",), columns=(1, 1))(
    lambda evidence, gate: said(evidence.frame[gate.columns[0]])
)


class RowGates(GateContract):
    gate = {"gate": f"{__name__}:rows_taken", "columns": ["amount"], "min": 3}  # noqa: RUF012

    def given(self, *amounts: float) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"day": "2024-01-01", "amount": amounts}))

    def sound(self) -> Any:
        return self.given(4.0, 5.0)

    def broken(self) -> Any:
        return self.given(1.0, 2.0)


#: Of a frame and the columns that a gate declares, what is said of them.
COLUMNS_GATE: dict[str, Callable[..., Measurement]] = {
    "the first column": lambda frame, columns: mean(frame[columns[0]]),
    "the last column": lambda frame, columns: mean(frame[columns[-1]]),
    "two columns": lambda frame, columns: _least(frame, columns[:2]),
    "columns that are there": lambda frame, columns: _least(frame, [one for one in columns if one in frame.columns]),
}


def _least(frame: pl.DataFrame, columns: Sequence[str]) -> Measurement:
    """The least mean of the columns; nothing where there are none."""
    if not columns:
        return Measurement(None, "there is no such column")
    return min((mean(frame[name]) for name in columns), key=lambda one: one.observed or 0)


def said_of_columns(frame: pl.DataFrame, columns: Sequence[str]) -> Measurement:
    return _least(frame, columns)


least_taken = kind("least_taken", "batch", "Least mean", needs=("min",), requires=("columns",), columns=(1, None))(
    lambda evidence, gate: said_of_columns(evidence.frame, gate.columns)
)


class ColumnGates(RowGates):
    gate = {"gate": f"{__name__}:least_taken", "columns": ["amount"], "min": 3}  # noqa: RUF012


@pytest.mark.parametrize("mutant", [*COLUMNS_GATE])
def test_a_kind_of_gate_on_columns(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*red(ColumnGates)] == []
    monkeypatch.setitem(globals(), "said_of_columns", COLUMNS_GATE[mutant])
    assert_told(red(ColumnGates))


@pytest.mark.parametrize("mutant", [*ROW_GATE])
def test_a_kind_of_gate_on_rows(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*red(RowGates)] == []
    monkeypatch.setitem(globals(), "said", ROW_GATE[mutant])
    assert_told(red(RowGates))


@pytest.mark.parametrize("mutant", [*GATE])
def test_a_kind_of_gate(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "measure", GATE[mutant])
    assert_told(red(Gates))


@pytest.mark.parametrize(
    ("suite", "name", "given", "told"),
    [
        (TaskContract, "task", "mine:Near", r"Own\.task is str 'mine:Near'; expected the task itself: task_of"),
        (TaskContract, "task", Regression, r"Own\.task is type .*Regression.*; expected the task itself"),
        (TaskContract, "target", "y", r"Own\.target is str 'y'; expected a polars Series"),
        (TrainerContract, "task", Regression(), r"Own\.task is .*Regression.*; expected a text as declared"),
        (TrainerContract, "target", pl.Series([1.0]), r"Own\.target is .*; expected the name of the column"),
        (TrainerContract, "unseen", None, r"Own\.unseen is NoneType None; expected a polars DataFrame"),
        (TrainerContract, "frames", frame(1), r"Own\.frames is .*; expected two polars DataFrames"),
    ],
)
def test_an_attribute_of_another_kind_is_told_at_once(suite: type, name: str, given: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=f"^{told}") as raised:
        type("Own", (suite,), {name: given})
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_without_a_change_every_suite_is_green() -> None:
    assert [
        *red(Regressions),
        *red(Trainers),
        *red(type("Suite", (Trainers,), {"trainer": f"{__name__}:OwnFormat"})),
    ] == []
    assert [*red(Sources, till(Till)), *red(Gates)] == []
    assert [*red(StoreContract, opened(lambda at: EmbeddedStore(at / "store", "test-repo"), "open_store"))] == []
    assert [*red(ReferencesContract, opened(lambda at: FileReferences(at / "refs")))] == []
    assert [*red(RolloutRecordsContract, kept(RecordFiles))] == []


def test_every_member_of_a_protocol_has_a_mutant() -> None:
    from ml_platform.datasets.store import VersionedStore
    from ml_platform.models.predictor import Predictor
    from ml_platform.models.task import Task
    from ml_platform.references.references import References
    from ml_platform.rollout.records import RolloutRecords
    from ml_platform.sources.source import Source
    from ml_platform.training.trainer import Trainer

    pairs = (
        *((Task, TASK), (Trainer, TRAINER), (Predictor, PREDICTOR), (Source, SOURCE), (VersionedStore, STORE)),
        *((References, REFERENCES), (RolloutRecords, RECORDS)),
    )
    for protocol, table in pairs:
        members = {name for name in {*vars(protocol), *protocol.__annotations__} if not name.startswith("_")}
        # What a user's declaration gives, and a name that is for people.
        assert members - {one.partition(",")[0] for one in table} <= {"classes", "threshold", "repository"}


class Box:
    """A channel to a list, which may refuse."""

    def __init__(self, taken: list[str], refused: list[str], answers: Event) -> None:
        self.taken, self._refused, self.answers = taken, refused, answers

    def send(self, text: str) -> None:
        if self._refused:
            raise PlatformError("the box is full")
        if not self.answers.is_set():
            raise PlatformError("the box gave no answer")
        self.taken.append(text)


def _eager(self: Box, taken: list[str], refused: list[str], answers: Event) -> None:
    self.taken, self._refused, self.answers = taken, refused, answers
    taken.append("hello")


def _wordy(self: Box, text: str) -> None:
    if self._refused:
        raise PlatformError("the box at s3cret is full")
    self.taken.append(text)


def _raw(self: Box, text: str) -> None:
    if self._refused:
        raise OSError("the box is full")
    self.taken.append(text)


CHANNEL: dict[str, Callable[..., Any]] = {
    "__init__": _eager,
    "__repr__": lambda self: "Box(s3cret)",
    "send, silent": lambda self, text: None if self._refused else self.taken.append(text),
    "send, twice": lambda self, text: (Box.send(self, text), Box.send(self, text)),
    "send, once for equal ones": lambda self, text: None if text in self.taken else Box.send(self, text),
    "send, cut": lambda self, text: Box.send(self, text[:1000]),
    "send, plain letters": lambda self, text: Box.send(self, text.encode("ascii", "replace").decode()),
    "send, as a pattern": lambda self, text: Box.send(self, text.replace("%%", "%").replace("&amp;", "&")),
    "send, with the secret": _wordy,
    "send, another error": _raw,
    "send, with the secret in its reason": lambda self, text: _reasoned(self, text),
    "send, with the secret far behind": lambda self, text: _reasoned_twice(self, text),
    "send, waits for ever": lambda self, text: _waits(self, text),
    "send, another error without an answer": lambda self, text: _slow(self, text),
}


def _reasoned(self: Box, text: str) -> None:
    try:
        Box.send(self, text)
    except PlatformError as error:
        raise PlatformError("the box is full") from OSError(f"https://box/s3cret: {error}")


def _reasoned_twice(self: Box, text: str) -> None:
    try:
        _reasoned(self, text)
    except PlatformError as error:
        raise PlatformError("the message was not taken") from error


def _waits(self: Box, text: str) -> None:
    self.answers.wait()
    Box.send(self, text)


def _slow(self: Box, text: str) -> None:
    if not self.answers.is_set():
        raise TimeoutError("no answer")
    Box.send(self, text)


def box(own: type[Box]) -> Fixtures:
    def fixtures(folder: Path) -> Mapping[str, Any]:
        taken, refused, answers = list[str](), list[str](), Event()
        answers.set()

        def refuse() -> str:
            refused.append("now")
            return "s3cret"

        made = {"opened": lambda: own(taken, refused, answers), "received": lambda: list(taken)}
        return {**made, "refuse": refuse, "stall": answers.clear}

    return fixtures


@each(CHANNEL)
def test_an_alert_channel(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_platform.testing.alerts.PATIENCE", 1)
    own = type("Own", (Box,), {method.partition(",")[0]: CHANNEL[method]})
    assert_told(red(AlertChannelContract, box(own)))


def test_an_alert_channel_that_breaks_nothing() -> None:
    assert [*red(AlertChannelContract, box(Box))] == []
