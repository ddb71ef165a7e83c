"""Everything that was measured on one model."""

from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.champion import Comparison
from ml_platform.evaluation.contrasts import Contrast
from ml_platform.evaluation.explanation import Stability
from ml_platform.evaluation.fairness import Fairness
from ml_platform.evaluation.intervals import Interval
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.robustness import Disturbance
from ml_platform.evaluation.search import Direction
from ml_platform.models.predictor import Predictor
from ml_platform.models.task import Task, task_of

if TYPE_CHECKING:
    import polars as pl


class HoldoutRows(NamedTuple):
    """The labelled rows that a model was evaluated on, for gates that ask for them."""

    #: What features hold of each row, with ``label`` and ``prediction`` (of several classes: one per class); values of
    #: slices that are marked ``pii`` are masked.
    frame: "pl.DataFrame"
    #: Columns of ``frame`` that the model reads, in its order.
    features: tuple[str, ...]
    predictor: Predictor


class ChampionEvidence(BaseModel):
    """Candidate and champion on the rows that neither was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    mlflow_run_id: str
    #: Day of the last event either was trained on; rows up to it are left out.
    cutoff: date | None
    rows: int
    excluded: int
    note: str
    #: Empty where no comparison is possible; ``note`` says why.
    comparisons: dict[str, Comparison]
    #: Change of outputs: ``mean_absolute_difference``, ``p95_absolute_difference`` (of several classes: total
    #: variation) and, where the model decides, ``flipped`` (share of rows whose decision differs).
    churn: dict[str, float]


class Evaluation(BaseModel):
    """Everything that was measured, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    sha256: str
    manifest_sha256: str
    task: str
    target: str
    threshold: float | None
    #: Labelled rows of the holdout, and those without a label, which were left out.
    rows: int
    rows_without_label: int
    train_rows: int
    metrics: dict[str, float]
    #: The same metrics on the training rows: a large distance is overfitting.
    train_metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    champion: ChampionEvidence | None
    #: By calendar month.
    months: list[dict[str, Any]]
    #: By slice column.
    slices: dict[str, list[dict[str, Any]]]
    calibration: list[dict[str, Any]]
    #: Expected calibration error, on the scale of the prediction.
    calibration_error: float
    importance: list[dict[str, Any]]
    curves: dict[str, list[list[float]]]
    options: EvaluationOptions
    # What follows came later: None (or empty) in an evaluation that was made before.
    #: Intervals of the compared metrics, clustered as the comparison is.
    intervals: dict[str, Interval] = {}
    #: By two slice columns, groups with support only.
    slice_pairs: dict[str, list[dict[str, Any]]] = {}
    #: By column or pair of columns, then by metric, for those whose groups a gate holds against each other.
    contrasts: dict[str, dict[str, list[Contrast]]] = {}
    #: By slice column, of a model that decides.
    fairness: dict[str, Fairness] = {}
    robustness: list[Disturbance] = []
    #: How much each feature moves the predictions, largest first: its mean absolute SHAP value, or, of a model that
    #: gives none, the mean absolute change of the prediction where the feature is permuted among the rows.
    contributions: dict[str, float] = {}
    contributions_by: Literal["shap", "permutation"] = "shap"
    #: Unit of the SHAP values where the predictor says another one than the task.
    contributions_unit: str = ""
    #: By feature that varies; empty for several classes.
    directions: dict[str, Direction] = {}
    #: None where there is no champion.
    stability: Stability | None = None
    #: Size of the model as a file.
    model_bytes: int | None = None
    #: Of a multiclass model: its classes, and rows of each by the class that was decided for.
    #: Strongest features with ``shap`` values of sampled rows and the ``value`` of the feature (its rank, 0 to 1).
    beeswarm: list[dict[str, Any]] = []
    #: Population stability index of each feature, holdout against training, largest first.
    drift: dict[str, float] = {}
    classes: tuple[str, ...] = ()
    #: Hash of what was declared and written when it was measured (the context of verdicts); empty in earlier releases.
    context: str = ""
    confusion: list[dict[str, Any]] = []

    def kind(self) -> Task:
        """The task, with its classes and threshold."""
        return task_of(self.task, self.classes, self.threshold)
