"""Databases by SQLAlchemy URL: SQLite on one machine, PostgreSQL by settings; one writer at a time where it matters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made
from ml_platform.foundation.patience import Away, patiently

#: PostgreSQL's code for a right that is missing.
_DENIED = "42501"
#: What PostgreSQL says where it will take connections in a moment.
_PASSING = (
    "starting up",
    "shutting down",
    "recovery",
    "terminating connection",
    "too many clients",
    "remaining connection",
)

P = ParamSpec("P")
T = TypeVar("T")
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
    """Whether a SQLAlchemy URL names a file of SQLite. Raises PlatformError for what is no URL."""
    return _parsed(url).get_backend_name() == "sqlite"


def engines(url: str) -> Engines:
    """Writer and reader of the database at a URL; the folder of a SQLite file is made. Connects when first used.

    Raises PlatformError for a URL that is none, and whenever the database is away or cannot do what is asked.
    """
    parsed = _parsed(url)
    if not is_sqlite(url):
        try:
            return _telling(
                sa.create_engine(parsed, pool_pre_ping=True),
                sa.create_engine(parsed, isolation_level="AUTOCOMMIT", pool_pre_ping=True),
            )
        except (ImportError, exc.ArgumentError) as error:
            raise PlatformError(f"database {_shown(parsed)} cannot be used: {error}; install its driver") from error
    if parsed.database:
        made(Path(parsed.database).parent)
    options: dict[str, Any] = {"connect_args": {"timeout": 60}}
    writer = sa.create_engine(parsed, **options)
    event.listen(writer, "connect", _sqlite_connect)
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    reader = sa.create_engine(parsed, isolation_level="AUTOCOMMIT", **options)
    for engine in (writer, reader):
        event.listen(engine, "connect", _any_text)
    return _telling(writer, reader)


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except exc.ArgumentError:
        # The text itself may hold a password.
        raise PlatformError(
            "the URL of a database (ML_PLATFORM_LEDGER_URL) is none that SQLAlchemy knows; write e.g. "
            "postgresql+psycopg://user@host/ledger"
        ) from None


def _shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _telling(writer: sa.Engine, reader: sa.Engine) -> Engines:
    """The engines, so that a database that is away is told in one line, wherever it is asked."""

    def tell(context: sa.engine.ExceptionContext) -> None:
        found = context.sqlalchemy_exception
        denied = getattr(context.original_exception, "sqlstate", "") == _DENIED
        # SQLite says of a damaged file no more than DatabaseError, whose other kinds are defects.
        if denied or isinstance(found, exc.OperationalError) or type(found) is exc.DatabaseError:
            reason = (str(context.original_exception).strip().splitlines() or ["no reason given"])[0]
            kind = Away if _is_away(context, writer.url, reason) else PlatformError
            raise kind(
                f"database {_shown(writer.url)} does not answer as it should: {reason}; see that it runs and that "
                "this user may use it"
            ) from context.original_exception

    for engine in (writer, reader):
        event.listen(engine, "handle_error", tell)
    return Engines(writer, reader)


def _is_away(context: sa.engine.ExceptionContext, url: sa.URL, reason: str) -> bool:
    """Whether a server is away, or lost the connection: it is where it was, and may be back in a moment."""
    if url.get_backend_name() == "sqlite":
        return False
    # A server that says no, but for one that starts, ends or is full, says so again.
    refuses = "FATAL" in reason and not any(text in reason for text in _PASSING)
    return (context.is_disconnect or context.connection is None) and not refuses


def waiting_for(engine: Callable[..., sa.Engine]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """For a function that may be called again: it is, while the database of ``engine(...)`` is away.

    See :func:`~ml_platform.foundation.patience.patiently`.
    """
    return patiently(lambda *args, **kwargs: f"database {_shown(engine(*args, **kwargs).url)}")


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


def _any_text(connection: Any, _: Any) -> None:
    # Bytes that are no text were put there by another hand: what is read then is not what was written, and is found so.
    connection.text_factory = lambda value: value.decode(errors="replace")


def _sqlite_connect(connection: Any, _: Any) -> None:
    # SQLAlchemy issues BEGIN IMMEDIATE itself (above): pysqlite's own deferred BEGIN would let two
    # processes read the same state and then both write on top of it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
