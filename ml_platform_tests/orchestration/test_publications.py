"""What is published, as Dagster sees it: a corrected month makes everything stale that depends on it."""

import pytest

from ml_platform.orchestration.publications import content_version, published_key
from ml_platform_tests.orchestration.staleness import stale
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MODEL,
    declared,
    gates,
    new_project,
)

STEPS = ("split", "model", "evaluation", "registered_model")
LENIENT = gates(performance={"min": 0.5}, baseline={"min": -0.9})
NEW_VERSION = {"has a new data version"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three months and a registered model."""
    arrived, catalogue = (JANUARY, FEBRUARY, MARCH), declared(models={MODEL: {"gates": LENIENT}})
    project = new_project(tmp_path_factory.mktemp("standing") / "project", catalogue, arrived=arrived)
    assert project.ingest(JANUARY, MARCH).success
    outcome = project.materialize(*(f"{MODEL}/{step}" for step in STEPS), checks=None)
    assert outcome.success, outcome.error
    return project


def test_a_corrected_month_makes_everything_stale_that_stands_on_it(project: Project) -> None:
    months = (JANUARY, FEBRUARY, MARCH)
    assert not stale(project, *months)
    project.batches.deliver(FEBRUARY, change=lambda frame: frame.head(frame.height - 40))
    assert project.materialize(f"{DATASET}/batch", f"{DATASET}/dataset", partition=FEBRUARY, checks=None).success
    found = stale(project, *months)
    # January was known before; March has February in its history.
    features = {f"{FEATURES}/{month}": NEW_VERSION for month in (FEBRUARY, MARCH)}
    models = {f"{MODEL}/{step}": NEW_VERSION for step in STEPS}
    assert found == features | models

    for month in (FEBRUARY, MARCH):
        assert project.ingest(month).success
    assert set(stale(project, *months)) == {f"{MODEL}/{step}" for step in STEPS}
    # Each is as old as what it was made from: a new model of the old split would not count as new.
    assert project.materialize(f"{MODEL}/model", checks=None).success
    assert f"{MODEL}/model" in stale(project, *months)
    for number, step in enumerate(STEPS, start=1):
        assert project.materialize(f"{MODEL}/{step}", checks=None).success
        assert list(stale(project, *months)) == sorted(f"{MODEL}/{later}" for later in STEPS[number:])


def test_content_that_comes_again_makes_nothing_stale(project: Project) -> None:
    before = stale(project, JANUARY, FEBRUARY, MARCH)
    assert project.materialize(f"{DATASET}/batch", f"{DATASET}/dataset", partition=JANUARY, checks=None).success
    assert stale(project, JANUARY, FEBRUARY, MARCH) == before


def test_what_is_published_can_be_observed_by_hand(project: Project) -> None:
    seen = project.instance.fetch_observations(published_key(DATASET), limit=100).records
    # What the button *Observe* does in the UI.
    assert project.materialize(f"{DATASET}/published").success
    newest, *before = project.instance.fetch_observations(published_key(DATASET), limit=100).records
    assert len(before) == len(seen) and newest.asset_observation is not None
    content = {f"{DATASET}/{month}": sha256 for month, sha256 in project.published().items()}
    assert (newest.asset_observation.tags or {})["dagster/data_version"] == content_version(content)
