"""Models from the split to the registry: their steps, parameters, and what must hold when one is refused."""

from collections.abc import Callable
from typing import Any

from ml_platform_tests.project import PARAMETERS, Outcome, Project

#: Steps before and behind the gates.
SPLIT, MODEL, EVALUATION, REGISTERED = "split", "model", "evaluation", "registered_model"
#: Numbers of gates in the declarations of the tests.
SPLIT_GATES, EVALUATION_GATES = 2, 4


def rounds(count: int, **others: Any) -> dict[str, Any]:
    """Parameters with another number of trees."""
    return {**PARAMETERS, "rounds": count, **others}


def as_it_is(step: Callable[..., Any]) -> Callable[..., Any]:
    """No change."""
    return step


def up_to_registration(project: Project, name: str) -> Outcome:
    """Everything before the service, with its checks."""
    return project.materialize(*(f"{name}/{step}" for step in (SPLIT, MODEL, EVALUATION, REGISTERED)), checks=None)


def refuses_registration(project: Project, name: str, gate: str) -> None:
    """Registration alone refuses by name; the registry is as before and the ledger says why."""
    with project.active() as workspace:
        before = [version.version for version in workspace.registry.versions(name)]
    alone = project.materialize(f"{name}/{REGISTERED}")
    assert not alone.success and not alone.materialized
    assert "Refused" in alone.error and f"{gate} failed" in alone.error
    with project.active() as workspace:
        assert [version.version for version in workspace.registry.versions(name)] == before
        (rejection,) = workspace.ledger.entries(subject_name=f"{name}/model", kind="rejection")
    assert f"{gate} failed" in rejection.body["because"]
