"""Performance before outcomes come: estimated and called so, tested on what came before, shown on the page."""

from dataclasses import replace
from pathlib import Path

import pytest

from ml_platform.foundation.errors import MissingReference
from ml_platform.pipeline.estimating import Estimates, estimate
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, MAY, MODEL, copy_of, declared, ingested

STEPS = tuple(f"{MODEL}/{step}" for step in ("split", "model", "evaluation", "registered_model"))
GATES = [{"gate": "disjoint"}, {"gate": "time_order"}]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Outcomes come within 30 days: version 1 knows January and February, was held against March; April waits."""
    catalogue = declared(models={MODEL: {"split": {"holdout": 1, "label_delay": 30}, "gates": GATES}})
    base = tmp_path_factory.getbasetemp()
    project = copy_of(ingested(base), tmp_path_factory.mktemp("late") / "project", catalogue)
    with project.active() as workspace, pytest.raises(MissingReference, match=f"no version of {MODEL} is registered"):
        estimate(workspace, project.context())
    outcome = project.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    return project


def estimated(project: Project) -> Estimates:
    with project.active() as workspace:
        return estimate(workspace, project.context())


def test_a_partition_without_outcomes_is_estimated_and_said_never_to_have_been_tested(late: Project) -> None:
    found = estimated(late)
    assert list(found.waiting) == [APRIL] and not found.tested and not found.off
    _, values = found.waiting[APRIL]
    assert 0.5 < values["auc"] < 1
    assert found.text.startswith(f"{MODEL} version 1: {APRIL} (no outcomes yet): estimated auc 0.")
    assert "estimates were never held against outcomes" in found.text
    assert {row["actual"] for row in found.table} == {None}


def test_once_outcomes_are_there_the_estimate_is_held_against_them(late: Project, tmp_path: Path) -> None:
    project = copy_of(late.folder, tmp_path / "project", late.catalogue)
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    found = estimated(project)
    assert list(found.waiting) == [MAY] and [one.partition for one in found.tested] == [APRIL]
    assert found.off.keys() >= {"auc", "brier"} and found.off["auc"] < 0.1
    assert "held against outcomes of 1 partition, estimates were off: auc by up to 0.0" in found.text
    assert found.text.endswith("; too few for a margin, 3 are needed") and "±" not in found.text
    assert "±" in replace(found, tested=found.tested * 3).text
    by_metric = {row["metric"]: row for row in found.table if row["partition"] == APRIL}
    assert by_metric["auc"]["error"] == pytest.approx(by_metric["auc"]["estimated"] - by_metric["auc"]["actual"])
    shown = project.materialize(f"{MODEL}/estimated_performance")
    assert shown.success, shown.error
    (event,) = project.materializations(f"{MODEL}/estimated_performance")
    assert event.metadata["estimate"].value == found.text
    page = Path(str(event.metadata["page_file"].value)).read_text()
    assert "estimated performance" in page and "no measurement" in page and page.count("<svg") == 1
    assert "not known yet" in page
