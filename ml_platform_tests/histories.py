"""Dagster instances that keep their history in memory: a run costs a fifth of one that writes SQLite files."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.types import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage


def in_memory(folder: Path) -> dg.DagsterInstance:
    """A persistent instance but for runs and events, which begin with what :func:`keep` wrote to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    instance = dg.DagsterInstance(
        instance_type=InstanceType.EPHEMERAL,
        local_artifact_storage=LocalArtifactStorage(str(folder)),
        run_storage=InMemoryRunStorage(),
        event_storage=InMemoryEventLogStorage(),
        compute_log_manager=NoOpComputeLogManager(),
        run_coordinator=DefaultRunCoordinator(),
        run_launcher=SyncInMemoryRunLauncher(),
        schedule_storage=SqliteScheduleStorage.from_local(str(folder / "schedules")),
    )
    for file, memory in _databases(instance, folder):
        if file.exists():
            with contextlib.closing(sqlite3.connect(file)) as kept:
                kept.backup(memory)
    return instance


def keep(instance: dg.DagsterInstance, folder: Path) -> None:
    """Write runs and events of an instance of :func:`in_memory` to its folder, for others to begin with."""
    for file, memory in _databases(instance, folder):
        with contextlib.closing(sqlite3.connect(file)) as kept:
            memory.backup(kept)


def _databases(instance: dg.DagsterInstance, folder: Path) -> list[tuple[Path, sqlite3.Connection]]:
    storages: dict[str, Any] = {"runs": instance.run_storage, "events": instance.event_log_storage}
    return [
        (folder / f"{name}.db", storage._held_conn.connection.driver_connection) for name, storage in storages.items()
    ]
