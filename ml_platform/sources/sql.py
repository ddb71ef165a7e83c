"""Batches from a SQL query, one partition at a time, fetched in chunks."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.sources.columns import conform, environment, with_days
from ml_platform.sources.context import SourceContext
from ml_platform.sources.rules import SqlSource

if TYPE_CHECKING:
    import polars as pl
    import sqlalchemy as sa


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
