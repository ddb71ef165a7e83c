"""A trainer with its data, as the suites of trainers are given it, and how they train."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl
from pydantic import BaseModel

from ml_platform.models.predictor import Predictor, load_predictor
from ml_platform.models.task import Task, task_of
from ml_platform.testing.attributes import Wanted, require_attributes
from ml_platform.training.trainer import Trained, train, trainer_of

WANTED: Wanted = {
    "trainer": (lambda given: isinstance(given, str), 'a text as declared, such as "module:Class"'),
    "task": (lambda given: isinstance(given, str), 'a text as declared, such as "regression" or "module:Class"'),
    "target": (lambda given: isinstance(given, str), "the name of the column of the labels"),
    "frames": (
        lambda given: isinstance(given, Sequence) and len(given) > 1 and isinstance(given[0], pl.DataFrame),
        "two polars DataFrames to train on",
    ),
    "unseen": (lambda given: isinstance(given, pl.DataFrame), "a polars DataFrame to predict"),
}


class Fit(NamedTuple):
    """A trained model, loaded from its file."""

    content: bytes
    predictor: Predictor
    trained: Trained


class Fitting:
    """What the tests of a trainer are about."""

    #: Trainer and parameters as declared: texts, as they stand in a ``defs.yaml``.
    trainer: str
    parameters: dict[str, Any] = {}  # noqa: RUF012
    #: Two frames to train on, of different rows: features and target, some labels missing.
    frames: Sequence[pl.DataFrame]
    #: A third one of the same columns, of rows that are in neither: it is predicted and measured.
    unseen: pl.DataFrame
    #: Names of the features, and of the column of the labels.
    names: Sequence[str]
    target: str
    #: Task, classes and threshold as declared: a name or ``module:Class``, not the task itself as in a task's suite.
    task = "binary"
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    #: Format of its files, as a trained model names it; empty: it is not looked at.
    format: str = ""

    def __init_subclass__(cls) -> None:
        require_attributes(cls, WANTED)

    def kind(self) -> Task:
        """The task with its classes and threshold."""
        return task_of(self.task, self.classes, self.threshold)

    def declared(self) -> Any:
        """The parameters as the trainer reads them."""
        return trainer_of(self.trainer).Parameters.model_validate(self.parameters)

    def fit(
        self,
        frames: Sequence[pl.DataFrame] | None = None,
        threads: int = 1,
        *,
        parameters: BaseModel | None = None,
        task: Task | None = None,
        names: Sequence[str] = (),
    ) -> Fit:
        """Train, through the file as everybody else does: a copy of this one file, when the folder is gone."""
        one, data = trainer_of(self.trainer), self.frames if frames is None else frames
        given, kind = parameters or self.declared(), task or self.kind()
        with TemporaryDirectory() as kept:
            with TemporaryDirectory() as work:
                folder, columns = Path(work), names or self.names
                done = train(one, lambda: iter(data), columns, self.target, kind, given, folder, threads)
                assert done.file.is_relative_to(work), "the model lies in `work`"
                file = Path(shutil.copy(done.file, kept))
            predictor = load_predictor(done.format, file, threads, done.types, way_out="a model is one file")
            return Fit(file.read_bytes(), predictor, done)
