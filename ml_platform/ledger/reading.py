"""Rows of the ledger: those that the verified chain holds, each recomputed; or as they are stored, for people."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.database import waiting_for
from ml_platform.ledger.chain import Broken, Chain, Entry
from ml_platform.ledger.entry_text import digest
from ml_platform.ledger.table import entry_of, table

_AT_ONCE = 1000  # rows in one query: every database takes that many parameters


@waiting_for(lambda reader, *_, **__: reader)
def held(reader: sa.Engine, chain: Chain, sequences: Iterable[int]) -> list[Any]:
    """The rows with these numbers, in order. Raises Broken unless each is there once, as the chain holds it.

    Which rows those are is for the chain to say: an index of the database can be made to leave some out.
    """
    wanted = sorted(set(sequences))
    rows: list[Any] = []
    with reader.connect() as connection:
        for start in range(0, len(wanted), _AT_ONCE):
            query = sa.select(table).where(table.c.sequence.in_(wanted[start : start + _AT_ONCE]))
            rows.extend(connection.execute(query.order_by(table.c.sequence)).mappings())
    found = [row["sequence"] for row in rows if digest(row) == row["hash"] == chain.at(row["sequence"])]
    if found != wanted or len(rows) != len(wanted):
        there = Counter(row["sequence"] for row in rows)
        wrong = next(number for number in wanted if there[number] != 1 or number not in found)
        raise Broken(f"ledger: entry {wrong} was changed or removed; see ml-platform ledger verify")
    return rows


@waiting_for(lambda reader, **_: reader)
def stored(
    reader: sa.Engine,
    *,
    subject: str | None = None,
    subject_name: str | None = None,
    prefix: str | None = None,
    kind: str | None = None,
    newest: int | None = None,
) -> list[Entry]:
    """Entries in order, whatever became of them.

    ``subject``, ``subject_name`` and ``kind`` choose them, ``prefix`` those whose subject's name begins so; ``newest``
    keeps the last N.
    """
    query = sa.select(table)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if subject_name is not None:
        query = query.where(table.c.subject_name == subject_name)
    if prefix is not None:
        # Not LIKE: it takes _ and % for other characters, and on SQLite a letter for its capital.
        query = query.where(sa.func.substr(table.c.subject_name, 1, len(prefix)) == prefix)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if newest is not None:
        query = query.order_by(table.c.sequence.desc()).limit(newest)
    else:
        query = query.order_by(table.c.sequence)
    with reader.connect() as connection:
        rows = connection.execute(query).mappings().all()
    found = [entry_of(row) for row in rows]
    return found[::-1] if newest is not None else found
