"""What predicts: the seam between the file of a model and everything that asks it.

The format of a model file names its predictor: as in :data:`FORMATS`, or as ``module:Class`` of a user's project.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast

from ml_platform.foundation.earlier import FIRST_FORMAT
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
from ml_platform.models.checked import CheckedPredictor, Misbehaved

if TYPE_CHECKING:
    import numpy as np

#: Predictors of the platform, by the format of the files that they read.
FORMATS = {
    FIRST_FORMAT: "ml_platform.models.xgboost:XGBoost",
    "skops": "ml_platform.models.sklearn:Sklearn",
}


class Importance(NamedTuple):
    """What the training says about one feature."""

    #: How much of the loss it took away, in any unit that the features have in common: of trees over all its splits.
    gain: float
    #: How often it was used, of trees the number of its splits.
    splits: int


class Predictor(Protocol):
    """A loaded model. One row gives the same bits alone and among others.

    Made by its class method ``load``, from the file that a trainer wrote.
    """

    #: Name of a model's file after ``model.``.
    suffix: str
    #: Installed packages that predicting needs; the first found of each group is pinned in a service.
    packages: tuple[tuple[str, ...], ...]
    #: Packages that they import where they are installed and predicting never uses: a service starts without.
    unused: tuple[str, ...]
    #: Features of the matrix.
    width: int

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Self:
        """A model from its file; 0 ``threads``: all cores that this process may use.

        ``types`` are the types beyond the format's own that were recorded when the file was written: others are not
        loaded. Raises PlatformError where the file is no model of this format, or holds another type, by its name.
        """
        ...

    def predict(self, matrix: "np.ndarray") -> "np.ndarray":
        """Predictions (float32, rows or rows x classes) of features (float32, rows x width, NaN for missing).

        Raises PlatformError for another width.
        """
        ...

    def contributions(self, matrix: "np.ndarray") -> "np.ndarray | None":
        """SHAP values: rows x features, or rows x classes x features; None where the model has none at low cost."""
        ...

    def importance(self, names: Sequence[str]) -> dict[str, Importance] | None:
        """What training says about each feature that it used; None where the model keeps no such thing."""
        ...


class OptionalPredictor(Protocol):
    """What a predictor may have besides.

    Made part of a predictor one by one: each is asked for by its name, and without it the platform goes another way.
    """

    #: Unit of a contribution, such as `log of the target`, where that is not the `unit` of the task.
    contributions_unit: str
    #: Whether the contributions of a row are the same alone and among others; without, services explain no rows.
    explains_rows: bool

    def beginning(self, rounds: int) -> list[str]:
        """What the first rounds made (trees, say), each as a text that other rows, parameters or seeds change.

        The gate ``trained_on`` trains those rounds again and compares them; without, it trains the whole model again.
        """
        ...


def predictor_path(format: str) -> str:
    """``module:Class`` of the predictor of a format. Raises DeclarationError."""
    return import_path(FORMATS, format, "format")


def predictor_type(format: str) -> type[Predictor]:
    """The predictor of a format. Raises DeclarationError where there is none."""
    found = load_object(predictor_path(format), "format")
    if not isinstance(found, type):
        raise DeclarationError(f"format: {format} is {shown(found)}; expected a class")
    # Its width is known to a loaded model only.
    require_members(found, Predictor, "format", ("width",))
    if ":" in format:
        _require_said(found, format)
    return found


def _require_said(kind: type[Predictor], name: str) -> None:
    """Raise DeclarationError where suffix or packages of a predictor of one's own are none."""
    suffix: Any = kind.suffix
    if not isinstance(suffix, str) or not re.fullmatch(r"\w[\w.-]*", suffix):
        raise DeclarationError(
            f"format: {name}.suffix is {shown(suffix)}; expected the end of a file's name, such as 'json'"
        )
    groups: Any = kind.packages
    right = isinstance(groups, tuple) and all(isinstance(one, tuple) and one for one in cast("tuple[Any, ...]", groups))
    if not right or not all(isinstance(one, str) for group in groups for one in group):
        raise DeclarationError(
            f"format: {name}.packages is {shown(groups)}; expected a tuple of tuples of texts, of each of which one is "
            "installed, such as (('numpy',),)"
        )
    for group in groups:
        reasons = [not_installed(one) for one in group]
        if all(reasons):
            raise DeclarationError(f"format: {name}.packages: {'; '.join(reasons)}")
    require_texts(kind.unused, f"format: {name}.unused")


def file_name(format: str) -> str:
    """Name of a model's file: ``model.ubj``."""
    return f"model.{predictor_type(format).suffix}"


def load_predictor(
    format: str, file: Path, threads: int = 1, types: Sequence[str] = (), *, way_out: str = "train it again"
) -> Predictor:
    """The model in a file, by the format's predictor; see :meth:`Predictor.load`.

    What it predicts is looked at: :class:`~ml_platform.models.checked.CheckedPredictor`. ``way_out``: what to do about
    a file that its predictor cannot read.
    """
    if not file.is_file():
        raise PlatformError(f"model {file} does not exist; train or download it again")
    kind = predictor_type(format)
    try:
        found: Any = kind.load(file, threads, types)
    except (PlatformError, ImportError):
        raise
    except Exception as error:
        # A file that is no model makes a format's own reader raise anything.
        raise PlatformError(f"model {file} cannot be loaded by {named(kind)}: {raised(error)}; {way_out}") from error
    if found is None:
        raise Misbehaved(f"predictor {named(kind)}: load gave {shown(found)}; expected a model, ready to predict")
    require_members(found, Predictor, "format")
    # What XGBoost gives needs no look, which would cost a tenth of a row's prediction.
    looked_at: Any = found if format == FIRST_FORMAT else CheckedPredictor(found)
    return looked_at


def thread_count(threads: int) -> int:
    """``threads``, or for 0 the cores that this process may use."""
    if threads > 0:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_width(width: int, matrix: "np.ndarray") -> None:
    """Raises PlatformError where a matrix does not have the features of a model."""
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise PlatformError(
            f"model expects {width} features, got an array of shape {matrix.shape}; "
            "build the matrix with the feature names of its reference"
        )
