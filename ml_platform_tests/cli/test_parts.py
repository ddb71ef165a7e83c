"""One part that cannot be read (a version, a model, a file, the ledger) is named in a line and hides no other."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ml_platform.cli.summary import show_summary
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.ledger import verified
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.pipeline import alerts, lineage
from ml_platform.pipeline.why import why
from ml_platform.pipeline.workspace import Workspace
from ml_platform.registry.tracking import MODEL_REF
from ml_platform_tests.cli.commanded import told
from ml_platform_tests.ledger.writing import rehashed, replace_rows, rows_of
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, DATASET, FEBRUARY, MODEL, MODELS, copy_of, declared, registered

OTHER = MODELS[1]
FOREIGN = f"model {MODEL} version 2 lacks the tags"


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    """Version 1 of both models is registered; somebody registered a model of theirs as version 2 of ``returned``."""
    folder = registered(tmp_path_factory.getbasetemp())
    project = copy_of(folder, tmp_path / "project", declared(models={model: {} for model in MODELS}))
    with project.active() as workspace:
        run = workspace.registry.get(MODEL, 1).mlflow_run_id
        workspace.tracking.client.create_model_version(MODEL, f"runs:/{run}/model", run)
    return project


def damage(project: Project) -> None:
    """What MLflow tells of the training of the other model is no reference."""
    with project.active() as workspace:
        workspace.tracking.log_artifact(workspace.registry.get(OTHER, 1).mlflow_run_id, MODEL_REF, "{")


def cut(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest entries of the ledger are gone, as for another process."""
    with project.active() as workspace:
        file = workspace.settings.local / "ledger.db"
    replace_rows(file, rehashed(rows_of(file)[:-8]))
    monkeypatch.setattr(verified, "_verified", {})


def ended(project: Project, monkeypatch: pytest.MonkeyPatch, file: Path, *arguments: str) -> tuple[list[str], str]:
    """The lines of a command that writes JSON to ``file`` and cannot read everything, and what it raises."""
    out, raised = told(project, monkeypatch, *arguments, "--json", str(file))
    assert isinstance(raised, PlatformError), raised
    return out.splitlines(), str(raised)


