"""A backup under load is one moment of everything; restored, every file is the one that was backed up."""

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline import backup
from ml_platform.pipeline.workspace import Workspace
from ml_platform.testing.rollout_records import change

#: What each writes in one round, in this order; so none is ever more than one ahead of the next.
PARTS = ("store", "ledger", "registry", "records", "files")


def _write(local: str, ready: Path, rounds: int) -> None:
    """Round after round the same number goes to every part, one after the other."""
    workspace, run = Workspace(Settings(local=Path(local))), Run.new()
    experiment = workspace.tracking.experiment("m")
    workspace.store.create_branch("work", MAIN, exist_ok=True)
    source = Path(local).parent / "number"
    for number in range(1, rounds + 1):
        source.write_text(str(number))
        workspace.store.commit("work", {"number": source}, f"round {number}")
        workspace.ledger.decide(
            "note", subject=str(number), subject_name="m", body={}, run_id=run.id, provenance=run.provenance
        )
        workspace.tracking.client.create_run(experiment)
        change(workspace.rollouts, number)  # pyright: ignore[reportArgumentType]
        write_atomic(Path(local) / "refs" / "m" / f"{number}.json", "{}")
        if number == 3:
            ready.touch()


def counted(local: Path) -> dict[str, int]:
    """How many rounds each part has seen."""
    workspace = Workspace(Settings(local=local))
    with workspace.store.open("work", "number") as stream:
        last = int(stream.read())
    experiment = workspace.tracking.experiment("m")
    seen = (
        last,
        len(workspace.ledger.entries()),
        len(workspace.tracking.search(experiment, "")),
        workspace.rollouts.load("m").revision,
        len(list((local / "refs" / "m").glob("*.json"))),
    )
    return dict(zip(PARTS, seen, strict=True))


@contextmanager
def writing(local: Path, rounds: int = 100_000) -> Iterator[None]:
    """Another process writes to every part, as fast as it can."""
    ready = local.parent / "ready"
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(str(local), ready, rounds), daemon=True)
    process.start()
    try:
        while not ready.exists():
            assert process.is_alive()
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.join()


@pytest.mark.slow
def test_a_backup_under_load_is_one_moment(settings: Settings, tmp_path: Path) -> None:
    with writing(settings.local):
        done = [backup.back_up(settings, tmp_path / f"backup-{number}") for number in range(3)]
    seen = []
    for number, one in enumerate(done):
        other = Settings(local=tmp_path / "elsewhere" / f".local-{number}")
        backup.restore(other, one.folder)
        assert Workspace(other).ledger.verify() and Workspace(other).store.fsck() == []  # type: ignore[attr-defined]
        counts = counted(other.local)
        seen.append(counts)
        numbers = list(counts.values())
        assert numbers == sorted(numbers, reverse=True) and numbers[0] - numbers[-1] <= 1, counts
    assert seen[0]["files"] < seen[2]["files"], "the writer went on"


@pytest.fixture
def made(settings: Settings, tmp_path: Path) -> Path:
    """A backup of a small installation."""
    _write(str(settings.local), tmp_path / "ready", 2)
    return backup.back_up(settings, tmp_path / "backup").folder


def test_what_is_damaged_or_missing_is_named_and_nothing_is_put_in_place(made: Path, tmp_path: Path) -> None:
    other = Settings(local=tmp_path / "other" / ".local")
    file = made / "local" / "refs" / "m" / "1.json"
    file.write_text("[]")
    with pytest.raises(Corrupt, match=r"1.json is not what was backed up \(sha256 differs\)"):
        backup.restore(other, made)
    file.unlink()
    with pytest.raises(Corrupt, match=r"1.json is missing in the backup"):
        backup.restore(other, made)
    assert not other.local.exists()
    file.write_text("{}")
    assert backup.restore(other, made).files == len(json.loads((made / "manifest.json").read_text())["files"])
    assert counted(other.local) == dict.fromkeys(PARTS, 2)


@pytest.mark.parametrize("name", ["../outside.py", "refs/../../outside.py", "/outside.py"])
def test_a_backup_that_names_files_outside_writes_nothing(made: Path, tmp_path: Path, name: str) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    some = next(iter(manifest["files"].values()))
    manifest["files"] = {name: some, **manifest["files"]}
    (made / "manifest.json").write_text(json.dumps(manifest))
    other = Settings(local=tmp_path / "other" / ".local")
    with pytest.raises(PlatformError, match=r"which is not below \.local; it is not from backup"):
        backup.restore(other, made)
    assert not other.local.parent.exists()


def test_nothing_is_overwritten(settings: Settings, made: Path, tmp_path: Path) -> None:
    before = counted(settings.local)
    with pytest.raises(PlatformError, match=r"is not empty; stop what runs, move it away"):
        backup.restore(settings, made)
    with pytest.raises(PlatformError, match="a backup is a new folder"):
        backup.back_up(settings, made)
    with pytest.raises(PlatformError, match="lies in"):
        backup.back_up(settings, settings.local / "backup")
    with pytest.raises(PlatformError, match="is no backup"):
        backup.restore(Settings(local=tmp_path / "other"), tmp_path)
    assert counted(settings.local) == before


def test_what_lies_elsewhere_is_said(settings: Settings) -> None:
    assert backup.elsewhere(settings) == ()
    away = settings.model_copy(
        update={
            "store": "lakefs",
            "ledger_url": SecretStr("postgresql+psycopg://u@h/l"),
            "mlflow_tracking_uri": SecretStr("http://h"),
        }
    )
    assert [name.partition(" (")[0] for name in backup.elsewhere(away)] == [
        "the dataset store",
        "ledger and references",
        "MLflow",
    ]
