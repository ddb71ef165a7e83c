"""Gradient-boosted trees by XGBoost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ml_platform.foundation.earlier import FIRST_FORMAT
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import thread_count
from ml_platform.models.task import Output, Task
from ml_platform.training.trainer import Frames, Trained, labelled_rows

#: Objectives whose prediction is what a task takes, the usual one first.
OBJECTIVES: dict[Output, tuple[str, ...]] = {
    "probability": ("binary:logistic",),
    "classes": ("multi:softprob",),
    "value": (
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:squaredlogerror",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
    ),
}


class XGBoostParameters(BaseModel):
    """Parameters of gradient-boosted trees, by XGBoost's names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(default=300, ge=1, le=100_000, description="Boosting rounds (trees).")
    max_depth: int = Field(default=6, ge=1, le=32, description="Depth of a tree.")
    eta: float = Field(default=0.05, gt=0, le=1, description="Learning rate.")
    min_child_weight: float = Field(default=1.0, ge=0, description="Least sum of hessians in a leaf.")
    colsample_bytree: float = Field(default=1.0, gt=0, le=1, description="Share of features per tree.")
    subsample: float = Field(default=1.0, gt=0, le=1, description="Share of rows per tree.")
    reg_lambda: float = Field(default=1.0, ge=0, description="L2 penalty on leaf values.")
    max_bin: int = Field(default=256, ge=2, le=65_536, description="Histogram bins per feature.")
    objective: str | None = Field(default=None, description="Objective; None: the usual one of the task.")
    huber_slope: float | None = Field(default=None, gt=0, description="Slope of reg:pseudohubererror; None: XGBoost's.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of row and feature sampling.")

    def to_xgboost(self, task: Task) -> dict[str, Any]:
        """Parameters for ``xgboost.train``, without the rounds and the threads.

        Raises PlatformError for an objective whose output the platform could not read for ``task``.
        """
        objective = self.objective or OBJECTIVES[task.output][0]
        if objective not in OBJECTIVES[task.output]:
            raise PlatformError(
                f"parameters.objective: {objective!r} does not fit the task {task.name}; "
                f"use one of {', '.join(OBJECTIVES[task.output])}"
            )
        values = self.model_dump(exclude={"rounds", "objective"}, exclude_none=True)
        several = {"num_class": len(task.classes)} if task.classes else {}
        return {**values, **several, "objective": objective, "tree_method": "hist"}


class XGBoostTrainer:
    """Histogram trees on the matrix of all rows in memory; bit-equal for any number of threads."""

    version: ClassVar[int] = 1
    # The hash of the text of this folder.
    equal_versions: ClassVar[tuple[str, ...]] = ("cc3080f55ea395fb",)
    libraries: ClassVar[tuple[str, ...]] = ("xgboost",)
    Parameters: ClassVar[type[XGBoostParameters]] = XGBoostParameters

    def check(self, parameters: BaseModel, task: Task) -> None:
        """The objective has to fit the task."""
        self._own(parameters).to_xgboost(task)

    def rounds(self, parameters: BaseModel) -> int:
        """Boosting rounds."""
        return self._own(parameters).rounds

    def limited(self, parameters: BaseModel, rounds: int) -> XGBoostParameters:
        """With fewer boosting rounds."""
        own = self._own(parameters)
        return own.model_copy(update={"rounds": min(own.rounds, rounds)})

    def train(
        self,
        frames: Frames,
        names: Sequence[str],
        target: str,
        task: Task,
        parameters: BaseModel,
        work: Path,
        threads: int,
    ) -> Trained:
        """A booster in UBJSON, with the feature names inside."""
        import numpy as np
        import xgboost

        own = self._own(parameters)
        rows = labelled_rows(frames, names, target, task)
        count = thread_count(threads)
        data = xgboost.QuantileDMatrix(
            rows.x, rows.y.astype(np.float32), feature_names=list(names), max_bin=own.max_bin, nthread=count
        )
        booster = xgboost.train({**own.to_xgboost(task), "nthread": count}, data, own.rounds)
        file = work / "model.ubj"
        file.write_bytes(booster.save_raw("ubj"))
        return Trained(file, FIRST_FORMAT, len(rows.y), rows.dropped)

    def _own(self, parameters: BaseModel) -> XGBoostParameters:
        return XGBoostParameters.model_validate(parameters, from_attributes=True)
