"""Evaluation of one model on its holdout: every number that gates, report and model card need."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.evaluation.baselines import baselines
from ml_platform.evaluation.champion import Comparison, compare, ended, groups_of, unseen
from ml_platform.evaluation.contrasts import Drawing, contrasts
from ml_platform.evaluation.evaluation import ChampionEvidence, Evaluation
from ml_platform.evaluation.explanation import beeswarm, contributions, stability
from ml_platform.evaluation.fairness import Fairness, fairness, fairness_by_class
from ml_platform.evaluation.intervals import intervals
from ml_platform.evaluation.options import MONTH, EvaluationOptions
from ml_platform.evaluation.robustness import Unseen, robustness
from ml_platform.evaluation.search import directions
from ml_platform.evaluation.slices import two_way
from ml_platform.evaluation.tables import (
    calibration_table,
    confusion_table,
    feature_drift,
    group_table,
    importance_table,
)
from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import days, instants
from ml_platform.models import outputs
from ml_platform.models.checked import measured, unit_of
from ml_platform.models.code import same_task
from ml_platform.models.predictor import Predictor
from ml_platform.models.task import Task, task_of
from ml_platform.references.refs import ModelRef

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class Loaded(NamedTuple):
    """A model and what is known about it."""

    reference: ModelRef
    predictor: Predictor
    #: Bytes of its file.
    size: int


def evaluate(
    model: Loaded,
    holdout: "pl.DataFrame",
    train: "pl.DataFrame | Iterable[pl.DataFrame]",
    champion: Loaded | None,
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

    reference, predictor, size = model
    target, classes = reference.target, reference.classes
    task = task_of(reference.task, classes, options.threshold)
    cluster = options.cluster or options.time
    timed = (options.time,) if options.time else ()
    grouped = groups_of(reference.split, champion.reference.split if champion else None)
    needed = (*timed, cluster, *options.slices, *grouped)
    if missing := [name for name in dict.fromkeys(needed) if name not in holdout.columns]:
        raise PlatformError(
            f"evaluation of {reference.model}: columns {', '.join(missing)} are not in the holdout; "
            "add them to the slices of the feature function"
        )
    known, y = task.labels(holdout, target)
    if not known.height:
        raise PlatformError(
            f"evaluation of {reference.model}: no row of the holdout has a value of {target}; where outcomes come "
            "late, say when: split: {label_delay: DAYS}"
        )
    x = matrix(known, reference.features)
    p = predictor.predict(x)
    x_train, y_train = _training_rows(reference, task, train)

    # A feature may be a slice as well.
    dropped = [name for name in reference.features if name not in needed]
    predictions = known.drop(dropped, strict=False).with_columns(
        label=pl.Series(y), prediction=outputs.series("prediction", p)
    )
    evidence, stable = None, None
    explained = contributions(predictor, x, reference.features, options.seed)
    if champion is not None:
        theirs = _champion_predictions(reference, champion, known)
        predictions = predictions.with_columns(champion_prediction=outputs.series("", theirs))
        evidence = _against_champion(reference, task, champion.reference, predictions, cluster, options)
        their_features = champion.reference.features
        their_matrix = matrix(known, their_features)
        theirs_explained = contributions(champion.predictor, their_matrix, their_features, options.seed)
        stable = stability(explained.by_feature, theirs_explained.by_feature)

    def groups(by: pl.Expr) -> list[dict[str, Any]]:
        return group_table(predictions, by, task, options.min_support, options.min_positives)

    month = pl.col(options.time or cluster).dt.strftime("%Y-%m")
    against = {
        name: month if name == MONTH and name not in options.slices else pl.col(name) for name in options.contrasts
    }
    together = _clusters(predictions, cluster, options, reference)
    supported = (options.min_support, options.min_positives)
    drawn = (options.replicates, options.seed)
    calibration, error = calibration_table(*task.calibrated(y, p), options.calibration_bins)
    evaluation = Evaluation(
        model=reference.model,
        sha256=reference.sha256,
        manifest_sha256=reference.manifest_sha256,
        task=reference.task,
        target=target,
        threshold=options.threshold,
        rows=known.height,
        rows_without_label=holdout.height - known.height,
        train_rows=len(y_train),
        metrics=measured(task, y, p),
        train_metrics=measured(task, y_train, predictor.predict(x_train)),
        baselines=baselines(task, x_train, y_train, x, y, options.linear_baseline),
        champion=evidence,
        months=groups(month) if timed else [],
        slices={column: groups(pl.col(column)) for column in options.slices},
        calibration=calibration,
        calibration_error=error,
        importance=importance_table(predictor.importance(reference.features), explained, reference.features),
        curves=task.curves(y, p),
        options=options,
        intervals=intervals(task, y, p.astype(np.float64), together, options.compare or task.compared, *drawn),
        slice_pairs=two_way(predictions, options.slices, task, *supported),
        contrasts=contrasts(predictions, against, task, Drawing(together, *supported, *drawn)),
        fairness={column: _fairness(predictions, column, task, together, options) for column in options.slices}
        if task.output != "value"
        else {},
        robustness=robustness(predictor, x, y, reference.features, task, options, unseen),
        directions=directions(predictor, x, reference.features, options.seed),
        contributions=explained.by_feature,
        contributions_by=explained.by,
        contributions_unit=unit_of(predictor) if explained.by == "shap" else "",
        beeswarm=beeswarm(predictor, x, reference.features, explained) if explained.by == "shap" else [],
        drift=feature_drift(x_train, x, reference.features),
        stability=stable,
        model_bytes=size,
        classes=classes,
        confusion=confusion_table(y, p, classes) if classes else [],
    )
    return evaluation, predictions


def _fairness(
    predictions: "pl.DataFrame", column: str, task: Task, clusters: "pl.Series", options: EvaluationOptions
) -> Fairness:
    limits = (clusters, options.min_support, options.min_positives, options.replicates, options.seed)
    if task.output == "classes":
        return fairness_by_class(predictions, column, task.classes, *limits)
    assert task.threshold is not None  # the metrics have asked for it
    return fairness(predictions, column, task.threshold, *limits)


def _clusters(frame: "pl.DataFrame", cluster: str, options: EvaluationOptions, reference: ModelRef) -> "pl.Series":
    """What rows are resampled together: the given column, or the day; with hourly partitions the hour."""
    if cluster != options.time:
        return frame[cluster]
    hourly = any(isinstance(ended(entry.last), datetime) for entry in reference.split.train)
    return instants(frame[cluster]).dt.truncate("1h") if hourly else days(frame[cluster])


def _training_rows(
    reference: ModelRef, task: Task, train: "pl.DataFrame | Iterable[pl.DataFrame]"
) -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np
    import polars as pl

    frames = [train] if isinstance(train, pl.DataFrame) else train
    parts = [task.labels(frame, reference.target) for frame in frames]
    if not sum(len(y) for _, y in parts):
        raise PlatformError(f"evaluation of {reference.model}: no labelled training row for the baselines")
    return (
        np.concatenate([matrix(known, reference.features) for known, _ in parts]),
        np.concatenate([y for _, y in parts]),
    )


def _champion_predictions(reference: ModelRef, champion: Loaded, frame: "pl.DataFrame") -> "np.ndarray":
    theirs = champion.reference
    alike = same_task((theirs.task, theirs.code), (reference.task, reference.code))
    if not alike or (theirs.target, theirs.classes) != (reference.target, reference.classes):
        kinds = [", ".join([one.task, *one.classes]) for one in (theirs, reference)]
        raise PlatformError(
            f"evaluation of {reference.model}: the champion predicts {theirs.target} ({kinds[0]}), not "
            f"{reference.target} ({kinds[1]}); reject it (ml-platform reject {reference.model}@VERSION) or give the "
            "model a new name"
        )
    return champion.predictor.predict(matrix(frame, theirs.features))


def _against_champion(
    reference: ModelRef,
    task: Task,
    champion: ModelRef,
    predictions: "pl.DataFrame",
    cluster: str,
    options: EvaluationOptions,
) -> ChampionEvidence:
    import numpy as np

    rows = unseen(predictions, options.time, reference.split, champion.split)
    frame, note = rows.frame, rows.note
    y, ours, theirs = (frame[name].to_numpy() for name in ("label", "prediction", "champion_prediction"))
    groups = _clusters(frame, cluster, options, reference)
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
        wanted = task.comparable(y, options.compare or task.compared)
        if groups.n_unique() < 2:
            note += f" It holds one value of {cluster} only, so there is no interval and no comparison."
        elif not wanted:
            note += " It holds one class only, so there is no comparison."
        else:
            for metric in wanted:
                comparisons[metric] = compare(task, y, ours, theirs, groups, metric, options.replicates, options.seed)
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
