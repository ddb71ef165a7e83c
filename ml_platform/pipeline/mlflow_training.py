"""A training, kept in an MLflow run, or found there again."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.provenance import OUTSIDE_GIT, Provenance
from ml_platform.models.code import changed, code_of, identity
from ml_platform.models.predictor import file_name
from ml_platform.models.task import task_of
from ml_platform.references.refs import ModelRef, SplitRef
from ml_platform.registry.tracking import KEY_TAG, MODEL_FOLDER, MODEL_REF, Tracking
from ml_platform.training.code import plain
from ml_platform.training.trainer import Frames, Trainer, train, trainer_of

#: Seconds to wait for another process that trains the same model on the same content.
LOCK_SECONDS = 3600.0


def train_and_log(
    tracking: Tracking,
    split: SplitRef,
    frames: Frames,
    names: Sequence[str],
    target: str,
    task: str,
    parameters: BaseModel,
    *,
    run_id: str,
    training_key: str,
    provenance: Provenance,
    trainer: str = FIRST_TRAINER,
    find: Callable[[str], Trainer] = trainer_of,
    equal_keys: Sequence[str] = (),
    known: Callable[[ModelRef], bool] = lambda _: True,
    note: Callable[[ModelRef], None] = lambda _: None,
    extra_tags: Mapping[str, str] | None = None,
    threads: int = 0,
    classes: Sequence[str] = (),
    recipe: str = "",
    judged: ModelRef | None = None,
) -> ModelRef:
    """Train on the frames of ``split.train`` and keep the model in an MLflow run.

    The MLflow experiment has the name of the model.

    Where a finished run has the same ``training_key``, or one of ``equal_keys``, and the code of its task and predictor
    is that of now, its model is verified and returned as
    it was recorded, without training: then ``run_id`` of the result differs from the given one. Runs that a dead
    process of this machine left behind are ended first. A second process with the same key waits and adopts.
    ``frames`` is not called when a model is adopted; ``find`` gives the trainer of a name. A reference that MLflow has
    and that is not ``known`` is not adopted; a new one is handed to ``note`` before its run counts as finished.
    ``recipe`` and, of a refit, ``judged`` are what the reference is to say.

    Raises PlatformError as the trainer and :class:`~ml_platform.registry.tracking.Tracking` do.
    """
    experiment = split.model
    with tracking.lock(f"train-{training_key}", LOCK_SECONDS):
        tracking.end_dead_attempts(experiment)
        for found in tracking.trained(experiment, training_key, *equal_keys):
            reference = tracking.model_ref(found.info.run_id)
            # What was trained outside Git nobody can replay; under Git it is trained once more, to equal bytes.
            if reference.provenance.code_commit == OUTSIDE_GIT != provenance.code_commit:
                continue
            # The same file with another code of its predictor or its task is another model.
            if not changed(reference.code, task, reference.format) and known(reference):
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
            **({"ml_platform.judged_run": judged.mlflow_run_id} if judged else {}),
        }
        name = f"{split.model} {split.newest.partition}{' refit' if judged else ''}"
        values = plain(parameters)
        with (
            tracking.attempt(experiment, run_name=name, tags=tags) as mlflow_run_id,
            tempfile.TemporaryDirectory(prefix="training-") as work,
        ):
            trained = train(
                find(trainer), frames, names, target, task_of(task, classes), parameters, Path(work), threads
            )
            content, code = trained.file.read_bytes(), code_of(task, trained.format)
            file_sha256 = sha256_bytes(content)
            artifact = f"{MODEL_FOLDER}/{file_name(trained.format)}"
            reference = ModelRef(
                run_id=run_id,
                provenance=provenance,
                model=split.model,
                mlflow_run_id=mlflow_run_id,
                uri=tracking.log_artifact(mlflow_run_id, artifact, content),
                sha256=identity(file_sha256, code),
                manifest_sha256=split.sha256,
                split=split,
                task=task,
                classes=tuple(classes),
                features=tuple(names),
                target=target,
                parameters=values,
                seed=int(values.get("seed", 0)),
                trainer=trainer,
                format=trained.format,
                types=trained.types,
                code=code,
                file_sha256=file_sha256 if code else "",
                recipe=recipe,
                judged=judged,
            )
            tracking.log_artifact(mlflow_run_id, "manifest.json", split.model_dump_json(indent=1))
            tracking.log(
                mlflow_run_id,
                parameters={**values, "task": task, "target": target, "features": len(names)},
                metrics={"train.rows": trained.rows, "train.rows_without_label": trained.dropped},
                tags={"ml_platform.model_sha256": reference.sha256, "ml_platform.trainer": trainer},
            )
            tracking.log_artifact(mlflow_run_id, MODEL_REF, reference.model_dump_json(indent=1))
            note(reference)
        return reference
