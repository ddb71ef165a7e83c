"""What is predicted: the seam between a kind of label and everything that measures, compares, shows and answers.

A task is a class of its own; a declaration names it as in :data:`TASKS`, or as ``module:Class`` for one of a user's
project. Predictions of a task have shape (rows,) or, of several classes, (rows, classes).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import import_path, load_object, require_members, require_texts, shown

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Tasks of the platform, by the name under which they are declared.
TASKS = {
    "binary": "ml_platform.models.binary:Binary",
    "multiclass": "ml_platform.models.multiclass:Multiclass",
    "regression": "ml_platform.models.regression:Regression",
}

#: What a prediction is: the probability of the positive class, those of all classes, or a value of the target.
Output = Literal["probability", "classes", "value"]
#: Metrics that are no means over rows and have an interval all the same, since the platform draws them itself.
DRAWN: dict[Output, tuple[str, ...]] = {
    "probability": ("auc", "pr_auc", "brier_skill"),
    "classes": ("auc_macro", "f1_macro"),
    "value": ("rmse", "r2"),
}
#: Points of a curve.
Curve = list[list[float]]


class Task(Protocol):
    """A kind of label. An instance knows its classes and its decision threshold.

    Made from what is declared, as ``Class(classes, threshold)``: a tuple of texts or ``()``, a number or ``None``.

    Labels ``y`` have shape (rows,) as float64, predictions ``p`` (rows,) or (rows, classes).
    """

    #: For messages, as it is declared.
    name: str
    #: In words, for the head of a report.
    title: str
    #: What a prediction is: `probability` of the positive class, those of all `classes`, or a `value`.
    output: Output
    #: Metrics that are measured, as far as the labels leave them defined.
    measured: tuple[str, ...]
    #: Those that are compared with the champion, the most telling first.
    compared: tuple[str, ...]
    #: Whether a larger value of a metric is better; metrics that are missing have no better side.
    better: Mapping[str, bool]
    #: Unit of a SHAP value.
    unit: str
    #: What the axes of the calibration plot show.
    axes: tuple[str, str]
    #: Fields of an answer of the service with their types.
    fields: Mapping[str, Any]
    #: The one of them that holds the numbers of a prediction.
    numbers: str
    #: Upper bounds of the buckets in which a service counts :meth:`scores`.
    buckets: tuple[float, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Values of the target in the order of their probabilities; empty where there are no classes to name."""
        ...

    @property
    def threshold(self) -> float | None:
        """Prediction from which on a row counts as positive."""
        ...

    def __init__(self, classes: tuple[str, ...] = (), threshold: float | None = None) -> None: ...

    def check(self) -> None:
        """Raises PlatformError where classes or threshold are not what the task asks a declaration for."""
        ...

    def labels(self, frame: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, np.ndarray]":
        """The rows that have a label, in order, and their labels. Raises PlatformError for values that are none."""
        ...

    def require(self, y: "np.ndarray", target: str) -> None:
        """Raises PlatformError where nothing can be learnt from these labels, e.g. none of a class."""
        ...

    def measure(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, float]:
        """Metrics; an undefined one is left out, never NaN. Raises PlatformError for empty input."""
        ...

    def losses(self, y: "np.ndarray", p: "np.ndarray") -> "Mapping[str, Callable[[], np.ndarray]]":
        """Metrics that are means over rows, each with a function that gives the value of every row, (rows,)."""
        ...

    def cost(self, y: "np.ndarray", p: "np.ndarray") -> float | None:
        """One number that gets larger as predictions get worse; None where the labels leave it undefined."""
        ...

    def comparable(self, y: "np.ndarray", metrics: Sequence[str]) -> tuple[str, ...]:
        """Those of the metrics by which models can be compared on these labels."""
        ...

    def baselines(self, y: "np.ndarray", rows: int) -> "dict[str, np.ndarray]":
        """Predictions for ``rows`` rows of trivial models that know the training labels ``y`` only, by name."""
        ...

    def counts(self, y: "pl.Expr") -> "dict[str, pl.Expr]":
        """Rows of a group that have to be enough on either side, by name, for its metrics to count."""
        ...

    def by_group(self, y: "pl.Expr", p: "pl.Expr") -> "dict[str, pl.Expr]":
        """Metrics of a group of rows as expressions of its columns of labels and predictions, the first of `compared`
        among them."""
        ...

    def calibrated(self, y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """Actual and predicted value of each row, both (rows,), for the calibration table."""
        ...

    def curves(self, y: "np.ndarray", p: "np.ndarray") -> dict[str, Curve]:
        """Curves of the report: ``roc`` and ``precision_recall``, with the index of a class behind; ``residuals``."""
        ...

    def answer(self, p: "np.ndarray") -> dict[str, Any]:
        """The service's answer to these predictions, by :attr:`fields`."""
        ...

    def scores(self, p: "np.ndarray") -> "np.ndarray":
        """One number (rows,) per prediction, for the service's histogram."""
        ...


class OptionalTask(Protocol):
    """What a task may have besides.

    Made part of a task: it is asked for by its name, and without it nothing is said of chance.
    """

    @property
    def chance(self) -> Mapping[str, float]:
        """Metric to its value of a model that knows nothing: ``validate`` warns of thresholds that such a one keeps."""
        ...


def chance_of(task: Task) -> Mapping[str, float]:
    """Metric to its value of a model that knows nothing, of those that the task says."""
    return getattr(task, "chance", {})


def task_path(name: str) -> str:
    """``module:Class`` of a declared task. Raises DeclarationError."""
    return import_path(TASKS, name, "task")


def task_of(name: str, classes: Sequence[str] = (), threshold: float | None = None) -> Task:
    """The task of a declared name with its classes and threshold. Raises DeclarationError where there is none."""
    kind = load_object(task_path(name), "task")
    if not isinstance(kind, type):
        raise DeclarationError(f"task: {name} is {shown(kind)}; expected a class")
    try:
        made = kind(tuple(classes), threshold)
    except TypeError as error:
        raise DeclarationError(f"task: {name} cannot be made from classes and threshold ({error})") from error
    require_members(made, Task, "task")
    if ":" in name:
        for key in ("name", "title", "unit"):
            if not isinstance(said := getattr(made, key), str) or not said.strip():
                raise DeclarationError(f"task: {name}.{key} is {shown(said)}; expected a text for people")
        for key in ("measured", "compared"):
            require_texts(getattr(made, key), f"task: {name}.{key}")
        if made.output not in get_args(Output):
            raise DeclarationError(
                f"task: {name}.output is {shown(made.output)}; expected {' or '.join(get_args(Output))}"
            )
    return made


def target_column(frame: "pl.DataFrame", target: str) -> "pl.Series":
    """The column of the target. Raises PlatformError where it is missing."""
    if target not in frame.columns:
        raise PlatformError(f"target {target} is not among the columns; name a label column of the feature set")
    return frame[target]


def numeric_labels(frame: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, np.ndarray]":
    """The rows whose label is neither null nor NaN, and their labels as float64.

    Raises PlatformError for a missing or non-numeric target and for infinite labels.
    """
    import polars as pl

    kind = target_column(frame, target).dtype
    if not (kind.is_numeric() or kind == pl.Boolean):
        raise PlatformError(f"target {target} is {kind}, not numeric; make it a number in the feature function")
    known = frame.filter(pl.col(target).is_not_null())
    if kind.is_float():
        known = known.filter(~pl.col(target).is_nan())
        if known[target].is_infinite().any():
            raise PlatformError(f"target {target} holds infinite values; make them null in the feature function")
    return known, known[target].cast(pl.Float64).to_numpy()


def paired(y: "np.ndarray", p: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Both as float64. Raises PlatformError for empty input or different lengths."""
    import numpy as np

    if len(y) != len(p) or not len(y):
        raise PlatformError(f"evaluation: {len(y)} labels and {len(p)} predictions; give one of each per row")
    return np.asarray(y, np.float64), np.asarray(p, np.float64)
