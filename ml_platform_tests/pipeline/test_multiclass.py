"""A model of three classes on real flights: from the batch to a service that answers."""

import json

import numpy as np
import pytest

from ml_platform.declarations.model import ModelSpec
from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.pipeline.release import holdout_sample
from ml_platform.registry import evaluations
from ml_platform.serving import checks
from ml_platform.serving.client import Client
from ml_platform.serving.schema import to_rows
from ml_platform_tests.pipeline.arrivals import ARRIVAL, CLASSES, PARAMETERS
from ml_platform_tests.project import JANUARY, MARCH, MONTHS, Project, declared, new_project, originals

BEFORE, SERVED = ("split", "model", "evaluation", "registered_model"), ("service",)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    catalogue = declared(
        features={"function": "ml_platform_tests.pipeline.arrivals:arrivals"},
        models={"arrival": ARRIVAL, "second_arrival": {**ARRIVAL, "parameters": {**PARAMETERS, "rounds": 24}}},
    )
    made = new_project(
        tmp_path_factory.mktemp("arrival") / "project",
        originals(tmp_path_factory.getbasetemp()),
        catalogue,
        arrived=MONTHS[:3],
        environment={"ML_PLATFORM_PORTS": "3340-3349"},
    )
    outcome = made.ingest(JANUARY, MARCH)
    assert outcome.success, outcome.error
    return made


@pytest.mark.slow
def test_a_model_of_three_classes_is_trained_judged_registered_and_served(project: Project) -> None:
    outcome = project.materialize(*(f"arrival/{step}" for step in (*BEFORE, *SERVED)), checks=None)
    assert outcome.success, outcome.error or {name: event.description for name, event in outcome.checks.items()}
    assert all(event.passed for event in outcome.checks.values())
    assert len(outcome.checks) == len(ARRIVAL["gates"])

    with project.active() as workspace:
        version = workspace.registry.latest("arrival")
        assert version is not None and version.model_ref.classes == CLASSES
        evaluation = evaluations.load(workspace.tracking, version.model_ref)
        assert evaluation.metrics["auc_macro"] > evaluation.baselines["base_rate"]["auc_macro"] == 0.5
        assert sum(row["rows"] for row in evaluation.confusion) == evaluation.rows
        html = (workspace.settings.local / project.reference("arrival/evaluation").html).read_text()
        assert "Rows of each class by decision" in html and "on time" in html

        context = project.context("arrival")
        raw, expected = holdout_sample(workspace, context, version)
        with (
            checks.running(
                workspace.settings.local / project.reference("arrival/service").path, workspace.settings
            ) as service,
            Client(service.url, service.key) as client,
        ):
            answer = client.predict(to_rows(service.request, raw))
            assert client.info()["classes"] == list(CLASSES)
    assert answer["classes"] == list(CLASSES)
    got = np.array(answer["probabilities"], np.float32)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    assert answer["predictions"] == [CLASSES[place] for place in got.argmax(axis=1)]
    assert len(set(answer["predictions"])) > 1


@pytest.mark.slow
def test_the_next_candidate_is_compared_with_the_champion(project: Project) -> None:
    name = "second_arrival"
    assert project.materialize(*(f"{name}/{step}" for step in BEFORE), checks=None).success
    with project.active() as workspace:
        workspace.registry.set_alias(name, "champion", 1)
    later = declared(
        features={"function": "ml_platform_tests.pipeline.arrivals:arrivals"},
        models={name: {**ARRIVAL, "parameters": {**PARAMETERS, "rounds": 30, "seed": 8}}},
    )
    variant = project.variant(later)
    outcome = variant.materialize(*(f"{name}/{step}" for step in BEFORE), checks=None)
    assert outcome.success, outcome.error or {name: event.description for name, event in outcome.checks.items()}
    with variant.active() as workspace:
        version = workspace.registry.latest(name)
        assert version is not None
        evaluation = evaluations.load(workspace.tracking, version.model_ref)
    assert evaluation.champion is not None and evaluation.stability is not None
    assert set(evaluation.champion.comparisons) == {"accuracy", "log_loss", "auc_macro", "f1_macro"}
    assert 0 < evaluation.champion.churn["flipped"] < 0.3
    again = Evaluation.model_validate_json(evaluation.model_dump_json())
    assert again == evaluation
    json.loads(evaluation.model_dump_json(), parse_constant=lambda value: pytest.fail(f"{value} in the JSON"))


def test_what_a_multiclass_declaration_needs() -> None:
    (model,) = declared().models.values()
    given = model.model_dump(by_alias=True) | ARRIVAL
    assert ModelSpec.model_validate(given).classes == CLASSES
    for change, message in (
        ({"classes": ["a", "b"]}, "three or more different values"),
        ({"classes": ["a", "b", "b"]}, "three or more different values"),
        ({"decision_threshold": 0.5}, "decides for the most probable class"),
        ({"task": "regression"}, "a regression model has none"),
    ):
        with pytest.raises(ValueError, match=message):
            ModelSpec.model_validate({**given, **change})
