"""What somebody changed in MLflow or in the ledger's database is named by the commands, and not shown as it was."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.testing

from ml_platform.cli import run, trace
from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform.foundation.provenance import Run
from ml_platform.ledger import verified
from ml_platform.ledger.chain import Broken
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.pipeline import approval, cards, champions, release, rollout
from ml_platform.pipeline.workspace import Workspace
from ml_platform.registry.registry import CARD_ARTIFACT, MANIFEST_TAG, PROVENANCE_TAG, RUN_TAG
from ml_platform.registry.tracking import MODEL_REF
from ml_platform_tests.cli import commanded
from ml_platform_tests.ledger.writing import rehashed, replace_rows, rows_of
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MODEL, MODELS, STEPS, copy_of, declared, registered


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    """Version 1 of both models is registered; that of ``returned`` went live, by ledger and registry."""
    folder = registered(tmp_path_factory.getbasetemp())
    project = copy_of(folder, tmp_path / "project", declared(models={model: {} for model in MODELS}))
    with project.active() as workspace:
        version, begun = workspace.registry.get(MODEL, 1), Run.new()
        workspace.ledger.decide(
            PROMOTION,
            subject=version.sha256,
            subject_name=f"{MODEL}/champion",
            body={"version": 1, "service": "5" * 64, "revision": 1},
            run_id=begun.id,
            provenance=begun.provenance,
        )
        workspace.registry.set_alias(MODEL, champions.CHAMPION, 1)
    return project


def told(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command prints, in one line; raises what it raises."""
    # All that hold it by name, loaded before it is exchanged: else one of them would keep what is exchanged.
    for module in (loading, run, trace):
        monkeypatch.setattr(module, "project_catalogue", lambda: project.catalogue)
    with project.active():
        result = typer.testing.CliRunner().invoke(cli, [*arguments], catch_exceptions=False)
    return " ".join(re.sub(r"[^\S ]+|[│├└─]+", " ", result.output).split())


def test_without_its_alias_the_champion_is_shown_all_the_same(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.active() as workspace:
        workspace.tracking.client.delete_registered_model_alias(MODEL, champions.CHAMPION)
    file = tmp_path / "out.json"
    told(shop, monkeypatch, "status", "--json", str(file))
    shown = json.loads(file.read_text())["models"]
    assert [shown[model]["champion"] for model in MODELS] == [1, None]
    for target in (MODEL, f"{MODEL}@champion"):
        told(shop, monkeypatch, "trace", target, "--json", str(file))
        assert json.loads(file.read_text())["version"] == 1


def test_nothing_is_said_of_what_nobody_edited(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "edited" not in told(shop, monkeypatch, "trace", MODEL) + told(shop, monkeypatch, "status")
    assert "unbroken" in told(shop, monkeypatch, "ledger", "verify")


def tag(name: str, value: str) -> Callable[[Workspace], None]:
    return lambda workspace: workspace.registry.note(MODEL, 1, {name: value})


def description(workspace: Workspace) -> None:
    workspace.tracking.client.update_model_version(MODEL, "1", description="# Approved by the board")


def card(workspace: Workspace) -> None:
    version = workspace.registry.get(MODEL, 1)
    text = workspace.registry.card(version).replace("## Limits", "## Approved by the board")
    workspace.tracking.log_artifact(version.mlflow_run_id, CARD_ARTIFACT, text)


EDITS: dict[str, tuple[Callable[[Workspace], None], str]] = {
    "manifest": (tag(MANIFEST_TAG, "a" * 64), f"its tags {MANIFEST_TAG} were edited"),
    "provenance": (tag(PROVENANCE_TAG, '{"code_commit": "b"}'), f"its tags {PROVENANCE_TAG} were edited"),
    "run": (tag(RUN_TAG, "another"), f"its tags {RUN_TAG} were edited"),
    "card": (card, "its model card was edited"),
    "description": (description, "its model card was edited"),
}


@pytest.mark.parametrize(("edit", "said"), EDITS.values(), ids=EDITS.keys())
def test_an_edited_tag_or_card_is_named_and_mended(
    shop: Project, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Workspace], None], said: str
) -> None:
    with shop.active() as workspace:
        before = workspace.registry.get(MODEL, 1)
        written = workspace.registry.card(before)
        edit(workspace)
        assert workspace.registry.get(MODEL, 1) == before
    for command in (["trace", MODEL], ["status"], ["ledger", "verify"]):
        out = told(shop, monkeypatch, *command)
        assert f"{MODEL} version 1: in MLflow {said}; materialize {MODEL}/registered_model writes" in out, command
    assert shop.materialize(STEPS[3]).success
    with shop.active() as workspace:
        assert workspace.registry.get(MODEL, 1) == before
        assert not list(cards.edited(workspace, before))
        assert workspace.registry.card(before) == written


