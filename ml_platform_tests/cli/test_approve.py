"""Decisions of people by the command line, on a real registered version."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from ml_platform.cli import approve as module
from ml_platform.cli.app import BadUsage, cli
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline.approval import require_approved
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MODEL, STEPS, copy_of, declared, gates, ingested

NAME = f"{MODEL}/model"


def judged_by(**changes: Any) -> Catalogue:
    """The shop with gates for three months of training."""
    return declared(models={MODEL: {"gates": gates(baseline={"min": -0.3}, **changes)}})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which a version waits for a person."""
    folder = ingested(tmp_path_factory.getbasetemp())
    target = tmp_path_factory.mktemp("approve") / "project"
    project = copy_of(folder, target, judged_by(), ML_PLATFORM_APPROVAL="person")
    assert project.materialize(*STEPS, checks=None).success
    return project


def command(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Output of the command; raises what it raises."""
    monkeypatch.setattr(module, "project_catalogue", lambda: project.catalogue)
    with project.active():
        result = typer.testing.CliRunner().invoke(cli, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def decision(verb: str, target: str = f"{MODEL}@1", by: str = "ann") -> list[str]:
    return [verb, target, "--by", by, "--reason", "seen by the board"]


def test_a_decision_counts_is_recorded_and_can_be_changed(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = shop.reference(STEPS[-1])
    assert version.approval == "pending"
    file = tmp_path / "out.json"
    shown = command(shop, monkeypatch, *decision("approve"), "--json", str(file))
    assert ") is approved by ann: seen by the board" in shown
    assert json.loads(file.read_text())["approval"] == "approved"
    with shop.active() as workspace:
        require_approved(workspace, shop.context(), version, Run.new())
    (entry,) = shop.entries(kind="approval")
    assert entry.subject == version.sha256 and entry.body | {"declared": ""} == {
        "declared": "",
        "by": "ann",
        "because": "seen by the board",
        "version": 1,
    }

    command(shop, monkeypatch, *decision("reject", f"{MODEL}@v1", by="bob"))
    with shop.active() as workspace, pytest.raises(Refused, match="version 1 is rejected, not approved"):
        require_approved(workspace, shop.context(), version, Run.new())
    alone = shop.materialize(f"{MODEL}/service")
    assert not alone.materialized and "is rejected, not approved" in alone.error
    (entry,) = shop.entries(kind="rejection")
    assert entry.body["by"] == "bob"
    # The card that is registered with the model follows, and says nothing else than before.
    with shop.active() as workspace:
        card = workspace.registry.card(version)
        described = workspace.tracking.client.get_model_version(MODEL, "1").description
    section = card.split("## Approvals\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")][:3] for line in section.splitlines()[2:]]
    assert rows == [
        ["pending", "gates", "every gate passed; waits for a person"],
        ["approved", "ann", "seen by the board"],
        ["rejected", "bob", "seen by the board"],
    ]
    assert card.startswith(f"# {MODEL}") and "## Parameters" in card
    assert described == card or "model_card.md" in (described or "")


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (decision("approve", "nobody@1"), BadUsage, "there is no model 'nobody'"),
        (decision("approve", MODEL), BadUsage, "names no version"),
        (decision("approve", f"{MODEL}@champion"), BadUsage, "names no version"),
        (decision("approve", f"{MODEL}@7"), MissingReference, "has no version 7"),
        (decision("approve", by=" "), PlatformError, "give a name and a reason"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    shop: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        command(shop, monkeypatch, *arguments)


def test_a_version_that_a_gate_holds_back_is_not_approved_until_the_gate_is_overridden(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = shop.variant(judged_by(performance={"min": 0.95}))
    with pytest.raises(Refused, match="performance_auc failed"):
        command(strict, monkeypatch, *decision("approve"))
    judged = strict.materialize(STEPS[2], checks=None)
    assert judged.failed(STEPS[2]) == {"performance_auc"}
    with pytest.raises(Refused, match="performance_auc failed"):
        command(strict, monkeypatch, *decision("approve"))

    reasons = ["--by", "ann", "--reason", "storm", "--days", "2"]
    with pytest.raises(MissingReference, match="no verdict of performance_brier on"):
        command(strict, monkeypatch, "override", "performance_brier", NAME, *reasons)
    with pytest.raises(PlatformError, match="holds nothing back"):
        command(strict, monkeypatch, "override", "baseline_auc", NAME, *reasons)
    with pytest.raises(MissingReference, match="nothing of this name"):
        command(strict, monkeypatch, "override", "performance_auc", f"{MODEL}/%", *reasons)
    shown = command(strict, monkeypatch, "override", "performance_auc", NAME, *reasons)
    assert f"performance_auc on {NAME}" in shown and "overridden by ann until" in shown

    again = strict.materialize(STEPS[2], checks=None)
    check = again.checks[STEPS[2], None, "performance_auc"]
    # It fails in plain sight and holds nothing back.
    assert not check.passed and check.severity.value == "WARN" and "overridden by ann" in (check.description or "")
    assert check.metadata["status"].value == "overridden"
    command(strict, monkeypatch, *decision("approve"))
    with strict.active() as workspace:
        require_approved(workspace, strict.context(), strict.reference(STEPS[-1]), Run.new())
