"""What is said of rows that were set aside goes by the ledger and by the batch that names them, not by a commit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pygit2
import pytest

from ml_platform.datasets.batches import batch_path, batch_tag
from ml_platform.datasets.quarantine import COUNT, NEW_COLUMNS, REASONS, quarantine_path, quarantined
from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform.pipeline.published import mislabelled, publication_log, published_batches, require_asked, strange
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, FEBRUARY, JANUARY, declared, new_project

BROKEN = 4
PATH, BESIDE = batch_path(DATASET, FEBRUARY), quarantine_path(DATASET, FEBRUARY)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    catalogue = declared(dataset={"quarantine": {"max": 0.05}})
    made = new_project(tmp_path / "project", catalogue, arrived=(JANUARY, FEBRUARY), broken=BROKEN)
    assert made.ingest(JANUARY, FEBRUARY).success
    return made


def claiming(workspace: Workspace, folder: Path, change: dict[str, Path | None], **labels: str) -> str:
    """Merge a commit that says again what the last publication said, with other files and words beside the batch."""
    store = workspace.store
    same = folder / "same.parquet"
    same.write_bytes(store.local_path(store.resolve(MAIN), PATH).read_bytes())
    held = store.stat(MAIN, PATH)
    newest = next(one for one in store.log(MAIN) if one.metadata.get("partition") == FEBRUARY)
    store.create_branch("work", store.resolve(MAIN))
    store.commit("work", {PATH: same, **change}, "tidy", objects={PATH: {**held.metadata, **labels}})
    commit = store.merge("work", MAIN, f"Publish {DATASET}/{FEBRUARY}", dict(newest.metadata))
    store.delete_branch("work")
    assert store.stat(MAIN, PATH).sha256 == held.sha256
    return commit


def fewer(workspace: Workspace, folder: Path) -> Path:
    """Another table of rows that were set aside."""
    frame = quarantined(workspace.store, MAIN, DATASET, FEBRUARY)
    assert frame is not None and frame.height == BROKEN
    write_frame(frame.head(1).with_columns(pl.lit(["harmless"]).alias(REASONS)), file := folder / "fewer.parquet")
    return file


Forge = Callable[[Workspace, Path], str]
FORGED: dict[str, Forge] = {
    "others": lambda workspace, folder: claiming(workspace, folder, {BESIDE: fewer(workspace, folder)}),
    "none": lambda workspace, folder: claiming(workspace, folder, {BESIDE: None}),
}


@pytest.mark.parametrize("what", FORGED)
def test_other_rows_beside_a_batch_are_named_and_read_by_nobody(project: Project, tmp_path: Path, what: str) -> None:
    with project.active() as workspace:
        require_asked(workspace, DATASET)
        honest = workspace.store.stat(MAIN, BESIDE).sha256
        FORGED[what](workspace, tmp_path)
        (found,) = strange(workspace)
        assert (found.path, found.partition, found.published) == (BESIDE, FEBRUARY, honest)
        with pytest.raises(Corrupt, match="but the batch names"):
            quarantined(workspace.store, MAIN, DATASET, FEBRUARY)
        with pytest.raises(PlatformError, match=f"^[^\n]*{BESIDE}[^\n]*data rollback[^\n]*$"):
            data.featurize(workspace, project.context().feature_set, project.context().dataset, {}, Run.new())
        roll_back(workspace, project.context().dataset, FEBRUARY, Run.new(), reason="came in by hand")
        assert strange(workspace) == [] and workspace.store.stat(MAIN, BESIDE).sha256 == honest


def numbers(workspace: Workspace) -> list[tuple[int, int]]:
    return [(one.rows, one.quarantined) for one in publication_log(workspace, DATASET, FEBRUARY)]


def test_how_many_were_set_aside_is_for_the_ledger_to_say_also_after_the_batch_comes_again(
    project: Project, tmp_path: Path
) -> None:
    with project.active() as workspace:
        ((rows, aside),) = numbers(workspace)
        assert aside == BROKEN
        claiming(workspace, tmp_path, {}, **{COUNT: "0", NEW_COLUMNS: '["x"]', "rows": "7"})
        assert {*numbers(workspace)} == {(rows, BROKEN)}
        (said,) = [line for line in mislabelled(workspace) if COUNT in line]
        assert f"{COUNT} '{BROKEN}' became '0'" in said
    # The same content, published again: what the store says of it is signed by nobody.
    project.materialize(f"{DATASET}/batch", f"{DATASET}/dataset", partition=FEBRUARY, checks=None)
    with project.active() as workspace:
        labels = published_batches(workspace, DATASET)[FEBRUARY].metadata
        assert (labels["rows"], labels[COUNT]) == (str(rows), str(BROKEN))
        assert {*numbers(workspace)} == {(rows, BROKEN)} and mislabelled(workspace)


def staged(workspace: Workspace, project: Project, folder: Path, **labels: str) -> Any:
    """A correction that waits, of which the store says something else."""
    project.batches.deliver(FEBRUARY, change=lambda frame: frame.slice(1))
    spec, store = project.context().dataset, workspace.store
    ref = data.ingest(workspace, spec, FEBRUARY, Run.new())
    data.audit(workspace, spec, ref, Run.new())
    file = folder / "staged.parquet"
    file.write_bytes(store.local_path(ref.commit, PATH).read_bytes())
    store.commit(ref.branch, {PATH: file}, "tidy", objects={PATH: {**store.stat(ref.commit, PATH).metadata, **labels}})
    return ref


def test_a_number_that_was_edited_before_the_publication_is_not_signed(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        ref = staged(workspace, project, tmp_path, **{COUNT: "1"})
        with pytest.raises(
            PlatformError, match=f"^[^\n]*says that 1 rows were set aside, and there are {BROKEN}[^\n]*$"
        ):
            data.publish(workspace, project.context().dataset, ref, Run.new())
        assert len(numbers(workspace)) == 1


def moved(workspace: Workspace, tag: str, commit: str) -> None:
    repository = pygit2.Repository(str(next((workspace.settings.local / "store").rglob("meta.git"))))
    repository.references.create(f"refs/tags/{tag}", commit, force=True)
    assert workspace.store.resolve(tag) == commit


def test_a_tag_that_was_moved_brings_back_nothing_else(project: Project, tmp_path: Path) -> None:
    """A rollback takes bytes from where a tag says that they were published."""
    with project.active() as workspace:
        spec, run, store = project.context().dataset, Run.new(), workspace.store
        honest = project.published()[FEBRUARY]
        roll_back(workspace, spec, FEBRUARY, run, reason="look at it", withdraw=True)
        before = store.resolve(MAIN)
        tag = batch_tag(DATASET, FEBRUARY, honest)
        store.create_branch("work", store.resolve(tag))
        moved(workspace, tag, store.commit("work", {BESIDE: None}, "tidy"))
        with pytest.raises(PlatformError, match="but the batch names"):
            roll_back(workspace, spec, FEBRUARY, run, reason="it was sound", to=honest)
        assert store.resolve(MAIN) == before
        moved(workspace, tag, before)
        with pytest.raises(PlatformError, match="was never published"):
            roll_back(workspace, spec, FEBRUARY, run, reason="it was sound", to=honest)
        assert store.resolve(MAIN) == before
