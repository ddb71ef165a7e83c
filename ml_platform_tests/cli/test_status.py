"""Each part of the status is read by itself: one that cannot be read hides no other."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.testing

from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run, platform_code
from ml_platform.rollout.processes import SupervisorState, owner, write_state
from ml_platform.serving import process
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, MODEL, MODELS, copy_of, declared, registered


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    """Version 1 of both models is registered."""
    folder = registered(tmp_path_factory.getbasetemp())
    return copy_of(folder, tmp_path / "project", declared(models={model: {} for model in MODELS}))


def test_what_cannot_be_read_of_one_model_hides_nothing_of_another(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.active() as workspace:
        records = workspace.settings.local / "rollout" / "records"
        records.mkdir(parents=True)
        (records / f"{MODEL}.json").write_text("{")
    monkeypatch.setattr(loading, "project_catalogue", lambda: shop.catalogue)
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "status.json"
    with shop.active():
        runner = typer.testing.CliRunner()
        shown = runner.invoke(cli, ["status", "--json", str(file)])
    assert isinstance(shown.exception, PlatformError)
    assert f"the rollout record of {MODEL}" in str(shown.exception)
    found = json.loads(file.read_text())
    assert found["models"].keys() == set(MODELS) and found["models"][MODELS[1]]["version"] == 1
    assert len(found["datasets"][DATASET]["published"]) == 4
    assert f"the rollout record of {MODEL} cannot be read: " in shown.output
    assert all(model in shown.output for model in MODELS) and "supervisor: not running" in shown.output


def test_accepted_gaps_and_a_clock_set_back_are_told_in_a_line_each(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.new()
    by = {"run_id": run.id, "provenance": run.provenance}
    with shop.active() as workspace:
        workspace.ledger.accept_gap(by="ann", reason="disk", **by)
        monkeypatch.setattr("ml_platform.ledger.writing.now_utc", lambda: datetime(2020, 1, 1, tzinfo=UTC))
        workspace.ledger.decide("alert", subject="1" * 64, subject_name="m/alert", body={}, **by)
        count = len(workspace.ledger.chain())
    monkeypatch.setattr(loading, "project_catalogue", lambda: shop.catalogue)
    file = tmp_path / "status.json"
    with shop.active():
        shown = typer.testing.CliRunner().invoke(cli, ["status", "--json", str(file)])
    assert shown.exit_code == 0, shown.output
    told = json.loads(file.read_text())["ledger"]
    see = "see ml-platform ledger verify"
    assert told == [
        f"ledger: somebody accepted that entries or content are lost (entry {count - 1}); {see}",
        f"ledger: 1 entries are dated before earlier ones, first entry {count}; {see}",
    ]
    assert all(shown.output.count(line) == 1 for line in told)


@pytest.mark.parametrize("code", ["", "0" * 16, platform_code()])
def test_a_supervisor_of_other_code_than_is_installed_is_told(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """After an upgrade the old one goes on until it is restarted; one of an earlier release names no code."""
    me = {"pid": os.getpid(), "start_time": process.start_time(os.getpid())}
    with shop.active() as workspace:
        write_state(workspace.settings, SupervisorState(owner=owner(workspace.settings), code=code, **me))
    monkeypatch.setattr(loading, "project_catalogue", lambda: shop.catalogue)
    file = tmp_path / "status.json"
    with shop.active():
        shown = typer.testing.CliRunner().invoke(cli, ["status", "--json", str(file)])
    assert shown.exit_code == 0, shown.output
    other = code != platform_code()
    assert ("supervisor: running; it runs other code than is installed now: restart it" in shown.output) == other
    found = json.loads(file.read_text())
    assert found["supervisor"] and found["supervisor_outdated"] == other
