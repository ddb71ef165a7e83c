"""A process that lacks the setting of the store works on another one: it stops before it makes everything again."""

from pathlib import Path

import pytest

from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform.pipeline.published import elsewhere, require_asked
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, DATASET, JANUARY, copy_of


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    return copy_of(four_months, tmp_path / "project", ML_PLATFORM_REPOSITORY="other")


def test_a_store_that_never_held_what_the_ledger_calls_published_stops_each_step(project: Project) -> None:
    with project.active() as workspace:
        spec, run = project.context().dataset, Run.new()
        assert not list(workspace.store.list(MAIN))
        for step in (
            lambda: data.ingest(workspace, spec, JANUARY, run),
            lambda: require_asked(workspace, DATASET),
        ):
            with pytest.raises(PlatformError) as told:
                step()
            assert f"{DATASET}: the ledger says that 4 partitions are published" in str(told.value)
            assert "LAKEFS_ENDPOINT" in str(told.value) and "ledger continue" in str(told.value)
        assert len(list(workspace.store.branches())) == 1, "nothing was staged"


def test_a_lost_store_is_accepted_by_a_person(project: Project) -> None:
    with project.active() as workspace:
        spec, run = project.context().dataset, Run.new()
        workspace.ledger.accept_gap(by="eve", reason="the disk died", run_id=run.id, provenance=run.provenance)
        assert elsewhere(workspace, DATASET) == ""
        assert data.ingest(workspace, spec, JANUARY, run).partition == JANUARY


def test_the_right_store_and_a_fresh_dataset_are_let_alone(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    with project.active() as workspace:
        assert elsewhere(workspace, DATASET) == ""
        assert elsewhere(workspace, "fresh") == ""
        assert data.ingest(workspace, project.context().dataset, APRIL, Run.new()).partition == APRIL
