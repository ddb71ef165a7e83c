"""Implementations that break their protocol in one method each: the suite of the seam has to turn red."""

import inspect
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Measurement, kind
from ml_platform.models.regression import Regression
from ml_platform.models.task import task_of
from ml_platform.references.files import FileReferences
from ml_platform.rollout.record_files import RecordFiles
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


def red(suite: type, fixtures: Fixtures = lambda _: {}) -> Iterator[str]:
    """Names of the tests that fail with what they say, as they are found; those that draw or have parameters are left
    out."""
    for name, test in inspect.getmembers(suite, inspect.isfunction):
        if not name.startswith("test_") or hasattr(test, "hypothesis") or getattr(test, "pytestmark", ()):
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
    "curves": lambda self, y, p: None,
    "answer": lambda self, p: {"predictions": p.tolist()[1:], "decisions": None},
    "scores": lambda self, p: p[1:],
}


class Regressions(TaskContract):
    task = task_of("regression")
    target = pl.Series([*X.tolist(), None])
    predictions = (X + RANDOM.normal(size=60) / 4).astype(np.float32)


@each(TASK)
def test_a_task(method: str) -> None:
    own = type("Own", (Regression,), {"losses" if method == "comparable by row" else method: TASK[method]})
    assert_told(red(type("Suite", (Regressions,), {"task": own()})))


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
    "train, another format": fed(lambda trained, _: trained._replace(format="ubj")),
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
    "contributions": lambda self, matrix: matrix[:, :1],
    "importance": lambda self, names: {"other": 1.0},
}


def _doubled(cls: Any, file: Path, threads: int) -> Any:
    return cls(np.load(file) * (1 + threads % 2))


class Own(NearestTrainer):
    """What is changed for one test."""


class OwnNearest(Nearest):
    """What is changed for one test."""


class OwnFormat(Own):
    """Its file is read by the predictor that is changed."""

    train = fed(lambda trained, _: trained._replace(format=f"{__name__}:OwnNearest"))


class Trainers(TrainerContract):
    trainer = f"{__name__}:Own"
    parameters = {"kept": 150, "neighbours": 5}  # noqa: RUF012
    frames = (frame(1), frame(2))
    unseen = frame(3)
    names = ("a", "b")
    target = "y"
    task = "regression"


@each(TRAINER)
def test_a_trainer(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, method.partition(",")[0], TRAINER[method])
    assert_told(red(Trainers))


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


COUNT = itertools.count()
SOURCE: dict[str, Any] = {
    "partitions": lambda self: {},
    "partitions, no text": lambda self: {"2024-01-01": 1},
    "partitions, another mark each time": lambda self: {"2024-01-01": str(next(COUNT))},
    "partitions, always one mark": lambda self: dict.fromkeys(self.days, "1"),
    "read": lambda self, partition: self.days[partition],
    "read, other rows": lambda self, partition: pl.DataFrame({"amount": [next(COUNT)]}),
}


def till(kind: type) -> Fixtures:
    def fixtures(_: Path) -> Mapping[str, Any]:
        made = kind()
        return {"source": made, "change": made.change}

    return fixtures


@each(SOURCE)
def test_a_source(method: str) -> None:
    assert_told(red(SourceContract, till(type("Own", (Till,), {method.partition(",")[0]: SOURCE[method]}))))


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
}


def _writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


def opened(open_one: Callable[[Path], Any], name: str = "opened") -> Fixtures:
    def fixtures(folder: Path) -> Mapping[str, Any]:
        return {name: lambda: open_one(folder), "store": open_one(folder), "references": open_one(folder)}

    return fixtures


@each(STORE)
def test_a_store(method: str) -> None:
    own = type("Own", (EmbeddedStore,), {method.partition(",")[0]: STORE[method]})
    assert_told(red(StoreContract, opened(lambda folder: own(folder / "store", "test-repo"), "open_store")))


REFERENCES: dict[str, Any] = {
    "save": lambda self, asset, partition, ref: None,
    "load": lambda self, asset, partition="", run_id="": FileReferences.load(self, asset, partition),
    "all": lambda self, asset: {},
    "partitions": lambda self, asset: FileReferences.partitions(self, asset)[::-1],
    "of_run": lambda self, asset, partition, run_id: True,
    "forget": lambda self, asset, partition: None,
}


@each(REFERENCES)
def test_references(method: str) -> None:
    own = type("Own", (FileReferences,), {method: REFERENCES[method]})
    assert_told(red(ReferencesContract, opened(lambda folder: own(folder / "refs"))))


RECORDS: dict[str, Any] = {
    "models": lambda self: RecordFiles.models(self)[::-1],
    "load": lambda self, model: RecordFiles.load(self, "m"),
    "history": lambda self, model, after=0: RecordFiles.history(self, model),
    "save": lambda self, record: record,
    "update": lambda self, model, change: change(RecordFiles.load(self, model)),
    "location": lambda self, model: "",
}


@each(RECORDS)
def test_rollout_records(method: str) -> None:
    own = type("Own", (RecordFiles,), {method: RECORDS[method]})
    assert_told(red(RolloutRecordsContract, opened(lambda folder: own(Settings(local=folder)))))


GATE: dict[str, Any] = {
    "no measurement": lambda evidence, gate: Measurement(None, "nothing"),
    "never refuses": lambda evidence, gate: Measurement(9.0 + 0 * evidence["amount"], "fine"),
    "no reason": lambda evidence, gate: Measurement(evidence["amount"], ""),
    "two lines": lambda evidence, gate: Measurement(evidence["amount"], "one\ntwo"),
    "another each time": lambda evidence, gate: Measurement(evidence["amount"], f"{next(COUNT)}"),
    "takes anything": lambda evidence, gate: Measurement(getattr(evidence, "get", lambda _: 5.0)("amount"), "fine"),
}


def measure(evidence: Any, gate: Any) -> Measurement:
    return Measurement(evidence["amount"], "as it is")


takings = kind("takings", "batch", "An amount", needs=("min",))(lambda evidence, gate: measure(evidence, gate))


class Gates(GateContract):
    gate = {"gate": f"{__name__}:takings", "min": 3}  # noqa: RUF012

    def sound(self) -> Any:
        return {"amount": 4.0}

    def broken(self) -> Any:
        return {"amount": 1.0}


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


def test_without_a_change_every_suite_is_green() -> None:
    assert [
        *red(Regressions),
        *red(Trainers),
        *red(type("Suite", (Trainers,), {"trainer": f"{__name__}:OwnFormat"})),
    ] == []
    assert [*red(SourceContract, till(Till)), *red(Gates)] == []
    assert [*red(StoreContract, opened(lambda at: EmbeddedStore(at / "store", "test-repo"), "open_store"))] == []
    assert [*red(ReferencesContract, opened(lambda at: FileReferences(at / "refs")))] == []
    assert [*red(RolloutRecordsContract, opened(lambda at: RecordFiles(Settings(local=at))))] == []


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
