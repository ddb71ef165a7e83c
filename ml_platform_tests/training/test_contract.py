"""The trainers of the platform, and one of its own, keep the contract."""

import numpy as np
import polars as pl
import pytest

from ml_platform.testing.trainer import TrainerContract
from ml_platform_tests.training.synthetic import NAMES, month_frame


class Months(TrainerContract):
    """On months of made-up flights."""

    frames = (month_frame(1), month_frame(2))
    unseen = month_frame(3)
    names = NAMES
    target = "late"
    threshold = 0.5


class TestXGBoost(Months):
    trainer = "xgboost"
    format = "ubj"
    parameters = {"rounds": 20, "max_depth": 3}  # noqa: RUF012


class TestLinear(Months):
    trainer = "sklearn"
    format = "skops"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.linear_model:LogisticRegression",
        "arguments": {"C": 0.5},
        "preprocessing": [
            {"estimator": "sklearn.impute:SimpleImputer", "arguments": {"strategy": "median"}},
            {"estimator": "sklearn.preprocessing:StandardScaler"},
        ],
    }


@pytest.mark.slow
class TestHistogramTrees(Months):
    trainer = "sklearn"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.ensemble:HistGradientBoostingClassifier",
        "arguments": {"max_iter": 20},
    }


class TestOneOfItsOwn(Months):
    trainer = "ml_platform_tests.extending.nearest_trainer:NearestTrainer"
    parameters = {"kept": 800}  # noqa: RUF012


@pytest.mark.slow
class TestTaskOfItsOwn(Months):
    trainer = "sklearn"
    task = "ml_platform_tests.extending.quantile:Quantile"
    target = "arr_delay"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.ensemble:HistGradientBoostingRegressor",
        "arguments": {"max_iter": 20, "loss": "quantile", "quantile": 0.9},
    }


@pytest.mark.slow
class TestCounts(TrainerContract):
    """Data, target and task of another shape than the months."""

    trainer = "sklearn"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.linear_model:PoissonRegressor",
        "preprocessing": [{"estimator": "sklearn.preprocessing:StandardScaler"}],
    }
    task = "regression"
    frames = tuple(
        pl.DataFrame({"hour": x, "calls": pl.Series(random.poisson(np.exp(x))).set(pl.Series(x < -2), None)})
        for random in (np.random.default_rng(seed) for seed in (1, 2))
        for x in [random.normal(size=400).astype(np.float32)]
    )
    unseen = frames[0].reverse()
    names = ("hour",)
    target = "calls"
