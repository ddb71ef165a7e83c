"""A month is withdrawn: no run fails of it, training goes on without it, and a person is told what still answers."""

from pathlib import Path

import pytest

from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import Found, copied, execute, tick
from ml_platform_tests.shop_project import APRIL, DATASET, FEATURES, FEBRUARY, JANUARY, MARCH, MODEL, declared

ROUNDS = 8


def withdraw(project: Project, month: str) -> None:
    job = project.definitions.resolve_job_def(f"{DATASET}_rollback")
    config = {"partition": month, "reason": "wrong unit", "by": "ada", "withdraw": True}
    with project.active():
        assert job.execute_in_process(
            instance=project.instance, run_config={"ops": {f"roll_back_{DATASET}": {"config": config}}}
        ).success


def settle(project: Project, cursor: object) -> Found:
    """Let both sensors go on until nothing but trainings is asked for; no run may fail."""
    for _ in range(ROUNDS):
        requests, cursor = project.tick(cursor)  # type: ignore[arg-type]
        for request in requests:
            outcome = project.launch(request)
            assert outcome.success, outcome.error
        found = tick(project)
        ingestions = [one for one in found.requests if not (one.job_name or "").endswith("_train")]
        for one in ingestions:
            outcome = execute(project, one)
            assert outcome.success, outcome.error
        if not requests and not ingestions:
            return found
    raise AssertionError(f"the sensors come to no end: {found}")


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Project:
    """January to April are ingested; one model, which was trained on them."""
    return copied(base, tmp_path / "project", declared(models={MODEL: {"gates": [{"gate": "disjoint"}]}}))


@pytest.mark.slow
def test_a_withdrawn_month_fails_no_run_and_stops_no_training(project: Project) -> None:
    _, cursor = project.tick(None)
    steps = [f"{MODEL}/{name}" for name in ("split", "model", "evaluation", "registered_model")]
    assert project.materialize(*steps, checks=None).success
    withdraw(project, MARCH)
    found = settle(project, cursor)
    assert sorted(project.published()) == [JANUARY, FEBRUARY, APRIL]
    assert found.why == f"{MODEL}: {MARCH} withdrawn: trained on {JANUARY} to {FEBRUARY}, held out {APRIL}"
    assert project.materialize(*steps, checks=None).success
    assert project.reference(f"{MODEL}/split").refused == (MARCH,)
    # What the source offers of March is what was withdrawn: it is left alone until it changes.
    assert tick(project).requests == [] or MARCH not in tick(project).why
    project.batches.deliver(MARCH, change=lambda frame: frame.head(frame.height - 3))
    again = tick(project)
    assert again.why == f"{DATASET}: {MARCH} changed"
    assert execute(project, again.only).success
    assert MARCH in project.published()
    assert project.reference(FEATURES, MARCH)
