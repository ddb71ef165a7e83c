"""The event log in SQLite: its files stay open, and others see every event at once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import DagsterInstance
from dagster._core.events import AssetObservationData, DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy.exc import OperationalError

from ml_platform.foundation.settings import Settings
from ml_platform.orchestration.event_log import EventLog
from ml_platform_tests.conftest import ROOT

KEY = dg.AssetKey(["flights", "batch"])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """An empty event log."""
    log = EventLog(str(tmp_path / "log"))
    yield log
    log.dispose()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files to which connections were opened, by name."""
    names: list[str] = []

    def connect(path: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(Path(path).name)
        return real(path, *args, **kwargs)

    real = dbapi2.connect
    monkeypatch.setattr(dbapi2, "connect", connect)
    return names


def entry(run: str, kind: DagsterEventType, about: Any, step: str = "batch") -> EventLogEntry:
    event = DagsterEvent(event_type_value=kind.value, job_name="job", event_specific_data=about, step_key=step)
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run,
        timestamp=time.time(),
        step_key=step,
        job_name="job",
        dagster_event=event,
    )


def observed(run: str, partition: str) -> EventLogEntry:
    observation = dg.AssetObservation(asset_key=KEY, partition=partition)
    return entry(run, DagsterEventType.ASSET_OBSERVATION, AssetObservationData(observation))


def test_a_file_is_opened_once_however_many_events_are_written(log: EventLog, opened: list[str]) -> None:
    log.store_event(observed("one", "2024-01-01"))
    assert "one.db" in opened
    opened.clear()
    for day in range(2, 12):
        log.store_event(observed("one", f"2024-01-{day:02d}"))
    assert opened == []
    assert len(log.get_logs_for_run("one")) == 11


def test_other_processes_see_each_event_at_once(log: EventLog, tmp_path: Path) -> None:
    log.store_event(observed("one", "2024-01-01"))
    # Dagster's own class reads the same files, and may write to them.
    other = SqliteEventLogStorage(str(tmp_path / "log"))
    assert len(other.get_logs_for_run("one")) == 1
    other.store_event(observed("one", "2024-01-02"))
    log.store_event(observed("one", "2024-01-03"))
    for reader in (log, other):
        assert [found.dagster_event.partition for found in reader.get_logs_for_run("one") if found.dagster_event] == [
            "2024-01-01",
            "2024-01-02",
            "2024-01-03",
        ]


def test_who_watches_a_run_is_told_of_each_event(log: EventLog, tmp_path: Path) -> None:
    log.store_event(observed("one", "2024-01-01"))
    seen, told = [], threading.Event()

    def note(event: EventLogEntry, _: str) -> None:
        seen.append(event)
        if len(seen) == 3:
            told.set()

    watching = SqliteEventLogStorage(str(tmp_path / "log"))
    watching.watch("one", None, note)
    try:
        for day in (2, 3):
            log.store_event(observed("one", f"2024-01-{day:02d}"))
        assert told.wait(10)
    finally:
        watching.end_watch("one", note)
        watching.dispose()


def test_of_all_runs_only_the_last_stays_open_and_none_in_the_end(log: EventLog, tmp_path: Path) -> None:
    for run in ("one", "two", "three"):
        log.store_event(observed(run, "2024-01-01"))
    # Beside a file that is open stands its write-ahead log.
    assert {file.stem for file in (tmp_path / "log").glob("*.db-wal")} == {"index", "three"}
    assert len(log.get_logs_for_run("one")) == 1
    log.dispose()
    assert not list((tmp_path / "log").glob("*.db-wal"))
    assert len(log.get_logs_for_run("two")) == 1


def test_after_everything_was_removed_events_are_written_anew(log: EventLog) -> None:
    log.store_event(observed("one", "2024-01-01"))
    log.wipe()
    assert log.get_logs_for_run("one") == []
    log.store_event(observed("one", "2024-01-02"))
    assert len(log.get_logs_for_run("one")) == 1


def test_a_failed_transaction_leaves_nothing(log: EventLog) -> None:
    log.store_event(observed("one", "2024-01-01"))
    with pytest.raises(OperationalError), log.index_connection() as connection:
        connection.execute(sa.text("DELETE FROM event_logs"))
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    with log.index_connection() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM event_logs")).scalar() == 1


def test_the_instance_of_the_project_has_it_in_every_process(settings: Settings) -> None:
    reference = InstanceRef.from_dir(str(ROOT))
    with DagsterInstance.from_ref(reference) as instance:
        assert isinstance(instance.event_log_storage, EventLog)
        assert Path(instance.event_log_storage.path_for_shard("one")).is_relative_to(settings.local / "dagster")
