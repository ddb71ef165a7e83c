"""Dagster's PostgreSQL storage for servers that restart: what lost its connection is asked again, and written once.

Dagster asks again only for a connection. A statement that loses it fails the step or the run that wrote its events.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import sqlalchemy as sa
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import exc

from ml_platform.foundation.database import exclusive
from ml_platform.foundation.patience import COMMAND_SECONDS, Away, patiently, waiting
from ml_platform.foundation.settings import read_settings

#: First words of methods that end or change a storage, and of one that would begin a tick twice; all others can be
#: called again.
_NOT_AGAIN = ("create_tick", "dispose", "end_watch", "migrate", "optimize", "upgrade", "watch", "wipe")
#: Methods that give connections.
_CONNECTIONS = ("connect", "index_connection", "index_transaction", "run_connection")


class _Held(threading.local):
    """The connection whose transaction everything in this thread belongs to."""

    connection: sa.Connection | None = None
    #: Whether what is asked was asked before, without an answer.
    again = False


class _Patient:
    """For a storage of Dagster's: its connections come from here."""

    _engine: sa.Engine

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.held = _Held()
        # Who runs steps waits as they do; a page that waits shows nothing.
        self.seconds = float(read_settings().patience_seconds)
        super().__init__(*args, **kwargs)

    @property
    def where(self) -> str:
        """What is waited for."""
        return f"Dagster's database {self._engine.url.render_as_string(hide_password=True)}"

    @contextmanager
    def connect(self, run_id: str | None = None) -> Generator[sa.Connection]:
        """A connection; within :meth:`whole`, that of its transaction."""
        if self.held.connection is not None:
            yield self.held.connection
        else:
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def whole(self) -> Generator[sa.Connection]:
        """Let everything that this thread writes within the block be there, or nothing of it."""
        with self._engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            self.held.connection = connection
            try:
                yield connection
            finally:
                self.held.connection = None

    def optimize_for_webserver(self, *args: Any, **kwargs: Any) -> None:
        """As Dagster's; the page does not wait as steps do."""
        self.seconds = COMMAND_SECONDS
        super().optimize_for_webserver(*args, **kwargs)  # type: ignore[misc]


def _asked_again(method: Callable[..., Any]) -> Callable[..., Any]:
    @patiently(lambda storage, *_, **__: storage.where)
    @functools.wraps(method)
    def once(storage: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(storage, *args, **kwargs)
        except exc.DBAPIError as error:
            # Without a connection, or with one that was lost.
            if error.connection_invalidated or (isinstance(error, exc.OperationalError) and error.statement is None):
                storage.held.again = True
                reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
                raise Away(f"{storage.where} is away: {reason}; see that it runs") from error
            raise

    @functools.wraps(method)
    def again(storage: Any, *args: Any, **kwargs: Any) -> Any:
        if storage.held.connection is not None:
            return method(storage, *args, **kwargs)
        storage.held.again = False
        with waiting(storage.seconds):
            return once(storage, *args, **kwargs)

    return again


def _patient(storage: type) -> type:
    """A class of storage, all of whose methods ask again."""
    for name, method in inspect.getmembers(storage, inspect.isfunction):
        static = isinstance(inspect.getattr_static(storage, name), (staticmethod, classmethod))
        if not (static or name.startswith(("_", *_NOT_AGAIN)) or name in (*_CONNECTIONS, *vars(_Patient))):
            setattr(storage, name, _asked_again(method))
    return storage


@_patient
class EventLog(_Patient, PostgresEventLogStorage):
    """Dagster's event log: an event is there with all that belongs to it, once, or not at all."""

    def _connect(self) -> Any:
        return self.connect()

    def store_event(self, event: Any) -> None:
        """Store an event."""
        with self._writing(event) as new:
            if new:
                super().store_event(event)

    def store_event_batch(self, events: Sequence[Any]) -> None:
        """Store events."""
        with self._writing(*events[:1]) as new:
            if new:
                super().store_event_batch(events)

    @contextmanager
    def _writing(self, *first: Any) -> Generator[bool]:
        """A transaction for events; whether the first of them is not there yet."""
        if self.held.connection is not None:
            yield True
            return
        with self.whole() as connection:
            # Numbers are given before a transaction ends: who follows the newest must not miss a smaller one that
            # comes after it.
            exclusive(connection, "events")
            # The server may have stored them, and gone before it said so.
            yield not (self.held.again and any(self._is_stored(connection, event) for event in first))

    def _is_stored(self, connection: sa.Connection, event: Any) -> bool:
        row = self.prepare_insert_event(event)
        table, values = row.table, row.compile().params
        same = (table.c.run_id == values["run_id"]) & (table.c.event == values["event"])
        return connection.execute(sa.select(table.c.id).where(same).limit(1)).first() is not None


@_patient
class RunStorage(_Patient, PostgresRunStorage):
    """Dagster's record of runs: a run and its tags are there together."""

    def add_run(self, dagster_run: Any) -> Any:
        """Add a run."""
        with self.whole():
            if self.held.again and self.has_run(dagster_run.run_id):
                return dagster_run
            return super().add_run(dagster_run)

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run."""
        with self.whole():
            super().add_run_tags(run_id, new_tags)

    def handle_run_event(self, run_id: str, event: Any, update_timestamp: Any = None) -> None:
        """Carry the event of a run over to its status."""
        with self.whole():
            super().handle_run_event(run_id, event, update_timestamp)


@_patient
class ScheduleStorage(_Patient, PostgresScheduleStorage):
    """Dagster's record of sensors and schedules."""


class Storage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage of these three."""

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: Any = None) -> None:
        self.postgres_url = postgres_url
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        self._event_log_storage = EventLog(postgres_url, should_autocreate_tables)
        self._run_storage = RunStorage(postgres_url, should_autocreate_tables)
        self._schedule_storage = ScheduleStorage(postgres_url, should_autocreate_tables)
        # Not Dagster's own, which would make its three as well.
        super(DagsterPostgresStorage, self).__init__()

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """The storage that an instance names."""
        return cls(pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data)
