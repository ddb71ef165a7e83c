"""The store's server is told no for whatever the ledger does not allow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform.pipeline.merge_hook import require_verdicts
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, DATASET, MARCH, copy_of


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    return copy_of(four_months, tmp_path / "project")


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    with project.active() as workspace:
        yield workspace


def test_a_batch_needs_its_verdicts(project: Project, workspace: Workspace) -> None:
    datasets = project.catalogue.datasets
    spec = datasets[DATASET]
    project.batches.deliver(MARCH, change=lambda frame: frame.head(frame.height - 40))
    staged = data.ingest(workspace, spec, MARCH, Run.new())
    with pytest.raises(Refused, match=rf"{MARCH}.*schema missing"):
        require_verdicts(workspace, datasets, staged.commit)
    data.audit(workspace, spec, staged, Run.new())
    require_verdicts(workspace, datasets, staged.commit)
    require_verdicts(workspace, datasets, MAIN)


def test_a_failed_gate_and_a_rollback_refuse(project: Project, workspace: Workspace) -> None:
    datasets = project.catalogue.datasets
    spec = datasets[DATASET]
    project.batches.deliver(MARCH, change=lambda frame: frame.head(5))
    staged = data.ingest(workspace, spec, MARCH, Run.new())
    data.audit(workspace, spec, staged, Run.new())
    with pytest.raises(Refused, match="volume"):
        require_verdicts(workspace, datasets, staged.commit)
    held = batches.published(workspace.store, DATASET)[APRIL]
    published = workspace.store.resolve(MAIN)
    roll_back(workspace, spec, APRIL, Run.new(), reason="wrong unit", by="ada", withdraw=True)
    workspace.store.create_branch("again")
    files = {held.path: workspace.store.local_path(published, held.path)}
    commit = workspace.store.commit("again", files, "by hand", objects={held.path: held.metadata})
    with pytest.raises(Refused, match="withdrawn by ada"):
        require_verdicts(workspace, datasets, commit)


def test_nothing_else_changes_by_a_merge(project: Project, workspace: Workspace, tmp_path: Path) -> None:
    datasets = project.catalogue.datasets
    store = workspace.store
    (tmp_path / "file").write_text("x")
    for number, path in enumerate(["readme", f"datasets/unknown/{MARCH}.parquet", f"datasets/{DATASET}/notes.txt"]):
        store.create_branch(f"b{number}")
        commit = store.commit(f"b{number}", {path: tmp_path / "file"}, "m")
        with pytest.raises(Refused, match=r"is no batch of a declared dataset"):
            require_verdicts(workspace, datasets, commit)
    store.create_branch("removes")
    commit = store.commit("removes", {batches.batch_path(DATASET, MARCH): None}, "m")
    with pytest.raises(Refused, match="was not withdrawn"):
        require_verdicts(workspace, datasets, commit)
