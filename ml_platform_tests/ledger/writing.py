"""Ledgers for tests: verdicts to write, keys, and a hand in the database."""

import base64
import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ml_platform.foundation.provenance import Provenance
from ml_platform.gates import every_kind  # noqa: F401 - registers the kinds
from ml_platform.gates.gate import Gate, Status, Verdict
from ml_platform.ledger.chain import GENESIS, Anchor
from ml_platform.ledger.entry_text import digest
from ml_platform.ledger.ledger import Ledger

HERE = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")
CONTEXT = "a schema, a threshold"
RULES, ROWS = Gate(gate="rules", max=0).within(CONTEXT), Gate(gate="duplicates", max=0).within(CONTEXT)
ONE, TWO = "1" * 64, "2" * 64
MARCH = "flights/batch/2013-03-01"


def private(number: int) -> str:
    """A private key: 32 bytes in base64."""
    return base64.b64encode(bytes([number]) * 32).decode()


def public(number: int) -> str:
    """Its public half."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()


def verdict(gate: Gate = RULES, *, subject: str = ONE, name: str = MARCH, status: Status = "passed") -> Verdict:
    """A verdict whose observed value fits its status."""
    return Verdict(
        gate=gate.name,
        stage=gate.stage,
        subject=subject,
        subject_name=name,
        status=status,
        blocking=gate.blocking,
        observed=0.0 if status == "passed" else 1.0,
        threshold=gate.threshold,
        declaration=gate.declaration,
        reason="because",
        context=gate.context,
    )


def write(ledger: Ledger, *verdicts: Verdict, run_id: str = "run", provenance: Provenance = HERE) -> int:
    """Record verdicts."""
    return ledger.record(verdicts, run_id=run_id, provenance=provenance)


@dataclass
class Notes:
    """A place outside the ledger that notes its head, as merges and versions do."""

    kept: list[Anchor] = field(default_factory=list)

    def __call__(self, owners: Collection[str]) -> Iterator[Anchor]:
        """Newest first."""
        return reversed(self.kept)

    def note(self, ledger: Ledger) -> None:
        """What a merge does."""
        self.kept.append(ledger.anchor()._replace(place=f"commit {len(self.kept) + 1}"))


@contextmanager
def hand(path: Path) -> Iterator[sqlite3.Connection]:
    """A hand in the database of a ledger."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Every row."""
    with hand(path) as connection:
        query = "SELECT * FROM ml_platform_ledger ORDER BY sequence"
        return [dict(row) for row in connection.execute(query).fetchall()]


def replace_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Let the table hold these rows."""
    with hand(path) as connection:
        connection.execute("DELETE FROM ml_platform_ledger")
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO ml_platform_ledger ({', '.join(row)}) VALUES ({marks})", list(row.values())
            )


_TABLE = "ml_platform_ledger"


def without_keys(path: Path, row: dict[str, Any]) -> None:
    """The table made anew without its keys, with one row more, and an index that leaves this row out."""
    with hand(path) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [_TABLE]).fetchone()
        kept = re.sub(r",\s*(PRIMARY KEY|UNIQUE) \(\w+\)", "", sql)
        connection.execute(kept.replace(_TABLE, "other"))
        connection.execute(f"INSERT INTO other SELECT * FROM {_TABLE}")
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO other ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        connection.execute(f"DROP TABLE {_TABLE}")
        connection.execute(f"ALTER TABLE other RENAME TO {_TABLE}")
        for column in ("subject", "subject_name"):
            connection.execute(f"CREATE INDEX ix_{_TABLE}_{column} ON {_TABLE} ({column})")
        connection.execute(f"CREATE UNIQUE INDEX sequences ON {_TABLE} (sequence) WHERE hash <> '{row['hash']}'")
    _said(path, "sequences", f"CREATE UNIQUE INDEX sequences ON {_TABLE} (sequence)")


def hidden(path: Path, where: str, name: str = "lookup", columns: str = "subject_name, kind, subject") -> None:
    """Leave rows out of an index, a new one or one of the table's own, that says it holds all."""
    with hand(path) as connection:
        connection.execute(f"DROP INDEX IF EXISTS {name}")
        connection.execute(f"CREATE INDEX {name} ON {_TABLE} ({columns}) WHERE NOT ({where})")
    _said(path, name, f"CREATE INDEX {name} ON {_TABLE} ({columns})")


def _said(path: Path, index: str, sql: str) -> None:
    with hand(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [sql, index])
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(f"PRAGMA schema_version = {version + 1}")


def rehashed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as a chain that is whole again, as who knows the code would write it; signatures stay as they were."""
    previous, found = GENESIS, []
    for number, row in enumerate(rows, 1):
        row = {**row, "sequence": number, "previous": previous}
        row["hash"] = previous = digest(row)
        found.append(row)
    return found


def turned(row: dict[str, Any]) -> dict[str, Any]:
    """A failed verdict as a passed one, with a value that would pass."""
    body = json.loads(row["body"]) | {"status": "passed", "observed": 0.0}
    return {**row, "body": json.dumps(body, sort_keys=True, separators=(",", ":"))}
