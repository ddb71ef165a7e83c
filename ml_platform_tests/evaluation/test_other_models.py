"""Models of other trainers and tasks are measured, judged, reported and compared as the first ones are."""

from typing import Any

import pytest

from ml_platform.documents import model_card, report
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import judge
from ml_platform.registry import evaluations
from ml_platform_tests.evaluation.fitted import OLDER, OPTIONS, SPLIT, TARGETS, fitted, measured_of

QUANTILE = "ml_platform_tests.extending.quantile:Quantile"
MODELS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "linear": (
        "binary",
        "sklearn",
        {
            "estimator": "sklearn.linear_model:LogisticRegression",
            "preprocessing": [{"estimator": "sklearn.impute:SimpleImputer"}],
        },
        "shap",
    ),
    "trees": (
        *("binary", "sklearn"),
        {"estimator": "sklearn.ensemble:HistGradientBoostingClassifier", "arguments": {"max_iter": 20}},
        "permutation",
    ),
    "own trainer": (
        *("binary", "ml_platform_tests.extending.nearest_trainer:NearestTrainer"),
        {"kept": 200},
        "permutation",
    ),
    "own task": (
        *(QUANTILE, "sklearn"),
        {
            "estimator": "sklearn.ensemble:HistGradientBoostingRegressor",
            "arguments": {"loss": "quantile", "quantile": 0.9, "max_iter": 20},
        },
        "permutation",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_measured_judged_and_reported(name: str) -> None:
    task, trainer, parameters, explained = MODELS[name]
    model, champion = (fitted(split, task, trainer, **parameters) for split in (SPLIT, OLDER))
    options = OPTIONS if task == "binary" else OPTIONS.model_copy(update={"threshold": None})
    found, _ = measured_of(model, champion, options)
    metric = found.kind().compared[0]
    assert metric in found.metrics and found.champion is not None and metric in found.champion.comparisons
    assert metric in found.intervals and found.model_bytes == model.size
    assert found.contributions_by == explained and next(iter(found.contributions)) == "signal"
    assert found.importance[0]["feature"] == "signal"
    assert sum(row["share"] for row in found.importance) == pytest.approx(1)
    assert bool(found.beeswarm) == (explained == "shap")
    limit = {"min": 0.0} if found.kind().better[metric] else {"max": 1e6}
    gates = [
        Gate.model_validate({"gate": "performance", "metric": metric, **limit}),
        Gate.model_validate({"gate": "baseline", "metric": metric, "min": -0.2}),
        Gate.model_validate({"gate": "champion", "metric": metric, "mode": "superior", "min": 1000}),
    ]
    verdicts = judge(gates, found, subject="a" * 64, subject_name="x")
    assert [verdict.passed for verdict in verdicts] == [True, True, False]
    html = report.render(found, model.reference)
    assert found.kind().title in html and "signal" in html
    assert ("permuted among the rows" in html) == (explained == "permutation")
    card = model_card.render(found, model.reference, verdicts=verdicts, purpose="", limits="")
    assert metric.replace("_", " ") in card


def test_a_champion_of_another_trainer_is_compared() -> None:
    task, trainer, parameters, _ = MODELS["linear"]
    found, _ = measured_of(fitted(SPLIT), fitted(OLDER, task, trainer, **parameters))
    assert found.champion is not None and found.champion.comparisons["auc"].rows == found.rows
    assert found.stability is not None and found.stability.champion[0] == "signal"


def test_contributions_are_shown_in_the_unit_that_the_predictor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that predicts a logarithm they are none of the target."""
    monkeypatch.setitem(TARGETS, "regression", "late")
    parameters = {"rounds": 5, "max_depth": 2}
    options = OPTIONS.model_copy(update={"threshold": None})
    for objective, unit in (("reg:squarederror", ""), ("count:poisson", "log of the target")):
        model = fitted(SPLIT, "regression", "xgboost", **parameters, objective=objective)
        found, _ = measured_of(model, None, options)
        assert found.contributions_unit == unit and found.contributions_by == "shap"
        assert (unit or "unit of the target") in report.render(found, model.reference)
        kept = evaluations.written(found)
        assert evaluations.read(kept, "e") == found and ("contributions_unit" in kept) == bool(unit)
