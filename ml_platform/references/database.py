"""References in a database that several machines share."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.database import engines, exclusive, stored_format, waiting_for
from ml_platform.references.files import FileReferences
from ml_platform.references.references import missing
from ml_platform.references.refs import Ref, read, written

_LOCK = "mlpr"
FORMAT = 1

_tables = sa.MetaData()
_refs = sa.Table(
    "ml_platform_references",
    _tables,
    sa.Column("asset", sa.String(400), primary_key=True),
    sa.Column("partition", sa.String(120), primary_key=True),
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("latest", sa.Boolean, nullable=False),
)


#: Each of these may be done again, where the answer to the first time was lost.
_waiting = waiting_for(lambda references, *_, **__: references._engine)


class DatabaseReferences:
    """References at a SQLAlchemy URL (see :class:`~ml_platform.references.references.References`).

    Those in the folder ``files`` are taken over when the table is made, in the same transaction, and never looked at
    again: one that was forgotten here would come back. Raises PlatformError for a table of a later release.
    """

    def __init__(self, url: str, files: Path | None = None) -> None:
        self._engine, self._reader = engines(url)
        self._prepare(files)

    @_waiting
    def _prepare(self, files: Path | None) -> None:
        with self._engine.begin() as connection:
            exclusive(connection, _LOCK)
            if stored_format(connection, _refs.name, FORMAT) == 0:
                _tables.create_all(connection)
                rows = [item._asdict() for item in FileReferences(files).kept()] if files else []
                if rows:
                    texts = [{**row, "body": row.pop("text")} for row in rows]
                    connection.execute(_refs.insert(), texts)

    @_waiting
    def save(self, asset: str, partition: str, ref: Ref) -> None:
        """Keep a reference under its run and as the latest one, in one transaction."""
        here, text = (_refs.c.asset == asset) & (_refs.c.partition == partition), written(ref)
        with self._engine.begin() as connection:
            exclusive(connection, _LOCK)
            connection.execute(_refs.delete().where(here, _refs.c.run_id == ref.run_id))
            connection.execute(_refs.update().where(here, _refs.c.latest).values(latest=False))
            row = {"asset": asset, "partition": partition, "run_id": ref.run_id, "body": text}
            connection.execute(_refs.insert().values(**row, latest=True))

    @_waiting
    def load(self, asset: str, partition: str = "", run_id: str = "") -> Any:
        """The reference of a run where it made one, else the latest. Raises MissingReference."""
        query = (
            sa.select(_refs.c.body)
            .where(_refs.c.asset == asset, _refs.c.partition == partition)
            .where((_refs.c.run_id == run_id) | _refs.c.latest)
            .order_by(sa.case((_refs.c.run_id == run_id, 0), else_=1))
            .limit(1)
        )
        with self._reader.connect() as connection:
            text = connection.execute(query).scalar()
        if text is None:
            raise missing(asset, partition)
        return read(text, f"{asset} {partition}".strip())

    def all(self, asset: str) -> dict[str, Any]:
        """Partition to its latest reference."""
        return {partition: read(text, f"{asset} {partition}") for partition, text in self._latest(asset)}

    def partitions(self, asset: str) -> list[str]:
        """Partitions that have a latest reference, sorted."""
        return [partition for partition, _ in self._latest(asset)]

    @_waiting
    def of_run(self, asset: str, partition: str, run_id: str) -> bool:
        """Whether that run made a reference."""
        here = (_refs.c.asset == asset) & (_refs.c.partition == partition) & (_refs.c.run_id == run_id)
        with self._reader.connect() as connection:
            return connection.execute(sa.select(_refs.c.run_id).where(here)).first() is not None

    @_waiting
    def forget(self, asset: str, partition: str) -> None:
        """Let no reference be the latest."""
        here = (_refs.c.asset == asset) & (_refs.c.partition == partition)
        with self._engine.begin() as connection:
            exclusive(connection, _LOCK)
            connection.execute(_refs.update().where(here, _refs.c.latest).values(latest=False))

    @_waiting
    def _latest(self, asset: str) -> list[tuple[str, str]]:
        query = sa.select(_refs.c.partition, _refs.c.body).where(
            _refs.c.asset == asset, _refs.c.partition != "", _refs.c.latest
        )
        with self._reader.connect() as connection:
            # Sorted here: the database's collation may have another order.
            return sorted((row.partition, row.body) for row in connection.execute(query))
