"""Two versions that wait, exchanged in the registry's tables: nobody approves another model than was looked at."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import typer.testing

from ml_platform.cli import approve as module
from ml_platform.cli.app import cli
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import VERSION
from ml_platform.pipeline import approval, cards, recorded_versions, registration
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform_tests.project import Project
from ml_platform_tests.registry import models
from ml_platform_tests.shop_project import MODEL, STEPS, copy_of, declared

SAID = "was registered, and the registry has"


@pytest.fixture
def shop(with_models: Path, tmp_path: Path) -> Project:
    return copy_of(with_models, tmp_path / "project", declared(), ML_PLATFORM_APPROVAL="person")


def another(workspace: Workspace) -> VersionRef:
    """A second version that waits, as the step registers one."""
    version = models.registered(workspace.registry, models.trained(workspace.registry, MODEL, seed=3))
    recorded_versions.note(workspace, version, Run.new(), new=True)
    return version


def exchange(workspace: Workspace, first: int, second: int) -> None:
    """What somebody writes into the database of MLflow."""
    tables = ("model_version_tags", "model_versions")
    with closing(sqlite3.connect(workspace.settings.local / "mlflow" / "mlflow.db")) as database:
        for table in tables:
            for old, new in ((first, -1), (second, first), (-1, second)):
                database.execute(f"UPDATE {table} SET version = ? WHERE name = ? AND version = ?", (new, MODEL, old))
        database.commit()


def test_versions_that_were_exchanged_are_named_and_decided_on_by_nobody(shop: Project) -> None:
    with shop.active() as workspace:
        context, run, one, two = shop.context(), Run.new(), workspace.registry.get(MODEL, 1), another(workspace)
        assert not [*recorded_versions.doubts(workspace, MODEL)]
        exchange(workspace, 1, two.version)
        for number, has, registered in ((1, two, one), (two.version, one, two)):
            version = workspace.registry.get(MODEL, number)
            assert version.sha256 == has.sha256
            why = recorded_versions.doubt(workspace, version)
            assert f"{registered.sha256[:12]} {SAID} {has.sha256[:12]}" in why and "\n" not in why
            assert approval.standing(workspace, version)[:3] == ("pending", "gates", why)
            assert why in list(cards.edited(workspace, version))
            for verb in ("approved", "rejected"):
                with pytest.raises(PlatformError, match=SAID):
                    approval.decide(workspace, context, version, verb, by="ann", reason="seen", run=run)
            with pytest.raises(PlatformError, match=SAID):
                approval.require_approved(workspace, context, version, run)
        assert len([*recorded_versions.doubts(workspace, MODEL)]) == 2
        # The step adopts no version whose number has another model than it gave it.
        with pytest.raises(PlatformError, match=SAID):
            registration.register(workspace, context, workspace.references.load(STEPS[2]), run)
        exchange(workspace, 1, two.version)
        assert not [*recorded_versions.doubts(workspace, MODEL)]


def test_a_version_that_somebody_added_is_named(shop: Project) -> None:
    with shop.active() as workspace:
        added = models.registered(workspace.registry, models.trained(workspace.registry, MODEL, seed=4))
        assert "the ledger knows of no registration under this number" in recorded_versions.doubt(workspace, added)


def test_a_number_that_a_restored_registry_gives_again_is_that_of_the_new_version(shop: Project) -> None:
    with shop.active() as workspace:
        first = another(workspace)
        workspace.tracking.client.delete_model_version(MODEL, str(first.version))
        again = models.registered(workspace.registry, models.trained(workspace.registry, MODEL, seed=5))
        if again.version == first.version:
            assert recorded_versions.doubt(workspace, again)
        recorded_versions.note(workspace, again, Run.new(), new=True)
        assert recorded_versions.doubt(workspace, again) == ""


def test_versions_of_an_earlier_release_are_taken_over_once(tmp_path: Path) -> None:
    from ml_platform.foundation.settings import Settings

    workspace = Workspace(Settings(local=tmp_path))
    early = [models.registered(workspace.registry, models.trained(workspace.registry, "tiny", seed)) for seed in (1, 2)]
    assert [recorded_versions.doubt(workspace, one) for one in early] == ["", ""]
    for _ in range(2):
        recorded_versions.note(workspace, early[1], Run.new(), new=False)
        entries = workspace.ledger.entries(kind=VERSION)
        assert [(one.subject, one.body["version"]) for one in entries] == [(one.sha256, one.version) for one in early]


def test_who_approves_is_told_what_and_may_say_what(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "project_catalogue", lambda: shop.catalogue)

    def command(target: str) -> typer.testing.Result:
        return typer.testing.CliRunner().invoke(cli, ["reject", target, "--by", "ann", "--reason", "seen"])

    with shop.active() as workspace:
        sha256 = workspace.registry.get(MODEL, 1).sha256
        before = len(shop.entries())
        wrong = command(f"{MODEL}@1:{'0' * 12}")
        assert wrong.exit_code and f"is model {sha256[:12]}, not 000000000000" in str(wrong.exception)
        assert len(shop.entries()) == before
        done = command(f"{MODEL}@1:{sha256[:8]}")
        assert done.exit_code == 0 and f"{MODEL} version 1 ({sha256[:12]}) is rejected by ann" in done.output
