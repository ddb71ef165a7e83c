"""Parameters of a training, checked when they are read and not when the engine fails on them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_platform.foundation.errors import PlatformError

Task = Literal["binary", "multiclass", "regression"]

DEFAULT_OBJECTIVE: dict[str, str] = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}
#: Objectives whose prediction is a probability (binary), one per class (multiclass) or lies on the scale of the target.
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "binary": ("binary:logistic",),
    "multiclass": ("multi:softprob",),
    "regression": (
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:squaredlogerror",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
    ),
}


class TrainingParameters(BaseModel):
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

    def to_xgboost(self, task: Task, classes: int = 0) -> dict[str, Any]:
        """Parameters for ``xgboost.train``, without the rounds and the threads; ``classes`` of a multiclass task.

        Raises PlatformError for an objective whose output the platform could not read for ``task``.
        """
        objective = self.objective or DEFAULT_OBJECTIVE[task]
        if objective not in OBJECTIVES[task]:
            raise PlatformError(
                f"parameters: objective {objective!r} does not fit the task {task}; "
                f"use one of {', '.join(OBJECTIVES[task])}"
            )
        values = self.model_dump(exclude={"rounds", "objective"}, exclude_none=True)
        several = {"num_class": classes} if task == "multiclass" else {}
        return {**values, **several, "objective": objective, "tree_method": "hist"}

    def flat(self) -> dict[str, float | int | str]:
        """Every value that is set, for a reference or a run's parameters."""
        return self.model_dump(exclude_none=True)
