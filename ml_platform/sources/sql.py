"""Batches from a SQL query, one partition at a time, fetched in chunks."""

import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.sources.columns import conform, environment, with_days
from ml_platform.sources.context import SourceContext
from ml_platform.sources.source_rule import ENV, Found, SourceRule

if TYPE_CHECKING:
    import polars as pl
    import sqlalchemy as sa

#: Beginnings of addresses of databases.
_DATABASE = re.compile(r"(sqlite|postgres(ql)?|mysql|mariadb|mssql|oracle|duckdb|snowflake|bigquery)(\+\w+)?://")


class SqlSource(SourceRule):
    """Rows of a SQL query between two days: the parameters ``:start`` and ``:end`` (exclusive) are ISO dates, of hours
    datetimes in UTC without a time zone. Without partitions it is one query, and has no parameters.

    ``{kind: sql, url_env: SALES_URL, query: "select * from sales where day >= :start and day < :end",
    fingerprint: "count(*), max(updated_at)"}``
    """

    kind: Literal["sql"]
    #: Environment variable that holds the SQLAlchemy URL.
    url_env: str = Field(pattern=ENV)
    #: One statement; ``:start`` and ``:end`` (exclusive) are the days of the partition, or its hour in UTC.
    query: str = Field(min_length=1)
    #: What says that a partition changed: ``content`` reads all of it; anything else is a SQL expression over
    #: the query's rows (quick, and as good as the expression is).
    fingerprint: str = Field(min_length=1)
    #: Columns to add with the day of a timestamp: ``{day: picked_up_at}``.
    days: dict[str, str] = Field({})
    #: Rows that are fetched at once.
    chunk_rows: int = Field(50_000, ge=1)

    @field_validator("query")
    @classmethod
    def _one_statement(cls, value: str) -> str:
        return value.rstrip().rstrip(";")

    @property
    def unbound(self) -> list[str]:
        """Those of the two parameters that the query lacks."""
        return [name for name in (":start", ":end") if not re.search(rf"(?<!:){name}\b", self.query)]

    @classmethod
    def find(cls, where: str, root: Path, url_env: str = "") -> Found | None:
        """A table (``sales``, ``shop.sales``) or a query in the database whose URL is in ``url_env``.

        Raises PlatformError where the variable is not set or holds no address, and for the address itself, which may
        hold a password.
        """
        if not url_env:
            if _DATABASE.match(where):
                raise PlatformError(
                    f"{where.partition(':')[0]}://…: is the address of a database; put it into a variable and name "
                    "that beside the table: SALES_URL=… ml-platform new TABLE --url-env SALES_URL"
                )
            return None
        import sqlalchemy as sa
        from sqlalchemy.exc import ArgumentError

        try:
            quote = sa.make_url(environment(url_env, "--url-env")).get_dialect()().identifier_preparer.quote
        except (ArgumentError, ImportError) as error:
            raise PlatformError(f"--url-env: {url_env} is no usable address ({type(error).__name__})") from None
        query = bool(re.match(r"\s*(select|with)\b", where, re.IGNORECASE))
        if not query and not re.fullmatch(r"\w+(\.\w+)?", where):
            raise PlatformError(f"{where}: give the name of a table, or a query that begins with select")
        rows = f"({where.strip().rstrip(';')}) as given" if query else ".".join(map(quote, where.split(".")))
        declared = {"kind": "sql", "url_env": url_env, "query": f"select * from {rows}", "fingerprint": "content"}

        def partitioned(time: str) -> dict[str, Any]:
            return {"query": f"{declared['query']} where {quote(time)} >= :start and {quote(time)} < :end"}

        name = "query" if query else where.rpartition(".")[2]
        said = f"{name} in the database of {url_env}"
        return Found(cls.model_validate(declared), name, declared, said, partitioned)

    def open(self, context: SourceContext) -> "QuerySource":
        """The rows of the query. Raises DeclarationError where it lacks a parameter that partitions need."""
        if context.partitions.timed and self.unbound:
            raise DeclarationError(
                f"source: the query needs the parameter {self.unbound[0]}: it is asked for one partition at a time"
            )
        return QuerySource(self, context)


