"""Models of synthetic months, trained once, and their evaluations."""

from typing import Any

import polars as pl

from ml_platform.evaluation.evaluate import Loaded, evaluate
from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.foundation.files import sha256_bytes
from ml_platform.models.predictor import file_name
from ml_platform.references.refs import ModelRef, SplitRef
from ml_platform.training.xgboost import XGBoostParameters
from ml_platform_tests.training.synthetic import NAMES, PROVENANCE, fit, frames, split_ref

PARAMETERS = XGBoostParameters(rounds=20, min_child_weight=5, max_depth=3)
OPTIONS = EvaluationOptions(threshold=0.3, slices=("carrier",), min_support=100, min_positives=20)
SPLIT = split_ref(range(1, 7), holdout=2)
OLDER = split_ref(range(1, 4))
TARGETS = {"binary": "late"}

_FITTED: dict[str, Loaded] = {}


def fitted(split: SplitRef, task: str = "binary", trainer: str = "xgboost", **parameters: Any) -> Loaded:
    """A model of a split, and its reference."""
    key = repr((split.sha256, task, trainer, parameters))
    if key not in _FITTED:
        target = TARGETS.get(task, "arr_delay")
        given = parameters or PARAMETERS.model_dump()
        done = fit(frames(split.train), target, task, trainer=trainer, **given)
        reference = ModelRef(
            run_id="dagster-1",
            provenance=PROVENANCE,
            model=split.model,
            mlflow_run_id="f" * 32,
            uri=f"runs:/x/model/{file_name(done.trained.format)}",
            sha256=sha256_bytes(done.content),
            manifest_sha256=split.sha256,
            split=split,
            task=task,
            features=NAMES,
            target=target,
            parameters={},
            seed=0,
            trainer=trainer,
            format=done.trained.format,
            types=done.trained.types,
        )
        _FITTED[key] = Loaded(reference, done.predictor, len(done.content))
    return _FITTED[key]


def measured(
    split: SplitRef, champion: SplitRef | None = None, task: str = "binary", options: EvaluationOptions = OPTIONS
) -> tuple[Evaluation, pl.DataFrame]:
    """The evaluation of a split's model beside that of another."""
    return measured_of(fitted(split, task), champion and fitted(champion, task), options)


def measured_of(
    model: Loaded, champion: Loaded | None = None, options: EvaluationOptions = OPTIONS
) -> tuple[Evaluation, pl.DataFrame]:
    """The evaluation of a model."""
    split = model.reference.split
    return evaluate(model, pl.concat(frames(split.holdout)), iter(frames(split.train)), champion, options)
