"""Old things that nobody names go; whatever a version, the ledger or a rollout record names stays, however old."""

import os
import time
from pathlib import Path

import pytest

from ml_platform.datasets.batches import staging_branch
from ml_platform.documents.server import folder as reports
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import prune
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.changes import started
from ml_platform.rollout.record import Backend
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, JANUARY, MAY, MODEL, copy_of

AGE = 100


def package(workspace: Workspace, sha256: str) -> Path:
    """A folder that is a package as far as its name says, read-only as packages are."""
    place = workspace.settings.local / BENTOS / f"{MODEL}-1-{sha256[:12]}"
    write_atomic(place / "src" / "model.ubj", "0" * 100)
    (place / "src").chmod(0o555)
    return place


def let_age(folder: Path) -> None:
    then = time.time() - AGE * prune.DAY
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


@pytest.fixture
def project(with_models: Path, tmp_path: Path) -> Project:
    return copy_of(with_models, tmp_path / "shop")


def test_what_is_named_stays_and_the_rest_goes_once(project: Project) -> None:
    with project.active() as workspace:
        run = Run.new()
        recorded, promoted, forgotten = (package(workspace, letter * 64) for letter in "abc")
        backend = Backend(version=1, tag="t:1", sha256="a" * 64, path=f"{BENTOS}/{recorded.name}")
        workspace.rollouts.update(MODEL, lambda record: started(record, backend, by="ann", why="test"))
        workspace.ledger.decide(
            "promotion",
            subject="m",
            subject_name=f"{MODEL}/champion",
            body={"version": 1, "service": "b" * 64},
            run_id=run.id,
            provenance=run.provenance,
        )
        version = workspace.registry.latest(MODEL)
        assert version is not None
        kept = reports(workspace.settings) / f"{MODEL}-{version.sha256[:16]}.html"
        refused = write_atomic(reports(workspace.settings) / f"{MODEL}-{'f' * 16}.html", "refused")
        ref = workspace.references.load(f"{MODEL}/split")
        workspace.references.save(f"{MODEL}/split", "", ref.model_copy(update={"run_id": "earlier"}))
        workspace.references.save(f"{MODEL}/split", "", ref)
        let_age(workspace.settings.local)
        fresh = package(workspace, "d" * 64)

        found = prune.old(workspace, project.catalogue, AGE - 1)
        assert {(one.kind, one.name) for one in found} == {
            ("package", forgotten.name),
            ("report", refused.name),
            ("reference", f"{MODEL}/split/earlier.json"),
        }
        prune.remove(workspace, found)
        assert prune.old(workspace, project.catalogue, AGE - 1) == []
        assert all(path.exists() for path in (recorded, promoted, fresh, kept))
        assert not any(path.exists() for path in (forgotten, refused))
        assert workspace.references.load(f"{MODEL}/split") == ref and workspace.ledger.verify()


def test_a_refused_correction_goes_and_what_was_never_published_waits(project: Project) -> None:
    with project.active() as workspace:
        source = workspace.settings.local / "batch"
        source.write_bytes(b"other")
        for partition in (JANUARY, MAY):
            branch = staging_branch(DATASET, partition)
            workspace.store.create_branch(branch)
            workspace.store.commit(branch, {f"datasets/{DATASET}/{partition}.parquet": source}, "staged")
        found = [one for one in prune.old(workspace, project.catalogue, -1) if one.kind == "branch"]
        assert [one.name for one in found] == [staging_branch(DATASET, JANUARY)]
        assert not [one for one in prune.old(workspace, project.catalogue, 1) if one.kind == "branch"]
        prune.remove(workspace, found)
        assert workspace.store.branches("stage-") == [staging_branch(DATASET, MAY)]
