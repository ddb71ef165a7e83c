"""What is made once for all processes of a session."""

import contextlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_platform.registry.tracking import Tracking
from ml_platform_tests.moving import left_behind
from ml_platform_tests.prepared import once


def test_all_processes_get_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        folder.mkdir()
        (folder / "path.txt").write_text(f"{folder}/file")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: once(tmp_path / f"gw{number}", "state", make), range(4)))
    assert len(made) == 1 and found == [tmp_path / "state"] * 4
    assert (found[0] / "path.txt").read_text() == f"{found[0]}/file"
    assert left_behind(found[0], str(made[0])) == []

    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    assert once(tmp_path / "alone", "state", make) == tmp_path / "alone" / "state"
    assert len(made) == 2


def test_a_database_that_its_maker_keeps_open_is_whole(tmp_path: Path) -> None:
    opened: list[sqlite3.Connection] = []

    def make(folder: Path) -> None:
        folder.mkdir()
        opened.append(sqlite3.connect(folder / "some.db"))
        opened[0].execute("PRAGMA journal_mode=WAL")
        opened[0].execute("CREATE TABLE names (name TEXT)")
        opened[0].execute("INSERT INTO names VALUES (?)", (f"{folder}/file",))
        opened[0].commit()

    folder = once(tmp_path / "own", "state", make)
    assert os.listdir(folder) == ["some.db"]
    with sqlite3.connect(folder / "some.db") as copy:
        assert copy.execute("SELECT name FROM names").fetchall() == [(f"{folder}/file",)]
    copy.close()
    opened[0].close()


def test_what_failed_half_way_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise RuntimeError("killed")

    def make(folder: Path) -> None:
        folder.mkdir()

    with pytest.raises(RuntimeError, match="killed"):
        once(tmp_path / "own", "state", fail)
    assert os.listdir(once(tmp_path / "own", "state", make)) == []


def test_the_copied_tables_of_mlflow_lead_to_the_artifacts_of_their_own_store(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    assert tracking.client.get_experiment("0").artifact_location == (tmp_path / "artifacts" / "0").as_uri()
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