def test_a_decision_is_not_written_on_an_edited_card(shop: Project) -> None:
    with shop.active() as workspace:
        card(workspace)
        version, context = workspace.registry.get(MODEL, 1), shop.context()
        approval.decide(workspace, context, version, "rejected", by="ann", reason="no", run=Run.new())
        now = workspace.registry.card(version)
        assert "## Limits" in now and "| rejected | ann | no |" in now
        assert not list(cards.edited(workspace, version))


def test_an_edited_manifest_is_traced_as_edited(shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop.active() as workspace:
        honest = workspace.registry.get(MODEL, 1).model_ref
        split = honest.split.model_copy(update={"train": honest.split.train[1:]})
        edited = honest.model_copy(update={"split": split})
        workspace.tracking.log_artifact(honest.mlflow_run_id, MODEL_REF, edited.model_dump_json())
    file = tmp_path / "out.json"
    said = "the ledger names no training as its reference tells of"
    assert said in told(shop, monkeypatch, "trace", f"{MODEL}@1", "--json", str(file))
    assert said in json.loads(file.read_text())["edited"][0]
    assert said in told(shop, monkeypatch, "status")


def cut(project: Project) -> None:
    """The ledger ends before anything was decided on a candidate, as if it had never gone on."""
    path = project.folder / "local" / "ledger.db"
    rows = rows_of(path)
    first = next(number for number, row in enumerate(rows) if row["kind"] in ("approval", "registration"))
    replace_rows(path, rehashed(rows[:first]))


def test_a_cut_ledger_is_named_and_shown_as_nothing_else(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(shop)
    monkeypatch.setattr(verified, "_verified", {})
    line = r"^ledger: entries were cut or replaced: [^\n]*$"
    for command in (["run"], ["trace", MODEL], ["why", MODEL], ["why", f"{MODEL}@1"]):
        with pytest.raises(Broken, match=line):
            told(shop, monkeypatch, *command)
    # Only the status goes on: what store and registry tell is shown below it (test_parts).
    out, raised = commanded.told(shop, monkeypatch, "status")
    assert re.match(r"^the ledger cannot be read: ledger: entries were cut or replaced: ", out)
    assert str(raised).startswith("not everything could be read: the ledger")
    with shop.active() as workspace:
        context, version = shop.context(), workspace.registry.get(MODEL, 1)
        with pytest.raises(Broken, match=line):
            release.package(workspace, context, version, Run.new())
        (said,) = rollout.attend(workspace, [MODEL])
        assert re.match(line, said)


def test_a_ledger_that_was_changed_is_named_by_status(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.folder / "local" / "ledger.db"
    rows = rows_of(path)
    replace_rows(path, [*rows[:4], {**rows[4], "actor": "somebody"}, *rows[5:]])
    monkeypatch.setattr(verified, "_verified", {})
    out, raised = commanded.told(shop, monkeypatch, "status")
    assert out.startswith("the ledger cannot be read: ledger: ")
    assert str(raised).startswith("not everything could be read: the ledger")
