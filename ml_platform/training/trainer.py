"""What trains: the seam between feature frames and the file of a model.

A declaration names its trainer as in :data:`TRAINERS`, or as ``module:Class`` of the user's project. What is trained
is read by the predictor of the file's format, see :mod:`ml_platform.models.predictor`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from ml_platform.features.build import matrix
from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import (
    import_path,
    load_object,
    named,
    not_installed,
    require_members,
    require_texts,
    shown,
)
from ml_platform.foundation.raised import raised
from ml_platform.models.checked import Misbehaved
from ml_platform.models.predictor import FORMATS, load_predictor, predictor_type
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Trainers of the platform, by the name under which they are declared.
TRAINERS = {
    FIRST_TRAINER: "ml_platform.training.xgboost:XGBoostTrainer",
    "sklearn": "ml_platform.training.sklearn:SklearnTrainer",
}

#: A key that no trainer reads.
UNKNOWN = "no_such_parameter"

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
    """Turns frames into a file. The same rows in the same order give the same bytes, for any number of threads.

    Made without arguments, as ``Class()``.
    """

    #: Raised when the same rows and parameters give other bytes. Code of one's own is looked at beside it.
    version: int
    #: How earlier releases wrote a version that trains the same; of the platform's own trainers only.
    equal_versions: tuple[str, ...]
    #: Installed packages whose versions are part of the version of the code.
    libraries: tuple[str, ...]
    #: Parameters as they are declared; unknown ones are refused. A field ``seed`` is kept with the model.
    Parameters: type[BaseModel]

    def check(self, parameters: BaseModel, task: Task) -> None:
        """Raises PlatformError where the parameters cannot train for the task."""
        ...

    def rounds(self, parameters: BaseModel) -> int | None:
        """Rounds, trees or iterations that a training takes at most, from 1; None where it counts none."""
        ...

    def limited(self, parameters: BaseModel, rounds: int) -> BaseModel:
        """The same with so many :meth:`rounds`, where there are more; nothing else changes. What is given stays."""
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
    if ":" in name:
        _require_said(made, name)
    return made


def _require_said(trainer: Trainer, name: str) -> None:
    """Raise DeclarationError where versions or libraries of a trainer of one's own are none."""
    said: dict[str, Any] = {key: getattr(trainer, key) for key in ("version", "equal_versions", "libraries")}
    if isinstance(said["version"], bool) or not isinstance(said["version"], int):
        raise DeclarationError(f"trainer: {name}.version is {shown(said['version'])}; expected a whole number")
    for key in ("equal_versions", "libraries"):
        require_texts(said[key], f"trainer: {name}.{key}")
    for library in said["libraries"]:
        if why := not_installed(library):
            raise DeclarationError(f"trainer: {name}: library {why}")


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
        if not _is_count(count) or count < (name == "rows"):
            raise Misbehaved(f"{who} gave {shown(count)} as {name}; expected a number of rows")
    if not isinstance(given["format"], str):
        raise Misbehaved(f"{who} gave {shown(found.format)} as format; expected {', '.join(FORMATS)} or module:Class")
    if not isinstance(given["types"], tuple) or not all(isinstance(one, str) for one in given["types"]):
        raise Misbehaved(f"{who} gave {shown(found.types)} as types; expected a tuple of names")
    if not found.file.resolve().is_relative_to(work.resolve()):
        raise Misbehaved(f"{who} gave {found.file} as file, which is not in `work`; write the model to {work}")
    # A model that cannot be read or does not fit its features is found now, not at its evaluation.
    try:
        predictor_type(found.format)
    except DeclarationError as error:
        raise Misbehaved(
            f"{who} gave a model of the format {found.format!r}, which names its predictor: "
            f"{str(error).removeprefix('format: ')}"
        ) from error
    way_out = f"correct what wrote it ({named(trainer)}) or what reads it"
    width: Any = load_predictor(found.format, found.file, threads, found.types, way_out=way_out).width
    if width != len(names):
        raise Misbehaved(f"predictor {found.format}: width is {shown(width)} after a training on {len(names)} features")
    return found


def _is_count(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and index(value) >= 0
    except TypeError:
        return False


def rounds_of(trainer: Trainer, parameters: BaseModel) -> int | None:
    """:meth:`Trainer.rounds`, looked at. Raises Misbehaved where it raises or gives no number of rounds."""
    who = f"trainer {named(trainer)}: rounds"
    found: Any = _asked(who, lambda: trainer.rounds(parameters))
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 1):
        raise Misbehaved(f"{who} gave {shown(found)}; expected None, or a whole number of 1 or more")
    return found


def limited(trainer: Trainer, parameters: BaseModel, rounds: int) -> BaseModel:
    """:meth:`Trainer.limited`, looked at. Raises Misbehaved where it does anything but limit the rounds."""
    who, total = f"trainer {named(trainer)}: limited to {rounds}", rounds_of(trainer, parameters)
    before = _leaves(parameters.model_dump(mode="json"))
    found: Any = _asked(who, lambda: trainer.limited(parameters, rounds))
    if not isinstance(found, trainer.Parameters):
        raise Misbehaved(f"{who} gave {shown(found)}; expected {named(trainer.Parameters)}")
    if _leaves(parameters.model_dump(mode="json")) != before:
        raise Misbehaved(f"{who} changed the parameters that it was given; return a copy")
    wanted = None if total is None else min(total, rounds)
    if (there := rounds_of(trainer, found)) != wanted:
        raise Misbehaved(f"{who} gave parameters of {there} rounds, from {total}; expected {wanted}")
    after = _leaves(found.model_dump(mode="json"))
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    if other := [name for name in changed if wanted == total or not _counts(before.get(name), after.get(name), rounds)]:
        raise Misbehaved(f"{who} changed {', '.join(other)} too; change nothing but the number of rounds")
    return found


def takes_unknown(trainer: Trainer, parameters: BaseModel) -> bool:
    """Whether a key that nobody reads is no mistake beside these parameters."""
    try:
        trainer.Parameters.model_validate({**parameters.model_dump(by_alias=True, exclude_unset=True), UNKNOWN: 1})
    except Exception:
        return False
    return True


def require_limits(trainer: Trainer, parameters: BaseModel) -> None:
    """Raises Misbehaved where the rounds of these parameters cannot be counted, or not be limited."""
    total = rounds_of(trainer, parameters)
    for rounds in sorted({1, total // 2 or 1, total + 1}) if total else (1,):
        limited(trainer, parameters, rounds)


def _asked(who: str, call: Callable[[], Any]) -> Any:
    """What a user's method gives; what it raises is Misbehaved, unless it is a message already."""
    try:
        return call()
    except PlatformError:
        raise
    except Exception as error:
        raise Misbehaved(f"{who} raises {raised(error)}") from error


def _counts(before: Any, after: Any, rounds: int) -> bool:
    """Whether a value that changed is a number of rounds, which was larger or is said now."""
    larger = before is None or (isinstance(before, int) and before > rounds)
    return larger and isinstance(after, int) and after <= rounds


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """The values in parameters, by dotted path."""
    if not isinstance(value, Mapping | list):
        return {path: value}
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {
        name: leaf for key, one in items for name, leaf in _leaves(one, f"{path}.{key}" if path else str(key)).items()
    }


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