def test_a_ledger_that_lost_its_end_is_said_first_and_hides_what_others_tell(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(shop, monkeypatch)
    file = tmp_path / "status.json"
    lines, raised = ended(shop, monkeypatch, file, "status")
    assert lines[0].startswith("the ledger cannot be read: ledger: entries were cut or replaced")
    assert "the ledger" in raised
    found = json.loads(file.read_text())
    assert found["unreadable"]["the ledger"].startswith("ledger: entries were cut")
    data = found["datasets"][DATASET]
    assert len(data["published"]) == 4 and data["main"] and "refused" not in data
    model = found["models"][OTHER]
    assert (model["version"], model["approval"], model["champion"]) == (1, None, None)
    # A decision that was cut is not shown as one that waits.
    assert "pending" not in "\n".join(lines) and "supervisor: not running" in lines
    # Its error is said once, whatever could not be told without it.
    assert "\n".join(lines).count("entries were cut") == 1


def test_a_damaged_database_of_the_ledger_hides_no_data(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.active() as workspace:
        (workspace.settings.local / "ledger.db").write_bytes(b"no database" * 1000)
    file = tmp_path / "status.json"
    lines, _ = ended(shop, monkeypatch, file, "status")
    assert lines[0].startswith("the ledger cannot be read: database ")
    assert len(json.loads(file.read_text())["datasets"][DATASET]["published"]) == 4


def test_an_alert_says_what_could_not_be_looked_at(shop: Project) -> None:
    with shop.active() as workspace:
        (record := workspace.settings.local / "rollout" / "records" / f"{MODEL}.json").parent.mkdir(parents=True)
        record.write_text("{")
        _promoted(workspace, MODEL, 2)
        _promoted(workspace, OTHER, 7)
        found = alerts.standing(workspace, shop.catalogue)
        assert {(alert.name, alert.kind) for alert in found} >= {(MODEL, "champion"), (OTHER, "champion")}
        # What cannot be looked at now is not over.
        alerts.tell(workspace, [alerts.Alert(MODEL, "stale", "old", "1")], kinds=["stale"])
        unread = alerts.Alert(MODEL, alerts.UNREADABLE, "it cannot be looked at", "x")
        said = alerts.tell(workspace, [unread], kinds=alerts.KINDS)
        assert said == ["told here: it cannot be looked at"]
        assert alerts.tell(workspace, [], kinds=alerts.KINDS) == ["over: old", "over: it cannot be looked at"]


def test_what_needs_a_person_is_told_of_one_model_where_another_cannot_be_read(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_in_a_row(workspace: Workspace, model: str) -> tuple[int, bool]:
        if model == MODEL:
            raise PlatformError("decisions are damaged")
        return 5, True

    monkeypatch.setattr(alerts, "refused_in_a_row", refused_in_a_row)
    with shop.active() as workspace:
        _promoted(workspace, MODEL, 9)
        found = alerts.standing(workspace, shop.catalogue)
    said = {(alert.name, alert.kind): alert.said for alert in found}
    assert said.keys() >= {(MODEL, alerts.UNREADABLE), (MODEL, "champion"), (OTHER, "refused")}
    assert "decisions are damaged" in said[MODEL, alerts.UNREADABLE]


def _promoted(workspace: Workspace, model: str, version: int) -> None:
    from ml_platform.foundation.provenance import Run

    run = Run.new()
    workspace.ledger.decide(
        PROMOTION,
        subject="5" * 64,
        subject_name=f"{model}/champion",
        body={"version": version, "service": "5" * 64, "revision": 1},
        run_id=run.id,
        provenance=run.provenance,
    )


def test_uses_of_a_content_are_found_beside_a_version_that_cannot_be_read(shop: Project) -> None:
    damage(shop)
    with shop.active() as workspace:
        (content,) = (workspace.references.load(DATASET + "/batch", FEBRUARY).sha256,)
        parts = Parts()
        found = lineage.uses(workspace, MODELS, [content], parts)
    assert [(use.model, use.version) for use in found] == [(MODEL, 1)]
    assert list(parts.unreadable) == [f"{MODEL} version 2", f"{OTHER} version 1"]
    assert FOREIGN in parts.unreadable[f"{MODEL} version 2"]


def test_a_trace_of_data_names_what_it_could_not_read(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.active() as workspace:
        content = workspace.references.load(DATASET + "/batch", FEBRUARY).sha256
    file = tmp_path / "uses.json"
    lines, raised = ended(shop, monkeypatch, file, "trace", "--from-dataset", content)
    assert raised.startswith(f"not everything could be read: {MODEL} version 2")
    assert any(FOREIGN in line for line in lines)
    assert [use["version"] for use in json.loads(file.read_text())["uses"]] == [1, 1]


def test_the_table_of_a_run_shows_what_can_be_read(shop: Project, tmp_path: Path) -> None:
    damage(shop)
    console, file = Console(record=True, width=300), tmp_path / "run.json"
    nothing = SimpleNamespace(commits=0, versions=0, ledger=0)
    with shop.active() as workspace:
        (there,) = (workspace.settings.local / "refs" / DATASET / "features" / APRIL).glob("latest.json")
        there.write_text("{")
        assert show_summary(console, workspace, shop.catalogue, nothing, nothing, True, file) == 1
    text, found = console.export_text(), json.loads(file.read_text())
    assert found["models"][MODEL]["metrics"] and "metrics" in found["models"][OTHER]
    assert len(found["datasets"][DATASET]) == 4
    assert f"versions of {MODEL} cannot be read: {FOREIGN}" in text
    assert f"versions of {OTHER} cannot be read: " in text
    assert f"{DATASET}/features {APRIL} cannot be read: " in text
    assert found["unreadable"].keys() == {
        f"versions of {MODEL}", f"versions of {OTHER}", f"{DATASET}/features {APRIL}",
    }  # fmt: skip


def test_verify_names_the_version_that_cannot_be_read_and_goes_on(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(shop)
    with shop.active() as workspace:
        workspace.registry.note(MODEL, 1, {"ml_platform.run_id": "another"})
    file = tmp_path / "verify.json"
    lines, raised = ended(shop, monkeypatch, file, "ledger", "verify")
    assert any(line.endswith("unbroken; head " + line.rpartition(" ")[2]) for line in lines[:1]), lines
    assert f"{MODEL} version 2" in raised and f"{OTHER} version 1" in raised
    assert any(line.startswith(f"{MODEL} version 1: in MLflow its tags ml_platform.run_id") for line in lines)
    assert json.loads(file.read_text())["unreadable"].keys() == {f"{MODEL} version 2", f"{OTHER} version 1"}


def test_why_of_a_dataset_tells_of_every_month(shop: Project) -> None:
    with shop.active() as workspace:
        (there,) = (workspace.settings.local / "refs" / DATASET / "features" / FEBRUARY).glob("latest.json")
        there.write_text("{")
        answer = why(workspace, shop.catalogue, DATASET)
    assert answer.state.startswith("4 of ")
    (said,) = [one for one in answer.because if one.startswith(f"{DATASET}/{FEBRUARY} ")]
    assert "cannot be read" in said and "latest.json" in said


def test_check_judges_what_can_be_read(shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop.active() as workspace:
        (there,) = (workspace.settings.local / "refs" / MODEL / "split").glob("latest.json")
        there.write_text("{")
    file = tmp_path / "check.json"
    out, raised = told(shop, monkeypatch, "check", "--json", str(file))
    assert isinstance(raised, SystemExit) and raised.code == 1, (out, raised)
    lines = json.loads(file.read_text())
    split = [line for line in lines if line["asset"] == f"{MODEL}/split"]
    assert split and {line["status"] for line in split} == {"missing"}
    assert "latest.json" in split[0]["reason"]
    assert {line["status"] for line in lines if line["asset"] == f"{OTHER}/split"} == {"passed"}
