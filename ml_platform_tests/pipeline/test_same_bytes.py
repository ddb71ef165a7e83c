"""The same file under two partitions: what was said of one says nothing of the other."""

from pathlib import Path

import pytest

from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data, published_verdicts
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, DATASET, FEATURES, MAY, copy_of


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    """April came once more, as May, and was refused."""
    project = copy_of(four_months, tmp_path / "project")
    project.batches.original(APRIL).write_parquet(project.batches.folder / f"{MAY}.parquet")
    assert project.ingest(MAY).failed(f"{DATASET}/batch", MAY) >= {"window"}
    return project


def test_a_refusal_under_another_partition_revokes_nothing(project: Project) -> None:
    with project.active() as workspace:
        may, spec = workspace.references.load(f"{DATASET}/batch", MAY), project.context().dataset
        assert may.sha256 == project.published()[APRIL]
        assert published_verdicts.standing(workspace, spec).failing == {}
        assert list(data.refused(workspace, spec)) == [MAY]
        published_verdicts.require(workspace, spec, workspace.references.all(FEATURES), Run.new())


def test_a_pass_under_another_partition_allows_nothing(project: Project) -> None:
    with project.active() as workspace:
        april, may = (workspace.references.load(f"{DATASET}/batch", month) for month in (APRIL, MAY))
        spec, run = project.context().dataset, Run.new()
        # As after any commit of the code: the verdicts on April are news, and the newest on these bytes.
        later = Run("later", run.provenance.model_copy(update={"code_commit": "f" * 40}))
        assert all(verdict.passed for verdict in data.audit(workspace, spec, april, later))
        with pytest.raises(Refused, match="window failed"):
            data.publish(workspace, spec, may, run)
        # Nor does an override of the one let the other pass.
        refused = data.refused(workspace, spec)[MAY]
        elsewhere = [one.model_copy(update={"subject_name": f"{spec.prefix}{APRIL}"}) for one in refused]
        for verdict in elsewhere:
            workspace.ledger.override(
                verdict, by="ann", reason="known", days=1, run_id=run.id, provenance=run.provenance
            )
        assert [one.gate for one in data.refused(workspace, spec)[MAY]] == [one.gate for one in refused]
