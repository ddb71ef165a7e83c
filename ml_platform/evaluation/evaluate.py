"""Evaluation of one model on its holdout: every number that gates, report and model card need."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_platform.evaluation.baselines import baselines
from ml_platform.evaluation.champion import Comparison, compare, unseen
from ml_platform.evaluation.explanation import Stability, beeswarm, contributions, stability
from ml_platform.evaluation.fairness import Fairness, fairness, fairness_by_class
from ml_platform.evaluation.intervals import Interval, intervals
from ml_platform.evaluation.robustness import Disturbance, Unseen, robustness
from ml_platform.evaluation.search import Direction, directions
from ml_platform.evaluation.slices import two_way
from ml_platform.evaluation.tables import (
    calibration_table,
    confusion_table,
    curves,
    feature_drift,
    group_table,
    importance_table,
)
from ml_platform.foundation.errors import PlatformError
from ml_platform.models import outputs
from ml_platform.models.metrics import metrics
from ml_platform.references.refs import ModelRef
from ml_platform.training.train import label_values, labelled, matrix, predict

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost

COMPARED: dict[str, tuple[str, ...]] = {
    "binary": ("auc", "pr_auc", "brier"),
    "multiclass": ("accuracy", "log_loss", "auc_macro", "f1_macro"),
    "regression": ("mae", "rmse"),
}


class EvaluationOptions(BaseModel):
    """What is measured; thresholds on the results are the gates' business."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Probability from which a row counts as positive; binary needs it.",
    )
    time: str = Field(default="date", description="Date or Datetime column of the event.")
    cluster: str | None = Field(default=None, description="Column whose rows stay together; None: the day.")
    slices: tuple[str, ...] = Field(default=(), description="Columns by which the holdout is divided.")
    min_support: int = Field(default=500, ge=1, description="Fewest rows for metrics of a group.")
    min_positives: int = Field(default=50, ge=0, description="Fewest rows of either class for the same.")
    compare: tuple[str, ...] | None = Field(default=None, description="Metrics compared with the champion.")
    replicates: int = Field(default=1000, ge=100, description="Bootstrap replicates.")
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap.")
    calibration_bins: int = Field(default=10, ge=2, description="Quantile bins of the calibration table.")
    feature_groups: dict[str, tuple[str, ...]] = Field(
        default={}, description="Features that may go missing together, by the group's name."
    )
    worst_case_within: float = Field(
        default=0.1, gt=0, description="How far a feature may move in the search for the worst case, in its IQRs."
    )
    worst_case_bounds: dict[str, float] = Field(
        default={}, description="How far single features may move, in their own unit; 0: not at all."
    )
    linear_baseline: bool = Field(default=True, description="Whether the linear baseline is fitted.")


