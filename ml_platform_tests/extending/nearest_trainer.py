"""A trainer of one's own: it keeps a sample of the training rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import Task
from ml_platform.training.trainer import Frames, Trained, labelled_rows


class Parameters(BaseModel):
    """How many rows are kept, and how many answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: int = Field(default=500, ge=1)
    neighbours: int = Field(default=25, ge=1)
    seed: int = 0


class NearestTrainer:
    """Keeps rows; there is nothing else to train."""

    version = 1
    equal_versions = ()
    libraries = ("numpy",)
    Parameters = Parameters

    def check(self, parameters: BaseModel, task: Task) -> None:
        """Means of labels are no probabilities of several classes."""
        if task.output == "classes":
            raise PlatformError(f"parameters: the nearest rows do not fit the task {task.name}")

    def rounds(self, parameters: BaseModel) -> int | None:
        """None."""
        return None

    def limited(self, parameters: BaseModel, rounds: int) -> BaseModel:
        """As they are."""
        return parameters

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
        """A file of numbers."""
        own = Parameters.model_validate(parameters, from_attributes=True)
        rows = labelled_rows(frames, names, target, task)
        chosen = np.random.default_rng(own.seed).permutation(len(rows.y))[: own.kept]
        file = work / "model.npy"
        table = np.column_stack([rows.x[chosen], rows.y[chosen], np.full(len(chosen), own.neighbours)])
        np.save(file, table.astype(np.float64), allow_pickle=False)
        return Trained(file, "ml_platform_tests.extending.nearest:Nearest", len(rows.y), rows.dropped)
