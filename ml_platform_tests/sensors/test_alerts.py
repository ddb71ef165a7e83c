"""What needs a person is told once, with the next command, until it is over: here, or by channels of the settings."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.orchestration.alerts import failing
from ml_platform.pipeline.rollback import roll_back
from ml_platform_tests.histories import in_memory
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import pretend, tick
from ml_platform_tests.shop_project import APRIL, DATASET, MARCH, MAY, MODEL, copy_of, declared, registered


@pytest.fixture
def live(base: Path, tmp_path: Path) -> Project:
    """Version 1 of a model, trained on January to March, is the champion."""
    project = replace(
        copy_of(registered(base), tmp_path / "project", declared(), ML_PLATFORM_NOW="2024-05-10T00:00:00"),
        instance=in_memory(tmp_path / "dagster"),
    )
    with project.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", 1)
    return project


def take_back(project: Project, **wish: Any) -> None:
    with project.active() as workspace:
        roll_back(workspace, project.context().dataset, MARCH, Run.new(), reason="wrong unit", by="ada", **wish)


def entry(project: Project, kind: str, name: str, subject: str = "x", **body: Any) -> None:
    """What somebody else's step would have written."""
    with project.active() as workspace:
        run = Run.new()
        workspace.ledger.decide(
            kind, subject=sha256_bytes(subject), subject_name=name, body=body, run_id=run.id, provenance=run.provenance
        )


def test_nothing_needs_a_person(live: Project) -> None:
    assert tick(live, "alerts").skipped == "nothing needs a person"


def test_a_live_model_that_learned_from_withdrawn_data_is_told_once_until_that_is_over(live: Project) -> None:
    march = live.published()[MARCH]
    take_back(live, withdraw=True)
    said = f"{MODEL}: version 1 answers and learned from {MARCH}, which was withdrawn by ada: wrong unit; ml-platform "
    first = tick(live, "alerts").skipped
    assert f"told here: {said}train {MODEL} makes one without" in first
    second = tick(live, "alerts").skipped
    assert second.startswith(said) and "told" not in second
    take_back(live, to=march)
    assert f"over: {said}" in tick(live, "alerts").skipped
    assert tick(live, "alerts").skipped == "nothing needs a person"
    take_back(live, withdraw=True)
    assert "told here: " in tick(live, "alerts").skipped


def test_a_channel_that_is_away_is_tried_again(live: Project) -> None:
    take_back(live, withdraw=True)
    away = live.variant(live.catalogue, ML_PLATFORM_ALERT_WEBHOOK="http://127.0.0.1:9/x")
    for _ in range(2):
        assert "ALERT_WEBHOOK: the message was not taken (" in tick(away, "alerts").skipped
    assert live.entries(kind="alert") == []
    assert "told here: " in tick(live, "alerts").skipped


def test_data_that_stays_away(live: Project) -> None:
    later = live.variant(live.catalogue, ML_PLATFORM_NOW="2024-07-02T00:00:00")
    assert f"{DATASET}: nothing is published after {APRIL}, 62 days ago" in tick(later, "alerts").skipped
    early = live.variant(live.catalogue, ML_PLATFORM_NOW="2024-06-30T00:00:00")
    assert tick(early, "alerts").skipped.startswith("over: ")


def test_a_batch_that_its_gates_refuse_is_told_until_another_one_comes(live: Project) -> None:
    live.batches.deliver(MAY, change=lambda frame: pl.concat([frame, frame.head(50)]))
    june = live.variant(live.catalogue, ML_PLATFORM_NOW="2024-06-02T00:00:00")
    assert not june.ingest(MAY).success
    said = f"{DATASET}: {MAY} is refused by duplicates and published nowhere; see ml-platform why {DATASET}/{MAY}"
    assert f"told here: {said}" in tick(june, "alerts").skipped
    assert tick(june, "alerts").skipped == said
    live.batches.deliver(MAY)
    assert june.ingest(MAY).success
    assert f"over: {said}" in tick(june, "alerts").skipped
    # A refused correction leaves what is published.
    live.batches.deliver(MAY, change=lambda frame: pl.concat([frame, frame.head(70)]))
    assert not june.ingest(MAY).success
    assert f"{MAY} is refused by duplicates, what was published of it stays" in tick(june, "alerts").skipped


def test_nothing_is_said_of_a_dataset_while_batches_are_taken(live: Project) -> None:
    later = live.variant(live.catalogue, ML_PLATFORM_NOW="2024-07-02T00:00:00")
    run = pretend(later, f"{DATASET}_ingest", dg.DagsterRunStatus.STARTED)
    # April is the newest so far: the run is about to publish May.
    assert tick(later, "alerts").skipped == "nothing needs a person"
    later.instance.report_run_failed(run)
    assert "told here: " in tick(later, "alerts").skipped
    pretend(later, f"{DATASET}_ingest", dg.DagsterRunStatus.STARTED)
    assert tick(later, "alerts").skipped == "nothing needs a person", "it is not over either"


def test_refused_candidates_and_a_rollback(live: Project) -> None:
    for number in range(2):
        entry(live, "rejection", f"{MODEL}/model", str(number), by="gates", because="auc failed", reason="auc failed")
    assert tick(live, "alerts").skipped == "nothing needs a person"
    entry(live, "rejection", f"{MODEL}/model", "3", by="gates", because="auc failed", reason="auc failed")
    entry(live, "rollback", f"{MODEL}/champion", version=2, by="supervisor", because="errors")
    found = tick(live, "alerts").skipped
    assert f"{MODEL}: the last 3 candidates were refused by their gates; see ml-platform status" in found
    assert f"{MODEL}: version 2 was rolled back by supervisor: errors; see ml-platform rollout history {MODEL}" in found


def test_a_sensor_that_fails() -> None:
    error = SimpleNamespace(message="ValueError: no\nsuch thing", cause=None)
    ticks = {"new_data": "FAILURE", "drift": "SKIPPED"}
    instance = SimpleNamespace(
        all_instigator_state=lambda: [
            SimpleNamespace(instigator_origin_id=name, selector_id=name, instigator_name=name) for name in ticks
        ],
        get_ticks=lambda name, _, limit: [SimpleNamespace(status=SimpleNamespace(value=ticks[name]), error=error)],
    )
    (alert,) = failing(instance)  # type: ignore[arg-type]
    assert alert.said == "sensor new_data fails: ValueError: no such thing; see its page below Automation"
