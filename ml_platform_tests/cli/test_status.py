"""Each part of the status is read by itself: one that cannot be read hides no other."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.testing

from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
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
