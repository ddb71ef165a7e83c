"""The ledger's table: its format, and reading it in pages."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.database import exclusive, stored_format
from ml_platform.foundation.provenance import Provenance
from ml_platform.ledger.chain import Broken, Entry
from ml_platform.ledger.entry_text import COLUMNS, Row

#: One writer at a time extends the chain.
LOCK = "mlpl"
#: 1: without signatures, and without a note of the format. 2: with them. 3: verdicts and overrides name their context.
FORMAT = 3
_PAGE = 5000
#: Sequence of the first entry.
FIRST = 1

_tables = sa.MetaData()
table = sa.Table(
    "ml_platform_ledger",
    _tables,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(80), nullable=False, index=True),
    sa.Column("subject_name", sa.String(400), nullable=False, index=True),
    sa.Column("gate", sa.String(120), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("signature", sa.String(200), nullable=True),
)
_SIGNATURE = table.c.signature


def prepare(connection: sa.Connection) -> None:
    """Make the table, or take one of an earlier release over in place. Raises PlatformError for one of a later."""
    exclusive(connection, LOCK)
    if stored_format(connection, table.name, FORMAT) < FORMAT:
        inspector = sa.inspect(connection)
        if inspector.has_table(table.name):
            if _SIGNATURE.name not in {column["name"] for column in inspector.get_columns(table.name)}:
                kind = _SIGNATURE.type.compile(connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {_SIGNATURE.name} {kind}"))
        else:
            _tables.create_all(connection)


def require_as_declared(connection: sa.Connection) -> None:
    """Raise Broken where columns, keys, indexes or triggers of the table are not those that it was made with.

    Without them a number could be given twice, and an index that leaves rows out hides them.
    """
    inspector = sa.inspect(connection)
    # One that is not there only costs time.
    own = {str(index.name): (tuple(index.columns.keys()), index.unique) for index in table.indexes}
    foreign = [
        index["name"]
        for index in inspector.get_indexes(table.name)
        if "duplicates_constraint" not in index
        and own.get(str(index["name"])) != (tuple(index["column_names"]), bool(index["unique"]))
    ]
    found: dict[str, Any] = {
        "columns": {column["name"] for column in inspector.get_columns(table.name)},
        "primary key": tuple(inspector.get_pk_constraint(table.name)["constrained_columns"]),
        "unique columns": [tuple(one["column_names"]) for one in inspector.get_unique_constraints(table.name)],
        "indexes": foreign,
    }
    declared: dict[str, Any] = {
        "columns": {column.name for column in table.columns},
        "primary key": (table.c.sequence.name,),
        "unique columns": [(table.c.hash.name,)],
        "indexes": [],
    }
    if connection.dialect.name == "sqlite":
        # SQLite takes the name of a table in any case.
        query = sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = :table")
        found["triggers"] = list(connection.execute(query, {"table": table.name}).scalars())
        declared["triggers"] = []
    elif connection.dialect.name == "postgresql":
        query = sa.text(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal "
            "UNION ALL SELECT rulename FROM pg_rewrite WHERE ev_class = CAST(:table AS regclass) "
            "UNION ALL SELECT polname FROM pg_policy WHERE polrelid = CAST(:table AS regclass)"
        )
        found["triggers, rules and policies"] = list(connection.execute(query, {"table": table.name}).scalars())
        declared["triggers, rules and policies"] = []
    for what, wanted in declared.items():
        if found[what] != wanted:
            raise Broken(
                f"ledger: the {what} of its table {table.name} changed in the database; restore it from a backup"
            )


def damaged(connection: sa.Connection) -> str:
    """What the database itself finds wrong with its file, so also with its indexes; empty where nothing or not SQLite.

    Looks at every row.
    """
    if connection.dialect.name != "sqlite":
        return ""
    found = str(connection.execute(sa.text("PRAGMA integrity_check(1)")).scalar())
    return "" if found == "ok" else " ".join(found.split())


def last(connection: sa.Connection) -> Any:
    """The newest row; None where there is none."""
    return connection.execute(sa.select(table).order_by(table.c.sequence.desc()).limit(1)).mappings().first()


def newest_moment(connection: sa.Connection) -> str | None:
    """The latest time that any entry says it was written at, ISO; None where there is none."""
    return connection.execute(sa.select(sa.func.max(table.c.at))).scalar()


def pages(connection: sa.Connection, first: int = FIRST) -> Iterator[Sequence[Row]]:
    """Rows from a sequence on, in order, a few thousand at a time; before them those that stand before the first entry,
    where nobody of the platform writes any."""
    columns = [table.c[name] for name in COLUMNS]
    # Two searches by the key: one condition with `or` would read every row.
    before = sa.select(*columns).where(table.c.sequence < FIRST)
    while True:
        rest = sa.select(*columns).where(table.c.sequence >= first)
        query = sa.union_all(before, rest).order_by("sequence").limit(_PAGE)
        with connection.execute(query) as result:
            assert result.cursor is not None
            # Past SQLAlchemy's rows, which take as long as the database does.
            rows: Sequence[Row] = result.cursor.fetchall()
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        first = rows[-1][0] + 1


def entry_of(row: Any) -> Entry:
    """A row as an entry. Raises Broken for one that is none."""
    try:
        fields: dict[str, Any] = {
            **row,
            "at": datetime.fromisoformat(row["at"]).astimezone(UTC),
            "body": json.loads(row["body"]),
            "provenance": Provenance.model_validate_json(row["provenance"]),
        }
    except (TypeError, ValueError) as error:
        raise Broken(
            f"ledger: entry {row['sequence']} was changed after it was written; see ml-platform ledger verify"
        ) from error
    return Entry(**fields)
