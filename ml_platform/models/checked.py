"""What a predictor and a task of a user's own give is looked at where it enters: each mistake is one line.

It names who gave it, what came and what was expected, before anything is kept or answered.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import named, shown
from ml_platform.foundation.raised import raised
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np


class Misbehaved(PlatformError):
    """Code of a model does not do what its protocol says: the fault of who wrote it, never of who asks."""


class CheckedPredictor:
    """A predictor whose predictions are float32, finite, and as many as rows, and that leaves its matrix as it is.

    Others raise Misbehaved.
    """

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.predictor, name)

    def predict(self, matrix: "np.ndarray") -> "np.ndarray":
        """See :meth:`ml_platform.models.predictor.Predictor.predict`."""
        return self.require(self._asked("predict", matrix), len(matrix))

    def _asked(self, method: str, matrix: "np.ndarray") -> Any:
        """What the predictor gives of a matrix that others read after it, so that it cannot be written to."""
        shown_only = matrix.view()
        shown_only.flags.writeable = False
        try:
            return getattr(self.predictor, method)(shown_only)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise Misbehaved(
                f"predictor {named(self.predictor)}: {method} changes the matrix that it is given ({raised(error)}); "
                "copy it first"
            ) from error

    def require(self, found: Any, rows: int) -> "np.ndarray":
        """The predictions, if they are what a predictor gives. Raises Misbehaved."""
        import numpy as np

        right = isinstance(found, np.ndarray) and found.dtype == np.float32 and len(found.shape) in (1, 2)
        if not right or len(found) != rows or (found.ndim == 2 and found.shape[1] < 2):
            raise Misbehaved(
                f"predictor {named(self.predictor)}: predict gave {shown(found)} for {rows} rows; expected float32 "
                f"({rows},), or ({rows}, classes) with two or more"
            )
        if not np.isfinite(found).all():
            raise Misbehaved(
                f"predictor {named(self.predictor)}: {int((~np.isfinite(found)).sum())} predictions of {rows} rows are "
                "NaN or infinite; expected finite numbers, for rows with missing features too"
            )
        return found

    def contributions(self, matrix: "np.ndarray") -> "np.ndarray | None":
        """See :meth:`ml_platform.models.predictor.Predictor.contributions`."""
        import numpy as np

        found: Any = self._asked("contributions", matrix)
        if found is None:
            return None
        right = isinstance(found, np.ndarray) and found.ndim in (2, 3)
        if not right or (found.shape[0], found.shape[-1]) != matrix.shape or not np.isfinite(found).all():
            raise Misbehaved(
                f"predictor {named(self.predictor)}: contributions gave {shown(found)}; expected None, or "
                f"({len(matrix)}, {matrix.shape[1]}) with the classes in between where there are some, finite"
            )
        return found

    def importance(self, names: Sequence[str]) -> Any:
        """See :meth:`ml_platform.models.predictor.Predictor.importance`."""
        found: Any = self.predictor.importance(names)
        if found is not None and not isinstance(found, Mapping):
            raise Misbehaved(
                f"predictor {named(self.predictor)}: importance gave {shown(found)}; expected None, or an Importance "
                "by name of a feature"
            )
        given: Mapping[Any, Any] = found or {}
        for name, one in given.items():
            if name not in names or not all(_finite(getattr(one, part, None)) for part in ("gain", "splits")):
                raise Misbehaved(
                    f"predictor {named(self.predictor)}: importance gave {shown(one)} for {name!r}; expected "
                    "ml_platform.models.predictor.Importance(gain, splits), finite, of one of the features"
                )
        return found


def unit_of(predictor: Any) -> str:
    """Unit of a predictor's contributions; empty where that is the task's. Raises Misbehaved where it is no text."""
    said: Any = getattr(predictor, "contributions_unit", "")
    if not isinstance(said, str):
        raise Misbehaved(f"predictor {named(predictor)}: contributions_unit is {shown(said)}; expected a text")
    return said


def _finite(value: Any) -> bool:
    import math

    return hasattr(value, "__float__") and math.isfinite(value)


def optional(kind: Any) -> bool:
    """Whether a field of this type may be None, or left out."""
    return type(None) in get_args(kind)


def measured(task: Task, y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
    """Metrics of predictions. Raises Misbehaved for one that the task does not declare, or that is no finite number."""
    import math

    found: Mapping[str, Any] = task.measure(y, p)
    if not isinstance(found, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Misbehaved(f"task {named(task)}: measure gave {shown(found)}; expected metrics by name")
    if unknown := sorted(set(found) - set(task.measured)):
        raise Misbehaved(
            f"task {named(task)}: measure gave {', '.join(unknown)}, not among those in `measured` "
            f"({', '.join(task.measured)})"
        )
    values: list[tuple[str, Any]] = list(found.items())
    for name, value in values:
        if not isinstance(value, int | float) and not hasattr(value, "__float__"):
            raise Misbehaved(f"task {named(task)}: metric {name} is {shown(value)}; expected a number")
        if not math.isfinite(value):
            raise Misbehaved(f"task {named(task)}: metric {name} is {value}; leave out what is undefined")
    return {name: float(value) for name, value in found.items()}


def answered(task: Task, p: "np.ndarray") -> dict[str, Any]:
    """The task's answer to predictions. Raises Misbehaved where its fields are not those that it declares."""
    found: Any = task.answer(p)
    asked = {name for name, kind in task.fields.items() if not optional(kind)}
    if not isinstance(found, Mapping) or not asked <= set(found) <= set(task.fields):
        came = ", ".join(sorted(map(str, found))) if isinstance(found, Mapping) else shown(found)
        raise Misbehaved(f"task {named(task)}: answer gave {came}; expected the fields {', '.join(task.fields)}")
    if not isinstance(found[task.numbers], list) or len(found[task.numbers]) != len(p):
        raise Misbehaved(
            f"task {named(task)}: answer gave {shown(found[task.numbers])} as {task.numbers}; expected a list of "
            f"{len(p)} values, one for each row"
        )
    return dict(found)
