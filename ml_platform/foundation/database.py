"""Databases by SQLAlchemy URL: SQLite on one machine, PostgreSQL by settings; one writer at a time where it matters."""

from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event

from ml_platform.foundation.errors import PlatformError

_formats = sa.Table(
    "ml_platform_formats",
    sa.MetaData(),
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)


class Engines(NamedTuple):
    """Two ways into one database."""

    #: Its transactions hold SQLite's write lock from their first statement on.
    writer: sa.Engine
    #: Reads without a transaction, so never waits for a writer.
    reader: sa.Engine


def is_sqlite(url: str) -> bool:
    """Whether a SQLAlchemy URL names a file of SQLite."""
    return sa.make_url(url).get_backend_name() == "sqlite"


def engines(url: str) -> Engines:
    """Writer and reader of the database at a URL; the folder of a SQLite file is made. Connects when first used."""
    parsed = sa.make_url(url)
    if not is_sqlite(url):
        return Engines(
            sa.create_engine(parsed, pool_pre_ping=True),
            sa.create_engine(parsed, isolation_level="AUTOCOMMIT", pool_pre_ping=True),
        )
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"connect_args": {"timeout": 60}}
    writer = sa.create_engine(parsed, **options)
    event.listen(writer, "connect", _sqlite_connect)
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return Engines(writer, sa.create_engine(parsed, isolation_level="AUTOCOMMIT", **options))


def exclusive(connection: sa.Connection, name: str) -> None:
    """Let no other transaction of a writer be in here under ``name`` (at most 7 letters) until this one ends."""
    # SQLite has its one write lock already.
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": int.from_bytes(name.encode(), "big")})


def stored_format(connection: sa.Connection, name: str, number: int) -> int:
    """Format in which ``name`` was stored so far, 0 where none is noted; ``number`` is noted from now on.

    To be called under :func:`exclusive`. Raises PlatformError for a format of a later release.
    """
    _formats.create(connection, checkfirst=True)
    found = connection.execute(sa.select(_formats.c.number).where(_formats.c.name == name)).scalar()
    if found is None:
        connection.execute(_formats.insert().values(name=name, number=number))
    elif found > number:
        raise PlatformError(
            f"{name}: stored in format {found}, this release reads up to {number}; install the release that wrote it"
        )
    elif found < number:
        connection.execute(_formats.update().where(_formats.c.name == name).values(number=number))
    return found or 0


def _sqlite_connect(connection: Any, _: Any) -> None:
    # SQLAlchemy issues BEGIN IMMEDIATE itself (above): pysqlite's own deferred BEGIN would let two
    # processes read the same state and then both write on top of it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
