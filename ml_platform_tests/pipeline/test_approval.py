"""Where a person approves, a version waits for one."""

from pathlib import Path

import pytest

from ml_platform.foundation.errors import Refused
from ml_platform.pipeline.release import require_approved
from ml_platform_tests.shop_project import MODEL, STEPS, copy_of, lenient


def test_a_version_waits_for_a_person(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", lenient(), ML_PLATFORM_APPROVAL="person")
    outcome = project.train()
    assert not outcome.success
    assert set(STEPS) == outcome.assets()
    version = project.reference(f"{MODEL}/registered_model")
    assert version.approval == "pending"
    assert not project.entries(kind="approval") and len(project.entries(kind="registration")) == 1
    alone = project.materialize(f"{MODEL}/service")
    assert "Refused" in alone.error and f"{MODEL} version 1 is pending, not approved" in alone.error
    assert not alone.materialized

    with project.active() as workspace:
        context = project.context()
        workspace.registry.set_approval(MODEL, 1, "rejected", by="ann", reason="wrong year")
        with pytest.raises(Refused, match="is rejected, not approved"):
            require_approved(workspace, context, version)
        workspace.registry.set_approval(MODEL, 1, "approved", by="ann", reason="right year after all")
        require_approved(workspace, context, version)
    # A second registration of the same model does not take the decision back.
    assert project.materialize(STEPS[-1]).success
    assert project.reference(STEPS[-1]).approval == "approved"
