"""Training and prediction with XGBoost: from feature frames to the bytes of a model and back."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import ModelRef, SplitRef
from ml_platform.registry.tracking import KEY_TAG, MODEL_ARTIFACT, MODEL_REF, Tracking
from ml_platform.training.parameters import Task, TrainingParameters

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost


#: Version of this trainer: raised when the same rows and parameters give other bytes.
VERSION = 1
#: How it was written before it had a number: by the hash of the text of this folder.
EQUAL_VERSIONS = ("cc3080f55ea395fb",)


class Trained(NamedTuple):
    """A trained model."""

    #: The booster in UBJSON, with the feature names inside.
    content: bytes
    #: Rows it was trained on.
    rows: int
    #: Rows without a label, which were left out.
    dropped: int


def thread_count(threads: int) -> int:
    """``threads``, or for 0 the cores that this process may use."""
    if threads > 0:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrix(frame: "pl.DataFrame", names: Sequence[str]) -> "np.ndarray":
    """The features of a frame as a C-ordered float32 array (rows x names); a null becomes NaN.

    Raises PlatformError for a missing column, a column that is not numeric, and an infinite value.
    """
    import numpy as np
    import polars as pl

    if missing := [name for name in names if name not in frame.columns]:
        raise PlatformError(f"features {', '.join(missing)} are not in the frame; materialize the features again")
    for name in names:
        if not (frame.schema[name].is_numeric() or frame.schema[name] == pl.Boolean):
            raise PlatformError(
                f"feature {name} is {frame.schema[name]}, not numeric; encode it in the feature function"
            )
    values = frame.select(pl.col(names).cast(pl.Float32)).to_numpy(order="c")
    if infinite := [names[int(i)] for i in np.flatnonzero(np.isinf(values).any(axis=0))]:
        raise PlatformError(
            f"features {', '.join(infinite)} hold infinite values; make them null in the feature function"
        )
    return values


def labelled(frame: "pl.DataFrame", target: str, task: Task, classes: Sequence[str] = ()) -> "pl.DataFrame":
    """The rows of ``frame`` that have a label (neither null nor NaN).

    Raises PlatformError for a missing or non-numeric target, for values other than 0 and 1 in a
    binary one, for infinite ones, and in a multiclass one for values that are no class.
    """
    import polars as pl

    if target not in frame.columns:
        raise PlatformError(f"target {target} is not among the columns; name a label column of the feature set")
    kind = frame.schema[target]
    if task == "multiclass":
        known = frame.filter(pl.col(target).is_not_null())
        unknown = set(known[target].cast(pl.String).unique()) - set(classes)
        if unknown:
            raise PlatformError(
                f"target {target} holds {', '.join(sorted(unknown)[:5])}, not among the classes {', '.join(classes)}; "
                "declare every class"
            )
        return known
    if not (kind.is_numeric() or kind == pl.Boolean):
        raise PlatformError(f"target {target} is {kind}, not numeric; make it a number in the feature function")
    known = frame.filter(pl.col(target).is_not_null())
    if kind.is_float():
        known = known.filter(~pl.col(target).is_nan())
        if known[target].is_infinite().any():
            raise PlatformError(f"target {target} holds infinite values; make them null in the feature function")
    if task == "binary" and not known[target].cast(pl.Float64).is_in([0.0, 1.0]).all():
        raise PlatformError(f"target {target} holds values other than 0 and 1; use task: regression or another target")
    return known


def label_values(frame: "pl.DataFrame", target: str, classes: Sequence[str] = ()) -> "np.ndarray":
    """Labels of :func:`labelled` rows as float64; of a multiclass target the place of each among ``classes``."""
    import polars as pl

    if not classes:
        return frame[target].cast(pl.Float64).to_numpy()
    places = {name: place for place, name in enumerate(classes)}
    return frame[target].cast(pl.String).replace_strict(places, return_dtype=pl.Float64).to_numpy()


def train(
    frames: "pl.DataFrame | Iterable[pl.DataFrame]",
    names: Sequence[str],
    target: str,
    task: Task,
    parameters: TrainingParameters,
    threads: int = 0,
    classes: Sequence[str] = (),
) -> Trained:
    """Train on the rows that have a label; ``classes`` names the values of a multiclass target.

    ``frames`` holds the features ``names`` and the ``target``; several frames are taken in order, and
    only the float32 matrix of all of them is held at once. The bytes are the same for the same rows in the
    same order, whatever the number of threads; they differ for another order of rows.

    Raises PlatformError where there is nothing to learn from: no labelled row, or none of a class.
    """
    import numpy as np
    import polars as pl
    import xgboost

    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    total = 0
    for frame in [frames] if isinstance(frames, pl.DataFrame) else frames:
        total += frame.height
        known = labelled(frame, target, task, classes)
        features.append(matrix(known, names))
        labels.append(label_values(known, target, classes).astype(np.float32))
    y = np.concatenate(labels) if labels else np.empty(0, np.float32)
    if not len(y):
        raise PlatformError(f"training: no row has a value of {target}; check the labels of the training partitions")
    if task == "binary" and y.min() == y.max():
        raise PlatformError(f"training: every {target} is {int(y[0])}; a binary model needs both classes")
    if lacking := [name for place, name in enumerate(classes) if not (y == place).any()]:
        raise PlatformError(f"training: no row has the {target} {', '.join(lacking)}; declare classes that happen")
    x = np.concatenate(features)
    features.clear()
    count = thread_count(threads)
    data = xgboost.QuantileDMatrix(x, y, feature_names=list(names), max_bin=parameters.max_bin, nthread=count)
    booster = xgboost.train({**parameters.to_xgboost(task, len(classes)), "nthread": count}, data, parameters.rounds)
    return Trained(bytes(booster.save_raw("ubj")), len(y), total - len(y))


def load_booster(source: bytes | Path, threads: int = 1) -> "xgboost.Booster":
    """A booster from UBJSON bytes or a file.

    Raises PlatformError where the bytes are no model.
    """
    import xgboost

    if isinstance(source, Path) and not source.is_file():
        raise PlatformError(f"model {source} does not exist; train or download it again")
    booster = xgboost.Booster({"nthread": thread_count(threads)})
    try:
        booster.load_model(bytearray(source) if isinstance(source, bytes) else source)
    except (xgboost.core.XGBoostError, ValueError) as error:
        name = "bytes" if isinstance(source, bytes) else str(source)
        raise PlatformError(f"model {name} is not an XGBoost model in UBJSON; train or download it again") from error
    return booster


def predict(booster: "xgboost.Booster", features: "np.ndarray") -> "np.ndarray":
    """Predictions (float32): per row the probability of a binary model, those of each class (rows x classes) of a
    multiclass one, else the value of the target.

    ``features`` is rows x features in the booster's order. Raises PlatformError for another width.
    """
    import numpy as np

    if features.ndim != 2 or features.shape[1] != booster.num_features():
        raise PlatformError(
            f"model expects {booster.num_features()} features, got an array of shape {features.shape}; "
            "build the matrix with the feature names of its reference"
        )
    return np.asarray(booster.inplace_predict(features), dtype=np.float32)


#: Seconds to wait for another process that trains the same model on the same content.
TRAINING_LOCK_SECONDS = 3600.0


def training_key(
    split: SplitRef,
    task: Task,
    target: str,
    names: Sequence[str],
    parameters: TrainingParameters,
    code_version: str,
    classes: Sequence[str] = (),
) -> str:
    """Hash of everything that decides the bytes of a model, so that equal trainings are found again.

    ``code_version`` identifies the code that trains; that of the features is part of the manifest, by content.
    """
    return sha256_bytes(
        canonical_json(
            {
                "manifest": split.sha256,
                "task": task,
                "target": target,
                "features": list(names),
                "parameters": parameters.flat(),
                "code_version": code_version,
                **({"classes": list(classes)} if classes else {}),
            }
        )
    )


def train_and_log(
    tracking: Tracking,
    split: SplitRef,
    frames: "pl.DataFrame | Iterable[pl.DataFrame]",
    names: Sequence[str],
    target: str,
    task: Task,
    parameters: TrainingParameters,
    *,
    training: Callable[..., Trained] = train,
    run_id: str,
    training_key: str,
    provenance: Provenance,
    equal_keys: Sequence[str] = (),
    extra_tags: Mapping[str, str] | None = None,
    threads: int = 0,
    classes: Sequence[str] = (),
) -> ModelRef:
    """Train on the frames of ``split.train`` and keep the model in an MLflow run.

    The MLflow experiment has the name of the model.

    Where a finished run has the same ``training_key``, or one of ``equal_keys``, its model is verified and returned as
    it was recorded, without training: then ``run_id`` of the result differs from the given one. Runs that a dead
    process of this machine left behind are ended first. A second process with the same key waits and adopts.
    ``frames`` may be a generator: it is not started when a model is adopted.

    Raises PlatformError as :func:`train` and :class:`~ml_platform.registry.tracking.Tracking` do.
    """
    experiment = split.model
    with tracking.lock(f"train-{training_key}", TRAINING_LOCK_SECONDS):
        tracking.end_dead_attempts(experiment)
        if found := tracking.find_trained(experiment, training_key, *equal_keys):
            reference = tracking.model_ref(found.info.run_id)
            tracking.model_path(reference)
            return reference
        tags = {
            **(extra_tags or {}),
            KEY_TAG: training_key,
            "ml_platform.model": split.model,
            "ml_platform.manifest_sha256": split.sha256,
            "ml_platform.code_commit": provenance.code_commit + ("-dirty" if provenance.dirty else ""),
            "ml_platform.lock_sha256": provenance.lock_sha256,
            "ml_platform.python": provenance.python,
        }
        name = f"{split.model} {split.holdout[-1].partition}" if split.holdout else split.model
        with tracking.attempt(experiment, run_name=name, tags=tags) as mlflow_run_id:
            trained = training(frames, names, target, task, parameters, threads, classes)
            reference = ModelRef(
                run_id=run_id,
                provenance=provenance,
                model=split.model,
                mlflow_run_id=mlflow_run_id,
                uri=tracking.log_artifact(mlflow_run_id, MODEL_ARTIFACT, trained.content),
                sha256=sha256_bytes(trained.content),
                manifest_sha256=split.sha256,
                split=split,
                task=task,
                classes=tuple(classes),
                features=tuple(names),
                target=target,
                parameters=parameters.flat(),
                seed=parameters.seed,
            )
            tracking.log_artifact(mlflow_run_id, "manifest.json", split.model_dump_json(indent=1))
            tracking.log(
                mlflow_run_id,
                parameters={**parameters.flat(), "task": task, "target": target, "features": len(names)},
                metrics={"train.rows": trained.rows, "train.rows_without_label": trained.dropped},
                tags={"ml_platform.model_sha256": reference.sha256},
            )
            tracking.log_artifact(mlflow_run_id, MODEL_REF, reference.model_dump_json(indent=1))
        return reference
