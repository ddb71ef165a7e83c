"""Every task of the platform, and one of its own, keep the contract."""

import numpy as np
import polars as pl

from ml_platform.models.task import task_of
from ml_platform.testing.task import TaskContract

RANDOM = np.random.default_rng(0)
ZERO_ONE = RANDOM.integers(0, 2, 60)
THREE = np.r_[0, 1, 2, RANDOM.integers(0, 3, 57)]
VALUES = RANDOM.normal(size=60)
NAMES = ("a", "b", "c")


class TestBinary(TaskContract):
    task = task_of("binary", (), 0.4)
    target = pl.Series([*ZERO_ONE.tolist(), None])
    predictions = np.clip(0.4 * ZERO_ONE + 0.6 * RANDOM.random(60), 0, 1).astype(np.float32)


class TestMulticlass(TaskContract):
    task = task_of("multiclass", NAMES)
    target = pl.Series([*(NAMES[place] for place in THREE), None])
    predictions = RANDOM.dirichlet(np.ones(3), 60).astype(np.float32)


class TestRegression(TaskContract):
    task = task_of("regression")
    target = pl.Series([*VALUES.tolist(), None])
    predictions = (VALUES + RANDOM.normal(size=60)).astype(np.float32)


class TestOneOfItsOwn(TaskContract):
    task = task_of("ml_platform_tests.extending.quantile:Quantile")
    target = pl.Series([*VALUES.tolist(), None])
    predictions = (VALUES + RANDOM.normal(size=60)).astype(np.float32)
