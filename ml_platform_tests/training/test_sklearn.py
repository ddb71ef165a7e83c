"""Estimators of scikit-learn: what is refused, what is loaded, and what is explained."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.models.predictor import load_predictor
from ml_platform.models.sklearn import Sklearn
from ml_platform.models.task import task_of
from ml_platform.training.trainer import trainer_of
from ml_platform_tests.training.synthetic import NAMES, fit, month_frame

IMPUTED = [{"estimator": "sklearn.impute:SimpleImputer"}, {"estimator": "sklearn.preprocessing:StandardScaler"}]
LOGISTIC: dict[str, Any] = {"estimator": "sklearn.linear_model:LogisticRegression", "preprocessing": IMPUTED}
FRAMES = [month_frame(1), month_frame(2)]


class Own(LogisticRegression):
    """An estimator of another library."""


@pytest.mark.parametrize(
    ("task", "parameters", "reason"),
    [
        ("regression", LOGISTIC, "LogisticRegression is not a regressor, which regression takes"),
        ("binary", {"estimator": "sklearn.linear_model:Ridge"}, "Ridge is not a classifier with predict_proba"),
        ("binary", {"estimator": "sklearn.svm:LinearSVC"}, "LinearSVC is not a classifier with predict_proba"),
        ("binary", {**LOGISTIC, "arguments": {"depth": 3}}, "LogisticRegression takes no depth; it has "),
        ("binary", {**LOGISTIC, "preprocessing": [LOGISTIC | {}]}, None),
        ("binary", {"estimator": "sklearn.linear_model:Missing"}, "has no object 'Missing'"),
        ("binary", {"estimator": "sklearn.base:clone"}, "clone is not a class"),
    ],
)
def test_parameters_that_cannot_work_are_named(task: str, parameters: dict[str, Any], reason: str | None) -> None:
    trainer = trainer_of("sklearn")
    if reason is None:
        with pytest.raises(ValueError, match="preprocessing"):
            trainer.Parameters.model_validate(parameters)
        return
    with pytest.raises((PlatformError, DeclarationError), match=re.escape(reason)):
        trainer.check(trainer.Parameters.model_validate(parameters), task_of(task))


def test_missing_values_without_preprocessing_are_named() -> None:
    with pytest.raises(PlatformError, match=r"LogisticRegression cannot be fitted .*NaN"):
        fit(FRAMES, "late", trainer="sklearn", estimator="sklearn.linear_model:LogisticRegression")


def test_the_seed_is_the_random_state() -> None:
    def content(seed: int) -> bytes:
        forest: dict[str, Any] = {
            "estimator": "sklearn.ensemble:RandomForestClassifier",
            "arguments": {"n_estimators": 3},
        }
        return fit(FRAMES, "late", trainer="sklearn", preprocessing=IMPUTED, seed=seed, **forest).content

    assert content(1) == content(1) != content(2)


def test_only_recorded_types_are_loaded(tmp_path: Path) -> None:
    done = fit(FRAMES, "late", trainer="sklearn", estimator="sklearn.ensemble:HistGradientBoostingClassifier")
    (tree,) = done.trained.types
    file = tmp_path / "model.skops"
    file.write_bytes(done.content)
    assert load_predictor("skops", file, 1, (tree,)).width == 4
    told = f"types that were not recorded when it was trained: {re.escape(tree)}; .* returns them as Trained.types$"
    with pytest.raises(PlatformError, match=told):
        load_predictor("skops", file, 1, ())


def test_a_type_of_another_library_has_to_be_trusted() -> None:
    own: dict[str, Any] = {"estimator": f"{__name__}:Own", "preprocessing": IMPUTED}
    with pytest.raises(PlatformError, match=f"holds {re.escape(__name__)}.Own, .* parameters.trusted"):
        fit(FRAMES, "late", trainer="sklearn", **own)
    done = fit(FRAMES, "late", trainer="sklearn", trusted=[f"{__name__}.Own"], **own)
    assert f"{__name__}.Own" in done.trained.types
    predictor = done.predictor.predictor  # type: ignore[attr-defined]
    assert isinstance(predictor, Sklearn) and isinstance(predictor.estimator[-1], Own)


def test_shap_values_of_a_linear_model_add_up_to_its_margin() -> None:
    predictor = fit(FRAMES, "late", trainer="sklearn", **LOGISTIC).predictor.predictor  # type: ignore[attr-defined]
    assert isinstance(predictor, Sklearn)
    x = matrix(month_frame(3), NAMES)[:200]
    values = predictor.contributions(x)
    assert values is not None
    margin = predictor.estimator.decision_function(x.astype(np.float64))
    np.testing.assert_allclose(values.sum(axis=1), margin - margin.mean(), atol=1e-9)
    mixed: Any = [*IMPUTED, {"estimator": "sklearn.decomposition:PCA"}]
    assert (
        fit(FRAMES, "late", trainer="sklearn", **{**LOGISTIC, "preprocessing": mixed}).predictor.contributions(x)
        is None
    ), "components are no features"
