"""What trains: the seam between feature frames and the file of a model.

A declaration names its trainer as in :data:`TRAINERS`, or as ``module:Class`` of the user's project. What is trained
is read by the predictor of the file's format, see :mod:`ml_platform.models.predictor`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import load_object, named, require_members, shown
from ml_platform.models.checked import Misbehaved
from ml_platform.models.predictor import FORMATS, load_predictor
from ml_platform.models.task import Task, import_path

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Trainers of the platform, by the name under which they are declared.
TRAINERS = {
    "xgboost": "ml_platform.training.xgboost:XGBoostTrainer",
    "sklearn": "ml_platform.training.sklearn:SklearnTrainer",
}
#: The trainer of models that say nothing: those that were made before there was another.
FIRST_TRAINER = "xgboost"

#: The frames of a training, in order. Called again, they are read again: a trainer may pass over them many times.
Frames = Callable[[], "Iterator[pl.DataFrame]"]


class Trained(NamedTuple):
    """A trained model."""

    #: The model, in the work folder.
    file: Path
    #: Format of the file, which names its predictor.
    format: str
    #: Rows it was trained on.
    rows: int
    #: Rows without a label, which were left out.
    dropped: int
    #: Types in the file beyond those of its format: only these are ever loaded.
    types: tuple[str, ...] = ()


class Trainer(Protocol):
    """Turns frames into a file. The same rows in the same order give the same bytes, for any number of threads."""

    #: Raised when the same rows and parameters give other bytes.
    version: int
    #: How earlier releases wrote a version that trains the same.
    equal_versions: tuple[str, ...]
    #: Installed packages whose versions are part of the version of the code.
    libraries: tuple[str, ...]
    #: Parameters as they are declared; unknown ones are refused. A field ``seed`` is kept with the model.
    Parameters: type[BaseModel]

    def check(self, parameters: BaseModel, task: Task) -> None:
        """Raises PlatformError where the parameters cannot train for the task."""
        ...

    def rounds(self, parameters: BaseModel) -> int | None:
        """Rounds, trees or iterations that a training takes at most; None where it counts none."""
        ...

    def limited(self, parameters: BaseModel, rounds: int) -> BaseModel:
        """The same with so many :meth:`rounds` at most."""
        ...

    def train(
        self,
        frames: Frames,
        names: Sequence[str],
        target: str,
        task: Task,
        parameters: BaseModel,
        work: Path,
        threads: int,
    ) -> Trained:
        """Train on the rows that have a label; 0 ``threads``: all cores that this process may use.

        The frames hold the features ``names`` and the ``target``. ``work`` is an empty folder for the model and for
        whatever a training needs on the way. Raises PlatformError where there is nothing to learn from.
        """
        ...


class Rows(NamedTuple):
    """What most trainers hold at once."""

    #: float32, rows x features, NaN for missing.
    x: "np.ndarray"
    #: float64, (rows,).
    y: "np.ndarray"
    dropped: int


def trainer_of(name: str) -> Trainer:
    """The trainer of a declared name. Raises DeclarationError where there is none."""
    kind = load_object(import_path(TRAINERS, name, "trainer"), "trainer")
    if not isinstance(kind, type):
        raise DeclarationError(f"trainer: {name} is {shown(kind)}; expected a class")
    try:
        made = kind()
    except TypeError as error:
        raise DeclarationError(f"trainer: {name} cannot be made without arguments ({error})") from error
    require_members(made, Trainer, "trainer")
    parameters: Any = made.Parameters
    if not (isinstance(parameters, type) and issubclass(parameters, BaseModel)):
        raise DeclarationError(f"trainer: {name}.Parameters is {shown(parameters)}; expected a pydantic model")
    return made


def train(
    trainer: Trainer,
    frames: Frames,
    names: Sequence[str],
    target: str,
    task: Task,
    parameters: BaseModel,
    work: Path,
    threads: int,
) -> Trained:
    """:meth:`Trainer.train`, whose result is looked at. Raises Misbehaved where it is no trained model."""
    found: Any = trainer.train(frames, names, target, task, parameters, work, threads)
    who = f"trainer {named(trainer)}: train"
    if not isinstance(found, Trained):
        raise Misbehaved(f"{who} gave {shown(found)}; expected {Trained.__module__}.Trained")
    given: dict[str, Any] = found._asdict()
    if not isinstance(given["file"], Path):
        raise Misbehaved(f"{who} gave {shown(found.file)} as file; expected a pathlib.Path")
    if not found.file.is_file():
        raise Misbehaved(f"{who} gave {found.file} as file, which is not there; expected the model, in `work`")
    for name in ("rows", "dropped"):
        count = given[name]
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < (name == "rows"):
            raise Misbehaved(f"{who} gave {shown(count)} as {name}; expected a number of rows")
    if not isinstance(given["format"], str):
        raise Misbehaved(f"{who} gave {shown(found.format)} as format; expected {', '.join(FORMATS)} or module:Class")
    if not isinstance(given["types"], tuple) or not all(isinstance(one, str) for one in given["types"]):
        raise Misbehaved(f"{who} gave {shown(found.types)} as types; expected a tuple of names")
    # A model that cannot be read or does not fit its features is found now, not at its evaluation.
    width: Any = load_predictor(found.format, found.file, threads, found.types).width
    if width != len(names):
        raise Misbehaved(f"predictor {found.format}: width is {shown(width)} after a training on {len(names)} features")
    return found


def labelled_rows(frames: Frames, names: Sequence[str], target: str, task: Task) -> Rows:
    """The matrix and the labels of all rows that have one; only the float32 matrix is held at once.

    Raises PlatformError where no row has a label, or where the task cannot be learnt from them.
    """
    import numpy as np

    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    total = 0
    for frame in frames():
        total += frame.height
        known, y = task.labels(frame, target)
        features.append(matrix(known, names))
        labels.append(y)
    y = np.concatenate(labels) if labels else np.empty(0)
    if not len(y):
        raise PlatformError(f"training: no row has a value of {target}; check the labels of the training partitions")
    task.require(y, target)
    return Rows(np.concatenate(features), y, total - len(y))