class ChampionEvidence(BaseModel):
    """Candidate and champion on the rows that neither was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    mlflow_run_id: str
    #: Day of the last event either was trained on; rows up to it are left out.
    cutoff: date
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
    task: Literal["binary", "multiclass", "regression"]
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
    #: By slice column, of a model that decides.
    fairness: dict[str, Fairness] = {}
    robustness: list[Disturbance] = []
    #: Mean absolute SHAP value of each feature, largest first.
    contributions: dict[str, float] = {}
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
    confusion: list[dict[str, Any]] = []


def evaluate(
    reference: ModelRef,
    booster: "xgboost.Booster",
    holdout: "pl.DataFrame",
    train: "pl.DataFrame | Iterable[pl.DataFrame]",
    champion: "tuple[ModelRef, xgboost.Booster] | None",
    options: EvaluationOptions,
    unseen: Unseen | None = None,
) -> "tuple[Evaluation, pl.DataFrame]":
    """Evaluate a model on ``holdout``; the frames of ``train`` serve the baselines, ``unseen`` the robustness.

    Frames have the features, the target, the time column and the slices. Also returned are the labelled
    rows of the holdout without the features, with ``label``, ``prediction`` and, where there is a
    champion, ``champion_prediction``.

    Raises PlatformError for missing columns, a holdout without labels, a binary model without a
    threshold, or a champion of another task.
    """
    import numpy as np
    import polars as pl

    task, target, threshold = reference.task, reference.target, options.threshold
    cluster = options.cluster or options.time
    needed = (options.time, cluster, *options.slices)
    if missing := [name for name in dict.fromkeys(needed) if name not in holdout.columns]:
        raise PlatformError(
            f"evaluation of {reference.model}: columns {', '.join(missing)} are not in the holdout; "
            "add them to the slices of the feature function"
        )
    classes = reference.classes
    known = labelled(holdout, target, task, classes)
    if not known.height:
        raise PlatformError(f"evaluation of {reference.model}: no row of the holdout has a value of {target}")
    y = label_values(known, target, classes)
    x = matrix(known, reference.features)
    p = predict(booster, x)
    x_train, y_train = _training_rows(reference, train)

    # A feature may be a slice as well.
    dropped = [name for name in reference.features if name not in needed]
    predictions = known.drop(dropped, strict=False).with_columns(
        label=pl.Series(y), prediction=outputs.series("prediction", p)
    )
    evidence, stable = None, None
    explained = contributions(booster, x, reference.features)
    if champion is not None:
        theirs = _champion_predictions(reference, champion, known)
        predictions = predictions.with_columns(champion_prediction=outputs.series("", theirs))
        evidence = _against_champion(reference, champion[0], predictions, cluster, options)
        their_features = champion[0].features
        stable = stability(explained, contributions(champion[1], matrix(known, their_features), their_features))

    def groups(by: pl.Expr) -> list[dict[str, Any]]:
        return group_table(predictions, by, task, threshold, options.min_support, options.min_positives)

    together = _clusters(predictions, cluster, options)
    supported = (options.min_support, options.min_positives)
    drawn = (options.replicates, options.seed)
    # Of several classes the most probable one is calibrated: how often it is right against how sure the model was.
    asked = (y, p) if task != "multiclass" else ((p.argmax(axis=1) == y).astype(np.float64), p.max(axis=1))
    calibration, error = calibration_table(asked[0], asked[1].astype(np.float64), options.calibration_bins)
    evaluation = Evaluation(
        model=reference.model,
        sha256=reference.sha256,
        manifest_sha256=reference.manifest_sha256,
        task=task,
        target=target,
        threshold=threshold,
        rows=known.height,
        rows_without_label=holdout.height - known.height,
        train_rows=len(y_train),
        metrics=metrics(task, y, p, threshold),
        train_metrics=metrics(task, y_train, predict(booster, x_train), threshold),
        baselines=baselines(task, x_train, y_train, x, y, threshold, options.linear_baseline, len(classes)),
        champion=evidence,
        months=groups(pl.col(options.time).cast(pl.Date).dt.strftime("%Y-%m")),
        slices={column: groups(pl.col(column)) for column in options.slices},
        calibration=calibration,
        calibration_error=error,
        importance=importance_table(booster, reference.features),
        curves=curves(task, y, p),
        options=options,
        intervals=intervals(y, p.astype(np.float64), together, options.compare or COMPARED[task], *drawn),
        slice_pairs=two_way(predictions, options.slices, task, threshold, *supported),
        fairness={column: _fairness(predictions, column, reference, together, options) for column in options.slices}
        if task != "regression"
        else {},
        robustness=robustness(
            booster,
            x,
            y,
            reference.features,
            options.feature_groups,
            task,
            threshold,
            options.seed,
            unseen=unseen,
            within=options.worst_case_within,
            bounds=options.worst_case_bounds,
        ),
        directions=directions(booster, x, reference.features, options.seed),
        contributions=explained,
        beeswarm=beeswarm(booster, x, reference.features, explained),
        drift=feature_drift(x_train, x, reference.features),
        stability=stable,
        model_bytes=len(booster.save_raw("ubj")),
        classes=classes,
        confusion=confusion_table(y, p, classes) if classes else [],
    )
    return evaluation, predictions


def _fairness(
    predictions: "pl.DataFrame", column: str, reference: ModelRef, clusters: "pl.Series", options: EvaluationOptions
) -> Fairness:
    limits = (clusters, options.min_support, options.min_positives, options.replicates, options.seed)
    if reference.classes:
        return fairness_by_class(predictions, column, reference.classes, *limits)
    assert options.threshold is not None  # the metrics have asked for it
    return fairness(predictions, column, options.threshold, *limits)


def _clusters(frame: "pl.DataFrame", cluster: str, options: EvaluationOptions) -> "pl.Series":
    """What rows are resampled together: the declared column, or the day."""
    import polars as pl

    return frame[cluster].cast(pl.Date) if cluster == options.time else frame[cluster]


def _training_rows(
    reference: ModelRef, train: "pl.DataFrame | Iterable[pl.DataFrame]"
) -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np
    import polars as pl

    parts: Sequence[pl.DataFrame] = [
        labelled(frame, reference.target, reference.task, reference.classes)
        for frame in ([train] if isinstance(train, pl.DataFrame) else train)
    ]
    if not sum(part.height for part in parts):
        raise PlatformError(f"evaluation of {reference.model}: no labelled training row for the baselines")
    return (
        np.concatenate([matrix(part, reference.features) for part in parts]),
        np.concatenate([label_values(part, reference.target, reference.classes) for part in parts]),
    )


def _champion_predictions(
    reference: ModelRef, champion: "tuple[ModelRef, xgboost.Booster]", frame: "pl.DataFrame"
) -> "np.ndarray":
    theirs, booster = champion
    if (theirs.task, theirs.target, theirs.classes) != (reference.task, reference.target, reference.classes):
        kinds = [", ".join([one.task, *one.classes]) for one in (theirs, reference)]
        raise PlatformError(
            f"evaluation of {reference.model}: the champion predicts {theirs.target} ({kinds[0]}), not "
            f"{reference.target} ({kinds[1]}); remove the alias champion or give the model a new name"
        )
    return predict(booster, matrix(frame, theirs.features))


def _against_champion(
    reference: ModelRef,
    champion: ModelRef,
    predictions: "pl.DataFrame",
    cluster: str,
    options: EvaluationOptions,
) -> ChampionEvidence:
    import numpy as np

    rows = unseen(predictions, options.time, reference.split, champion.split)
    frame, note = rows.frame, rows.note
    y, ours, theirs = (frame[name].to_numpy() for name in ("label", "prediction", "champion_prediction"))
    groups = _clusters(frame, cluster, options)
    comparisons: dict[str, Comparison] = {}
    churn: dict[str, float] = {}
    if frame.height:
        difference = outputs.distance(ours, theirs)
        churn = {
            "mean_absolute_difference": float(difference.mean()),
            "p95_absolute_difference": float(np.quantile(difference, 0.95)),
        }
        changed = outputs.flipped(ours, theirs, options.threshold)
        if changed is not None:
            churn["flipped"] = changed
        if groups.n_unique() < 2:
            note += f" It holds one value of {cluster} only, so there is no interval and no comparison."
        elif reference.task == "binary" and y.min() == y.max():
            note += " It holds one class only, so there is no comparison."
        else:
            # Without a row of each class the AUC against the rest is not defined.
            ranked = not reference.classes or len(np.unique(y)) == len(reference.classes)
            wanted = options.compare or COMPARED[reference.task]
            for metric in [name for name in wanted if ranked or name not in {"auc_macro", "f1_macro"}]:
                comparisons[metric] = compare(y, ours, theirs, groups, metric, options.replicates, options.seed)
    return ChampionEvidence(
        sha256=champion.sha256,
        mlflow_run_id=champion.mlflow_run_id,
        cutoff=rows.cutoff,
        rows=frame.height,
        excluded=rows.excluded,
        note=note,
        comparisons=comparisons,
        churn=churn,
    )
