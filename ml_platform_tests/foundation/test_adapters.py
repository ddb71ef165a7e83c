"""An adapter of a project's own is what everybody opens; what is none is one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ml_platform.cli.data import copy_store
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.factory import kind_of_store, open_kind, open_store
from ml_platform.declarations import loading
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.orchestration import common
from ml_platform.pipeline.backup import back_up
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.scratch import scratch_settings
from ml_platform.references.files import FileReferences
from ml_platform.rollout.factory import open_records
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.supervisor import Supervisor


class OwnStore(EmbeddedStore):
    """The platform's by another name."""


class OwnReferences(FileReferences):
    """The platform's by another name."""


class OwnRecords(RecordFiles):
    """The platform's by another name."""


def mine() -> dict[str, Any]:
    return {
        "store": lambda settings: OwnStore(settings.local / "elsewhere", settings.repository),
        "references": lambda settings: OwnReferences(settings.local / "elsewhere"),
        "rollouts": OwnRecords,
    }


@pytest.fixture
def own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ML_PLATFORM_ADAPTERS", f"{__name__}:mine")
    return settings.model_copy(update={"adapters": f"{__name__}:mine"})


def kinds(workspace: Workspace) -> set[type]:
    return {type(workspace.store), type(workspace.references), type(workspace.rollouts)}


def test_steps_commands_and_supervisor_have_the_same(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {OwnStore, OwnReferences, OwnRecords}
    assert kinds(Workspace(own)) == ours
    assert type(Supervisor(own).records) is OwnRecords
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(own.local))
    for cached in (get_settings, common._workspace):
        cached.cache_clear()
    try:
        assert kinds(Workspace()) == kinds(common.WorkspaceResource().open()) == ours
    finally:
        for cached in (get_settings, common._workspace):
            cached.cache_clear()


def test_a_store_is_copied_from_and_to_ones_own(
    own: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(own.local))
    monkeypatch.setattr(loading, "project_catalogue", Catalogue)
    theirs, ours = open_kind(own, "embedded"), open_kind(own, "own")
    theirs.tag("there", theirs.resolve("main"))
    get_settings.cache_clear()
    try:
        copy_store("embedded", "own")
        assert "there" in ours.tags()
        assert "Use it with `store` in ML_PLATFORM_ADAPTERS" in capsys.readouterr().out
        ours.tag("back", ours.resolve("main"))
        copy_store("own", "embedded")
        assert "back" in theirs.tags()
        assert "ML_PLATFORM_STORE=embedded and no `store` in ML_PLATFORM_ADAPTERS" in capsys.readouterr().out
        monkeypatch.setattr(sys.modules[__name__], "mine", lambda: {"rollouts": OwnRecords})
        with pytest.raises(PlatformError, match="no store of the project's own: name one, as `store`, by ML_PLATFORM_"):
            copy_store("embedded", "own")
    finally:
        get_settings.cache_clear()


def test_a_backup_holds_whatever_keeps_things(own: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holding: list[str] = []

    def holder(kind: type) -> type:
        class Held(kind):  # type: ignore[misc, valid-type]
            @contextmanager
            def held(self) -> Iterator[None]:
                holding.append(kind.__name__)
                yield

        return Held

    opened = {
        "store": lambda settings: holder(OwnStore)(settings.local / "elsewhere", settings.repository),
        "references": lambda settings: holder(OwnReferences)(settings.local / "elsewhere"),
        "rollouts": holder(OwnRecords),
    }
    monkeypatch.setattr(sys.modules[__name__], "mine", lambda: opened)
    own.local.mkdir(exist_ok=True)
    back_up(own, tmp_path / "backup")
    assert holding == ["OwnStore", "OwnReferences", "OwnRecords"]


def test_a_command_that_looks_asks_ones_own_store_to_create_nothing(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def store(settings: Settings, create: bool = True) -> OwnStore:
        asked.append(create)
        return OwnStore(settings.local / "elsewhere", settings.repository)

    monkeypatch.setattr(sys.modules[__name__], "mine", lambda: {"store": store})
    open_store(own)
    open_store(own, create=False)
    assert asked == [True, False]


def test_the_kind_that_is_shown_is_the_one_that_is_used(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind_of_store(own) == "own"
    monkeypatch.setattr(sys.modules[__name__], "mine", lambda: {"rollouts": OwnRecords})
    assert kind_of_store(own) == "embedded"


def test_what_is_not_given_is_the_platforms(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "mine", lambda: {"rollouts": OwnRecords})
    assert kinds(Workspace(own)) == {EmbeddedStore, FileReferences, OwnRecords}


def test_proofs_and_trials_write_nothing_into_it(own: Settings, tmp_path: Path) -> None:
    assert kinds(Workspace(scratch_settings(own, tmp_path / "proof"))) == {EmbeddedStore, FileReferences, RecordFiles}


def broken() -> None:
    raise KeyError("no such\nserver")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (3, "is int 3; expected a function that returns adapters by port"),
        (lambda: None, "returned NoneType None; expected functions of the settings by port"),
        (lambda: {"rollouts": 3}, "expected functions of the settings by port"),
        (lambda: {"rollout": RecordFiles}, "names rollout; the ports are alerts, references, rollouts, store"),
        (broken, "made_up:adapters: KeyError: 'no such"),
        (lambda: {"rollouts": lambda _: broken()}, "made_up:adapters, rollouts: KeyError: "),
        (
            lambda: {"rollouts": lambda _: "files"},
            "builtins:str lacks history, load, location, models, save, update, which ml_",
        ),
    ],
)
def test_what_is_no_adapter_is_one_line(given: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_up")
    module.adapters = given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    with pytest.raises(PlatformError) as caught:
        open_records(Settings(adapters="made_up:adapters"))
    said = str(caught.value)
    assert said.startswith("ML_PLATFORM_ADAPTERS: made_up:adapters") and reason in said and "\n" not in said


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(PlatformError, match=r"^ML_PLATFORM_ADAPTERS: cannot import nowhere"):
        open_records(Settings(adapters="nowhere:adapters"))
