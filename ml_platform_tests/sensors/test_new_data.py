"""The sensor new_data: a month at the source is ingested once, then each model is trained once, and it says why."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from ml_platform.foundation.processes import process_identity
from ml_platform.foundation.variables import SettingsMistake
from ml_platform.orchestration.runs import PROCESS
from ml_platform.orchestration.sensors import ATTEMPTS, REASON
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import (
    OTHER,
    TWO_MODELS,
    attempt_tags,
    copied,
    execute,
    pretend,
    span,
    tick,
)
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MAY,
    MODEL,
    declared,
    gates,
)

TRAININGS = sorted([f"{MODEL}_train", f"{OTHER}_train"])
INGESTION = f"{DATASET}_ingest"
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


def broken(project: Project, month: str, content: bytes = b"no parquet") -> None:
    (project.batches.folder / f"{month}.parquet").write_bytes(content)


def twice(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame.head(50)])


def test_everything_at_a_new_source_is_one_range(empty: Callable[..., Project]) -> None:
    project = empty(JANUARY, FEBRUARY)
    found = tick(project)
    assert found.jobs == [INGESTION]
    assert span(found.only) == (JANUARY, FEBRUARY)
    assert found.why == f"{DATASET}: {JANUARY} to {FEBRUARY} new"


def test_a_month_is_taken_once_it_has_ended_by_the_clock(empty: Callable[..., Project]) -> None:
    # A last day is declared, so that later months are known already.
    ending = {"partitions": {"every": "month", "start": JANUARY, "end": "2024-12-01"}}
    project = empty(JANUARY, FEBRUARY, MARCH, APRIL)
    march = project.variant(declared(dataset=ending), ML_PLATFORM_NOW="2024-03-20T00:00:00")
    assert span(tick(march).only) == (JANUARY, FEBRUARY)
    outcome = march.ingest(MARCH)
    assert not outcome.success and f"partition {MARCH} has not ended, wait until {APRIL}" in outcome.error
    april = project.variant(declared(dataset=ending), ML_PLATFORM_NOW="2024-04-01T00:00:00")
    assert span(tick(april).only) == (JANUARY, MARCH)


def test_an_empty_source_is_explained(empty: Callable[..., Project]) -> None:
    found = tick(empty())
    assert found.requests == []
    assert f"{DATASET}: nothing new among the 0 partitions at the source" in found.skipped
    assert f"{MODEL}: cannot be trained: {MODEL}: no features of {FEATURES} yet" in found.skipped


def test_a_new_month_is_one_request_and_waits_for_nothing_else(ingested: Project) -> None:
    ingested.batches.deliver(MAY)
    found = tick(ingested)
    assert span(found.only) == (MAY, MAY)
    assert found.only.partition_key == MAY
    assert found.why == f"{DATASET}: {MAY} new"
    # The same tick again asks for the very same run, which the daemon launches once.
    assert tick(ingested).only.run_key == found.only.run_key


@pytest.mark.parametrize("job", [INGESTION, "whole_loop"])
def test_nothing_while_ingestion_is_under_way(ingested: Project, job: str) -> None:
    ingested.batches.deliver(MAY)
    run = pretend(ingested, job, STARTED)
    found = tick(ingested)
    assert found.requests == []
    assert found.skipped == f"{DATASET}: ingestion {run.run_id[:8]} is under way"


def test_nothing_while_somebody_materializes_the_dataset_by_hand(ingested: Project) -> None:
    ingested.batches.deliver(MAY)
    run = dg.DagsterRun(
        job_name="__ASSET_JOB", status=STARTED, asset_selection=frozenset([dg.AssetKey([DATASET, "dataset"])])
    )
    ingested.instance.add_run(run)
    assert tick(ingested).skipped == f"{DATASET}: ingestion {run.run_id[:8]} is under way"


def test_each_model_is_trained_once_after_ingestion(ingested: Project) -> None:
    found = tick(ingested)
    assert found.jobs == TRAININGS
    assert (
        found.requests[0]
        .tags["ml_platform/why"]
        .endswith(f"first training: trained on {JANUARY} to {MARCH}, held out {APRIL}")
    )
    # One is launched and runs: only the other one is still asked for.
    run = pretend(ingested, f"{MODEL}_train", STARTED)
    again = tick(ingested)
    assert again.jobs == [f"{OTHER}_train"]
    pretend(ingested, f"{OTHER}_train", dg.DagsterRunStatus.STARTING)
    last = tick(ingested)
    assert last.requests == []
    assert f"{MODEL}: training {run.run_id[:8]} is under way" in last.skipped


def test_a_model_that_trains_on_request_only(ingested: Project) -> None:
    models = {**TWO_MODELS, MODEL: {"retrain": {"new_data": False}}}
    found = tick(ingested.variant(declared(models=models)))
    assert found.jobs == [f"{OTHER}_train"]


def test_paused_by_name(base: Path, ingested: Project) -> None:
    one = tick(ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=f" {MODEL}, "))
    assert one.jobs == [f"{OTHER}_train"]
    ingested.batches.deliver(MAY)
    everything = tick(ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=DATASET))
    assert everything.requests == []
    assert everything.skipped == f"{DATASET}: paused by ML_PLATFORM_PAUSED"


def test_a_paused_name_that_is_not_declared_is_no_pause(base: Path, ingested: Project) -> None:
    """The model that was meant would go on being trained."""
    with pytest.raises(SettingsMistake) as error:
        tick(ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=f"{MODEL}s"))
    assert f"there is no dataset or model '{MODEL}s'" in str(error.value)
    assert f"did you mean '{MODEL}'?" in str(error.value)


def test_failed_attempts_are_counted_and_given_up_until_the_content_changes(ingested: Project) -> None:
    broken(ingested, MAY)
    keys = set()
    for attempt in range(1, ATTEMPTS + 1):
        request = tick(ingested).only
        assert request.run_key is not None
        keys.add(request.run_key)
        assert request.run_key.endswith(f":{attempt}")
        assert not execute(ingested, request).success
    assert len(keys) == ATTEMPTS
    # The months that are published are trained on all the same.
    assert tick(ingested).jobs == TRAININGS
    quiet = ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=f"{MODEL},{OTHER}")
    assert f"{DATASET}/{MAY}: given up after {ATTEMPTS} attempts (new); see its runs" in tick(quiet).skipped
    ingested.batches.deliver(MAY)
    assert tick(ingested).why == f"{DATASET}: {MAY} new"


def test_after_a_failed_range_each_partition_is_tried_alone(empty: Callable[..., Project]) -> None:
    project = empty(JANUARY, FEBRUARY)
    broken(project, MARCH)
    first = tick(project).only
    assert span(first) == (JANUARY, MARCH)
    assert not execute(project, first).success
    alone = tick(project)
    assert span(alone.only) == (JANUARY, JANUARY)
    assert alone.why == f"{DATASET}: {JANUARY} new (attempt 2 of {ATTEMPTS})"
    assert execute(project, alone.only).success
    assert span(tick(project).only) == (FEBRUARY, FEBRUARY)


def test_a_refused_partition_is_left_alone_until_it_is_corrected(ingested: Project) -> None:
    ingested.batches.deliver(MAY, change=twice)
    assert not execute(ingested, tick(ingested).only).success
    # What is published is trained on all the same.
    assert tick(ingested).jobs == TRAININGS
    strict = ingested.variant(declared(models={MODEL: {"split": {"holdout": 1, "refused": "refuse"}}}))
    found = tick(strict)
    assert found.requests == []
    assert f"{MODEL}: cannot be trained: split: partition {MAY} refused by the gates" in found.skipped
    ingested.batches.deliver(MAY)
    corrected = tick(ingested)
    assert corrected.why == f"{DATASET}: {MAY} changed"
    assert execute(ingested, corrected.only).success
    assert tick(ingested).jobs == TRAININGS


def test_a_changed_threshold_has_everything_judged_again(ingested: Project) -> None:
    dataset = dict(next(iter(ingested.catalogue.datasets.values())).model_dump(mode="json", by_alias=True))
    stricter = [{**gate, "max": 0.3} if gate["gate"] == "missing" else gate for gate in dataset["gates"]]
    changed = declared(models=TWO_MODELS, dataset={"gates": stricter})
    found = tick(ingested.variant(changed))
    assert span(found.only) == (JANUARY, APRIL)
    assert "not judged by the gates as declared" in found.why


def test_a_corrected_old_month_has_the_features_after_it_rebuilt(ingested: Project) -> None:
    ingested.batches.deliver(FEBRUARY, change=lambda frame: frame.head(frame.height - 5))
    corrected = tick(ingested)
    assert (span(corrected.only), corrected.why) == ((FEBRUARY, FEBRUARY), f"{DATASET}: {FEBRUARY} changed")
    assert execute(ingested, corrected.only).success
    later = tick(ingested)
    assert (span(later.only), later.why) == ((MARCH, APRIL), f"{DATASET}: {MARCH} to {APRIL} with stale features")
    assert execute(ingested, later.only).success
    assert tick(ingested).jobs == TRAININGS


def test_trainings_that_never_end_are_given_up(ingested: Project) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        request = next(item for item in tick(ingested).requests if item.job_name == f"{MODEL}_train")
        assert request.run_key == f"{request.tags[REASON]}:{attempt}"
        pretend(ingested, f"{MODEL}_train", FAILURE, attempt_tags(request))
    found = tick(ingested)
    assert found.jobs == [f"{OTHER}_train"]
    pretend(ingested, f"{OTHER}_train", STARTED)
    assert f"{MODEL}: given up after {ATTEMPTS} trainings" in tick(ingested).skipped


def test_a_refused_candidate_is_not_trained_again(base: Path, tmp_path: Path) -> None:
    models = {MODEL: {"gates": gates(performance={"min": 0.99})}}
    project = copied(base, tmp_path / "strict", declared(models=models))
    outcome = execute(project, tick(project).only)
    assert not outcome.success
    found = tick(project)
    assert found.requests == []
    assert (
        f"{MODEL}: nothing to train: the candidate trained up to {MARCH} is refused by performance_auc" in found.skipped
    )


def test_limits_of_trainings_go_by_the_clock(ingested: Project) -> None:
    catalogue = declared(models={MODEL: {"retrain": {"cooldown": 30, "per_day": 1}}})
    may = ingested.variant(catalogue, ML_PLATFORM_NOW="2024-05-10T00:00:00")
    assert tick(may).jobs == tick(may).jobs == [f"{MODEL}_train"]
    assert len(may.entries(kind="retrain")) == 1
    ingested.batches.deliver(MAY)
    early = ingested.variant(catalogue, ML_PLATFORM_NOW="2024-06-02T00:00:00")
    assert early.ingest(MAY).success
    assert "first training) and waits: cooldown until 2024-06-09 00:00" in tick(early).skipped
    assert tick(ingested.variant(catalogue, ML_PLATFORM_NOW="2024-06-10T00:00:00")).jobs == [f"{MODEL}_train"]


def test_a_killed_run_holds_nothing_up(ingested: Project) -> None:
    dead = process_identity().rsplit(":", 1)[0] + ":of-an-earlier-boot"
    run = pretend(ingested, "whole_loop", STARTED, {PROCESS: dead})
    assert tick(ingested).jobs == TRAININGS
    after = ingested.instance.get_run_by_id(run.run_id)
    assert after is not None
    assert after.status == FAILURE


def test_a_source_that_cannot_be_asked_is_named(ingested: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from grocery.defs.purchases.source import Tills

    def down(_: object) -> dict[str, str]:
        raise ConnectionError("the warehouse\nis down")

    monkeypatch.setattr(Tills, "partitions", down)
    found = tick(ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=f"{MODEL},{OTHER}"))
    assert found.requests == []
    assert f"{DATASET}: the source cannot be asked: ConnectionError: the warehouse is down" in found.skipped


def test_partitions_that_are_not_declared_are_named_and_left(ingested: Project) -> None:
    broken(ingested, "2024-05-15")
    found = tick(ingested.variant(ingested.catalogue, ML_PLATFORM_PAUSED=f"{MODEL},{OTHER}"))
    assert found.requests == []
    assert f"{DATASET}: the source offers 2024-05-15, which is no partition that has ended" in found.skipped
