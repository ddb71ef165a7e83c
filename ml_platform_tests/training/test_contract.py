"""The trainers of the platform, and one of its own, keep the contract."""

from ml_platform_tests.training.contract import TrainerContract


class TestXGBoost(TrainerContract):
    trainer = "xgboost"
    parameters = {"rounds": 20, "max_depth": 3}  # noqa: RUF012


class TestLinear(TrainerContract):
    trainer = "sklearn"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.linear_model:LogisticRegression",
        "arguments": {"C": 0.5},
        "preprocessing": [
            {"estimator": "sklearn.impute:SimpleImputer", "arguments": {"strategy": "median"}},
            {"estimator": "sklearn.preprocessing:StandardScaler"},
        ],
    }


class TestHistogramTrees(TrainerContract):
    trainer = "sklearn"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.ensemble:HistGradientBoostingClassifier",
        "arguments": {"max_iter": 20},
    }


class TestOneOfItsOwn(TrainerContract):
    trainer = "ml_platform_tests.extending.nearest_trainer:NearestTrainer"
    parameters = {"kept": 800}  # noqa: RUF012


class TestTaskOfItsOwn(TrainerContract):
    trainer = "sklearn"
    task = "ml_platform_tests.extending.quantile:Quantile"
    parameters = {  # noqa: RUF012
        "estimator": "sklearn.ensemble:HistGradientBoostingRegressor",
        "arguments": {"max_iter": 20, "loss": "quantile", "quantile": 0.9},
    }