class QuerySource:
    """Rows of a query with the parameters ``:start`` and ``:end``, sorted by the dataset's key."""

    def __init__(self, rule: SqlSource, context: SourceContext) -> None:
        self.rule, self.context = rule, context

    def partitions(self) -> dict[str, str]:
        """Partitions whose time has ended and that have rows."""
        keys = self.context.partitions.keys(self.context.now())
        with self._connected() as connection:
            found = {key: self._fingerprint(connection, key) for key in keys}
        return {key: value for key, value in found.items() if value}

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of a partition. Raises MissingReference where there is none, PlatformError where SQL fails."""
        with self._connected() as connection:
            frame = self._rows(connection, partition)
        if not frame.height:
            raise MissingReference(f"{self.context.name}: the query has no row for partition {partition}")
        return frame

    def _fingerprint(self, connection: "sa.Connection", partition: str) -> str:
        """Empty where the partition has no row."""
        import sqlalchemy as sa

        if self.rule.fingerprint == "content":
            from ml_platform.foundation.parquet import write_frame

            frame = self._rows(connection, partition)
            with tempfile.TemporaryDirectory(prefix="source-") as folder:
                return write_frame(frame, Path(folder) / "rows.parquet") if frame.height else ""
        # The declaration is the user's own SQL, as the query is; only the two days are values.
        text = f"select count(*) as n_rows, {self.rule.fingerprint} from ({self.rule.query}) as batch"
        row = connection.execute(sa.text(text), self._bounds(partition)).one()
        return sha256_bytes(canonical_json([str(value) for value in row])) if row[0] else ""

    def _rows(self, connection: "sa.Connection", partition: str) -> "pl.DataFrame":
        import polars as pl
        import sqlalchemy as sa

        types = self.context.types()
        streaming = connection.execution_options(stream_results=True)
        result = streaming.execute(sa.text(self.rule.query), self._bounds(partition))
        names = list(result.keys())
        chunks = [
            conform(pl.DataFrame([tuple(row) for row in rows], names, orient="row", infer_schema_length=None), types)
            for rows in result.partitions(self.rule.chunk_rows)
        ]
        if not chunks:
            return conform(pl.DataFrame(schema=dict.fromkeys(names, pl.Null)), types)
        frame = pl.concat(chunks, how="vertical_relaxed")
        # A database returns rows in any order; the same rows have to be the same content.
        first = [name for name in self.context.key if name in names]
        ordered = frame.sort([*first, *(name for name in names if name not in first)], nulls_last=True)
        return with_days(ordered, self.rule.days)

    def _bounds(self, partition: str) -> dict[str, Any]:
        if not self.context.partitions.timed:
            return {}
        start, end = self.context.partitions.window(partition)
        if isinstance(start, datetime) and isinstance(end, datetime):
            # Databases compare times with and without a zone by rules of their own.
            start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
        return {"start": start, "end": end}

    @contextmanager
    def _connected(self) -> "Generator[sa.Connection]":
        """A connection for the block; any failure is one line without the URL, which may hold a password."""
        import sqlalchemy as sa
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        url = environment(self.rule.url_env, f"{self.context.name}: source.url_env")
        try:
            engine = sa.create_engine(url)
        except (ArgumentError, ImportError) as error:
            reason = str(error).replace(url, "…").splitlines()[0]
            raise PlatformError(f"{self.context.name}: {self.rule.url_env} is no usable address ({reason})") from None
        try:
            with engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise PlatformError(
                f"{self.context.name}: the database of {self.rule.url_env} refused ({reason[:300]})"
            ) from None
        finally:
            engine.dispose()
