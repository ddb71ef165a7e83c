"""What predicts: the seam between the file of a model and everything that asks it.

The format of a model file names its predictor: as in :data:`FORMATS`, or as ``module:Class`` of a user's project.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import load_object, named, require_members, shown
from ml_platform.foundation.raised import raised
from ml_platform.models.checked import CheckedPredictor, Misbehaved
from ml_platform.models.task import import_path

if TYPE_CHECKING:
    import numpy as np

#: Predictors of the platform, by the format of the files that they read.
FORMATS = {
    "ubj": "ml_platform.models.xgboost:XGBoost",
    "skops": "ml_platform.models.sklearn:Sklearn",
}
#: The format of models whose references and packages say nothing: those that were made before there was another.
FIRST_FORMAT = "ubj"


class Importance(NamedTuple):
    """What the training says about one feature."""

    #: Total reduction of the loss over its splits, and their number.
    gain: float
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
    return found


def file_name(format: str) -> str:
    """Name of a model's file: ``model.ubj``."""
    return f"model.{predictor_type(format).suffix}"


def load_predictor(format: str, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Predictor:
    """The model in a file, by the format's predictor; see :meth:`Predictor.load`.

    What it predicts is looked at: :class:`~ml_platform.models.checked.CheckedPredictor`.
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
        raise PlatformError(
            f"model {file} cannot be loaded by {named(kind)}: {raised(error)}; train it again"
        ) from error
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
