"""Dagster's SQLite storage, whose event log keeps its files open: a run over a year writes a thousand events.

Dagster opens and closes a file for each statement. The last connection that closes carries the write-ahead log over and
syncs it: three times for each verdict.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from ml_platform.orchestration.dagster_internals import sqlite_storages

_STORAGE, _EVENT_LOG, INDEX, _CONNECTING = sqlite_storages()


class EventLog(_EVENT_LOG):
    """Dagster's event log; the files of all runs and of the run that was used last stay open."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._open: dict[str, sa.Engine] = {}
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Generator[sa.Connection]:
        """A transaction on the file of a run, or on that of all runs; one at a time."""
        with self._db_lock:
            if shard not in self._open:
                for other in self._open.keys() - {INDEX}:
                    self._open.pop(other).dispose()
                self._open[shard] = sa.create_engine(
                    self.conn_string_for_shard(shard), poolclass=sa.QueuePool, pool_size=1, connect_args=_CONNECTING
                )
            engine = self._open[shard]
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def store_event(self, event: Any) -> None:
        """Store an event."""
        super().store_event(event)
        # Whoever shows a run while it goes on watches its file, and what is written stands in the one beside it.
        os.utime(self.path_for_shard(event.run_id))

    def wipe(self) -> None:
        """Remove all events."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            while self._open:
                self._open.popitem()[1].dispose()


class Storage(_STORAGE):
    """Dagster's SQLite storage with this event log: where nothing else is named in ``dagster.yaml``."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(str(Path(self._event_log_storage.path_for_shard(INDEX)).parent))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """The storage that an instance names."""
        return cls.from_local(inst_data=inst_data, **config_value)
