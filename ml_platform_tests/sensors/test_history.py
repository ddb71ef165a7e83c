"""The sensor ``history`` asks for a refresh once for each change of what history is made from."""

import dagster as dg

from ml_platform.orchestration.histories import REASON
from ml_platform.orchestration.sensors import ATTEMPTS
from ml_platform.rollout import changes
from ml_platform.rollout.record import Backend
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import OTHER, pretend, tick
from ml_platform_tests.shop_project import MAY, MODEL

JOB = f"{MODEL}_refresh"


def answers(project: Project, sha256: str) -> None:
    """Let the record say that a package answers; none is started."""
    backend = Backend(version=1, tag="t:1", sha256=sha256, path="nowhere")
    with project.active() as workspace:
        workspace.rollouts.update(MODEL, lambda record: changes.started(record, backend, by="test", why="test"))
        workspace.rollouts.update(MODEL, lambda record: changes.promoted(record, why="test"))


def at(project: Project, now: str) -> Project:
    return project.variant(project.catalogue, ML_PLATFORM_NOW=now)


def test_what_answers_is_refreshed_once_for_each_day_and_package(ingested: Project) -> None:
    nobody = tick(at(ingested, "2024-05-03T08:00:00"), "history")
    assert not nobody.requests and f"{MODEL}: no version answers" in nobody.skipped
    answers(ingested, "a" * 64)
    project = at(ingested, "2024-05-03T08:00:00")
    first = tick(project, "history")
    assert first.jobs == [JOB] and "what history is made from changed" in first.why
    pretend(project, JOB, dg.DagsterRunStatus.SUCCESS, first.only.tags)
    done = tick(project, "history")
    assert not done.requests and f"{MODEL}: its history is as new as can be" in done.skipped
    # Without days of May at the source, a later day brings nothing.
    assert not tick(at(ingested, "2024-05-04T08:00:00"), "history").requests
    project.batches.deliver(MAY)
    second = tick(project, "history")
    third = tick(at(ingested, "2024-05-04T08:00:00"), "history")
    assert len({found.only.tags[REASON] for found in (first, second, third)}) == 3
    # Nothing else reads them: no ingestion of May is asked for before it has ended.
    assert all(request.partition_key != MAY for request in tick(project).requests)
    answers(ingested, "b" * 64)
    assert tick(project, "history").only.tags[REASON] != second.only.tags[REASON]


def test_a_refresh_that_fails_is_tried_some_times(ingested: Project) -> None:
    answers(ingested, "a" * 64)
    for _ in range(ATTEMPTS):
        request = tick(ingested, "history").only
        pretend(ingested, JOB, dg.DagsterRunStatus.FAILURE, request.tags)
    given_up = tick(ingested, "history")
    assert not given_up.requests and f"given up after {ATTEMPTS} attempts" in given_up.skipped


def test_a_refresh_waits_for_what_changes_its_history(ingested: Project) -> None:
    answers(ingested, "a" * 64)
    pretend(ingested, f"{MODEL}_train", dg.DagsterRunStatus.STARTED)
    found = tick(ingested, "history")
    assert not found.requests and f"{MODEL}: training" in found.skipped and f"{OTHER}: no version" in found.skipped
