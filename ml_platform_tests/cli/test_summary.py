"""The table at the end of a run, on a month that was published and whose correction was refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ml_platform.cli.summary import _verdicts, show_summary
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.provenance import Run
from ml_platform.gates.every_kind import Gate
from ml_platform.pipeline.rollback import roll_back
from ml_platform_tests.project import Project
from ml_platform_tests.registry import models
from ml_platform_tests.shop_project import DATASET, FEBRUARY, JANUARY, MODEL, copy_of, declared, new_project, registered


@pytest.mark.parametrize("staged_again", [False, True], ids=["staged once", "staged again"])
def test_a_withdrawn_month_is_shown_as_withdrawn_and_comes_back(tmp_path: Path, staged_again: bool) -> None:
    project = new_project(tmp_path / "project", arrived=(JANUARY, FEBRUARY))
    assert project.ingest(JANUARY, FEBRUARY).success
    spec = project.catalogue.datasets[DATASET]
    with project.active() as workspace:
        sha256 = project.published()[FEBRUARY]
        roll_back(workspace, spec, FEBRUARY, Run.new(), reason="wrong prices", by="ann", withdraw=True)
    if staged_again:
        # By a run over the same source, as `ml-platform run` does it.
        assert not project.materialize(f"{DATASET}/batch", f"{DATASET}/dataset", partition=FEBRUARY).success
        january, february = shown(project)
        assert "withdrawn" not in january
        assert "withdrawn by ann: wrong prices" in february and "passed" not in february.split("withdrawn")[0]
    with project.active() as workspace:
        roll_back(workspace, spec, FEBRUARY, Run.new(), reason="they were right", by="ann", to=sha256)
    _, february = shown(project)
    assert "withdrawn" not in february and "passed" in february


def shown(project: Project) -> list[str]:
    """The rows of January and February."""
    data = Catalogue.of([*project.catalogue.datasets.values(), *project.catalogue.features.values()])
    nothing = SimpleNamespace(commits=0, versions=0, ledger=0)
    console = Console(record=True, width=200)
    with project.active() as workspace:
        show_summary(console, workspace, data, nothing, nothing, True, None)
    text = console.export_text()
    return [next((line for line in text.splitlines() if month in line), "") for month in (JANUARY, FEBRUARY)]


def test_a_refused_correction_is_shown_as_refused(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", arrived=(JANUARY, FEBRUARY))
    assert project.ingest(JANUARY, FEBRUARY).success
    project.batches.deliver(FEBRUARY, change=lambda frame: frame.head(5))
    assert not project.materialize(f"{DATASET}/batch", f"{DATASET}/dataset", partition=FEBRUARY, checks=None).success
    data = Catalogue.of([*project.catalogue.datasets.values(), *project.catalogue.features.values()])
    nothing = SimpleNamespace(commits=0, versions=0, ledger=0)
    console = Console(record=True, width=200)
    with project.active() as workspace:
        assert show_summary(console, workspace, data, nothing, nothing, False, None) == 1
        tag = f"{DATASET}-{JANUARY}-{project.published()[JANUARY][:12]}"
        commit = workspace.store.resolve(tag)[:12]
    january, february = (
        next(line for line in console.export_text(clear=False).splitlines() if month in line)
        for month in (JANUARY, FEBRUARY)
    )
    assert commit in january and "refused" not in january
    assert "refused" in february and "volume" in february


def test_a_gate_that_only_warns_is_not_shown_as_one_that_holds_back() -> None:
    gates = (Gate(gate="volume", min=0.5, max=2, severity="warn"), Gate(gate="duplicates", max=0))
    assert _verdicts(gates, {}) == "0 passed, volume missing (warns), duplicates missing"


def test_the_version_is_that_of_the_model_that_is_shown(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Code that was put back is the version before: the newest is another model."""
    project = copy_of(registered(tmp_path_factory.getbasetemp()), tmp_path / "project", declared())
    nothing, console, file = (
        SimpleNamespace(commits=0, versions=0, ledger=0),
        Console(record=True),
        tmp_path / "out.json",
    )
    with project.active() as workspace:
        newer = models.registered(workspace.registry, models.trained(workspace.registry, MODEL, seed=3))
        assert workspace.registry.latest(MODEL) == newer
        show_summary(console, workspace, project.catalogue, nothing, nothing, True, file)
        told = json.loads(file.read_text())["models"][MODEL]
        assert told["version"] == 1 != newer.version
        assert told["model_sha256"] == workspace.registry.get(MODEL, 1).sha256
