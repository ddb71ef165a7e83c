"""March is refused: in a run of its own, in a range, over automation. April does not notice; training does."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.ledger.chain import Entry
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MODEL,
    MONTHS,
    copy_of,
    declared,
    new_project,
)
from ml_platform_tests.shop_project import DATASET as NAME

BATCH, DATASET = f"{NAME}/batch", f"{NAME}/dataset"
BATCH_GATES = {"schema", "rules", "missing", "duplicates", "window", "freshness", "volume", "referential"}
FEATURE_GATES = {"ranges", "leakage", "parity"}
GOOD = (JANUARY, FEBRUARY, APRIL)


def without_codes(month: pl.DataFrame) -> pl.DataFrame:
    """The channels were lost in an export."""
    return month.with_columns(channel=pl.lit("??"))


def single(project: Project) -> None:
    """One run for each month."""
    for month in MONTHS[:4]:
        outcome = project.ingest(month)
        assert outcome.success == (month != MARCH), outcome.error


def ranged(project: Project) -> None:
    """One run for the four months."""
    outcome = project.ingest(JANUARY, APRIL)
    assert outcome.success, outcome.error
    # Told apart by their partition, although they come from one step.
    assert {key for key, event in outcome.checks.items() if not event.passed} == {(BATCH, MARCH, "schema")}
    (run,) = project.instance.get_runs(limit=1)
    assert run.tags[f"ml_platform/refused.{NAME}.batch"] == f"{MARCH} schema failed"


def automated(project: Project) -> None:
    """Batches are ingested; dataset and features follow by ticks of the automation sensor alone."""
    _, cursor = project.tick(None)
    for month in MONTHS[:4]:
        project.materialize(BATCH, partition=month, checks=None)
    asked = []
    for _ in range(4):
        requests, cursor = project.tick(cursor)
        for request in requests:
            asked.append((request.partition_key, {key.to_user_string() for key in request.asset_selection or ()}))
            outcome = project.launch(request)
            assert outcome.success, outcome.error
    # Nothing was asked for twice, and nothing for March.
    assert sorted((month or "", asset) for month, assets in asked for asset in assets) == sorted(
        (month, asset) for month in GOOD for asset in (DATASET, FEATURES)
    )


WAYS = {"single": single, "range": ranged, "automation": automated}


@pytest.fixture(scope="module", params=WAYS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """January to April, of which March was refused."""
    project = new_project(tmp_path_factory.mktemp("march") / "project", arrived=GOOD)
    project.batches.deliver(MARCH, change=without_codes)
    WAYS[request.param](project)
    return project


def test_march_was_judged_and_nothing_was_made_of_it(project: Project) -> None:
    assert len(project.materializations(BATCH, MARCH)) == 1
    assert not project.materializations(DATASET, MARCH)
    assert not project.materializations(FEATURES, MARCH)
    assert sorted(project.published()) == list(GOOD)
    statuses = {gate: verdict.status for gate, verdict in project.verdicts(f"{BATCH}/{MARCH}").items()}
    assert statuses == {**dict.fromkeys(BATCH_GATES, "passed"), "schema": "failed"}


@pytest.mark.parametrize("month", GOOD)
def test_the_other_months_have_all_they_need(project: Project, month: str) -> None:
    for asset in (BATCH, DATASET, FEATURES):
        (event,) = project.materializations(asset, month)
        assert (event.tags or {})["dagster/data_version"] == project.reference(asset, month).sha256
    assert {gate for gate, verdict in project.verdicts(f"{BATCH}/{month}").items() if verdict.passed} == BATCH_GATES
    assert {
        gate for gate, verdict in project.verdicts(f"{FEATURES}/{month}").items() if verdict.passed
    } == FEATURE_GATES
    assert project.reference(FEATURES, month).refused == ((MARCH,) if month == APRIL else ())


@pytest.mark.parametrize(("asset", "gates"), [(BATCH, BATCH_GATES), (FEATURES, FEATURE_GATES)])
def test_every_month_has_its_own_evaluations_and_versions(project: Project, asset: str, gates: set[str]) -> None:
    months = MONTHS[:4] if asset == BATCH else GOOD
    records = {month: project.record(asset, month) for month in months}
    evaluations = {month: project.evaluations(asset, month) for month in months}
    for month in months:
        assert evaluations[month].keys() == gates
        for name, evaluation in evaluations[month].items():
            assert evaluation.passed == ((month, name) != (MARCH, "schema"))
            target = evaluation.target_materialization_data
            assert target is not None
            assert (target.storage_id, target.run_id) == (records[month].storage_id, records[month].run_id)
    versions = {
        (record.asset_materialization.tags or {})["dagster/data_version"]
        for record in records.values()
        if record.asset_materialization
    }
    assert len(versions) == len(months)


def test_training_refuses_and_names_march_where_that_is_declared(project: Project) -> None:
    strict = project.variant(declared(models={MODEL: {"split": {"holdout": 1, "refused": "refuse"}}}))
    outcome = strict.train()
    assert not outcome.success and not outcome.materialized
    assert "Refused" in outcome.error
    assert MARCH in outcome.error and "schema failed" in outcome.error
    assert APRIL not in outcome.error


def test_training_lists_march(project: Project) -> None:
    outcome = project.materialize(f"{MODEL}/split", f"{MODEL}/model", checks=None)
    assert outcome.success, outcome.error
    manifest = project.reference(f"{MODEL}/split")
    assert manifest.refused == (MARCH,)
    assert [entry.partition for entry in manifest.train] == [JANUARY, FEBRUARY]
    assert [entry.partition for entry in manifest.holdout] == [APRIL]
    (event,) = project.materializations(f"{MODEL}/split")
    assert event.metadata["refused"].value == MARCH


def test_a_corrected_march_makes_what_stands_on_it_stale(project: Project) -> None:
    april = project.verdicts(f"{BATCH}/{APRIL}")
    project.batches.deliver(MARCH)
    corrected = project.ingest(MARCH)
    assert corrected.success, corrected.error
    assert corrected.assets(MARCH) == {BATCH, DATASET, FEATURES}
    assert project.verdicts(f"{BATCH}/{APRIL}") == april

    stale = project.materialize(f"{MODEL}/split")
    assert not stale.materialized
    assert "Stale" in stale.error
    assert f"{FEATURES}/{APRIL}" in stale.error and f"{NAME}/{MARCH}" in stale.error

    rebuilt = project.materialize(FEATURES, partition=APRIL, checks=None)
    assert rebuilt.success, rebuilt.error
    assert project.reference(FEATURES, APRIL).refused == ()
    assert project.reference(FEATURES, APRIL).inputs.keys() == {f"{NAME}/{month}" for month in MONTHS[:4]}
    split = project.materialize(f"{MODEL}/split", checks=None)
    assert split.success, split.error
    manifest = project.reference(f"{MODEL}/split")
    assert [entry.partition for entry in manifest.train] == [JANUARY, FEBRUARY, MARCH]
    assert manifest.refused == ()


def about(project: Project, month: str) -> list[Entry]:
    """Entries of the ledger about a month, whatever was made of it."""
    return [entry for entry in project.entries() if entry.subject_name.endswith(f"/{month}")]


def test_a_march_that_breaks_afterwards_leaves_april_alone(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    before = {month: about(project, month) for month in (*GOOD, MARCH)}
    published, features = project.published(), project.reference(FEATURES, APRIL)
    project.batches.deliver(MARCH, change=without_codes)
    outcome = project.ingest(MARCH)
    assert not outcome.success and outcome.failed(BATCH, MARCH) == {"schema"}

    assert {month: about(project, month) for month in GOOD} == {m: before[m] for m in GOOD}
    assert len(about(project, MARCH)) == len(before[MARCH]) + len(BATCH_GATES)
    # What was published of March stays until something better comes.
    assert project.published() == published
    assert project.reference(FEATURES, APRIL) == features
    assert project.materialize(f"{MODEL}/split", checks=None).success
