"""Rows at the end of the chain: hashed, and signed where the platform has a key."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.words import require_words
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.chain import GENESIS, ITSELF, Anchor, Broken, unsigned
from ml_platform.ledger.entry_text import digest
from ml_platform.ledger.kinds import KEY
from ml_platform.ledger.signing import Signer, holds, signed_by
from ml_platform.ledger.table import FIRST, last, table


def extendable(connection: sa.Connection, signer: Signer | None, common: dict[str, str]) -> Any:
    """The newest row, which the next one goes on from: whole, and signed with the key of this process.

    Raises Broken where it is damaged, and PlatformError where another key is in force.
    """
    newest: Mapping[str, Any] = last(connection) or {"sequence": 0, "hash": GENESIS, "signature": None}
    in_force = ""
    if newest["sequence"] and newest["hash"] != digest(newest):
        raise Broken(
            f"ledger: entry {newest['sequence']} was changed after it was written; see ml-platform ledger verify"
        )
    if signature := newest["signature"]:
        # A wrong one is never covered by a right one that follows.
        if not holds(signature, newest["hash"]):
            raise Broken(f"ledger: entry {newest['sequence']} has a wrong signature; see ml-platform ledger verify")
        in_force = json.loads(newest["body"])["public"] if newest["kind"] == KEY else signed_by(signature)
    own = signer.public if signer else ""
    if in_force and in_force != own:
        raise PlatformError(
            f"ledger: its entries are signed with key {in_force[:12]}, "
            f"ML_PLATFORM_LEDGER_KEY is {own[:12] or 'not set'}; set it to the key in force"
        )
    if signer and not in_force:
        if newest["sequence"]:
            # Whoever can cut the chain could cut what was signed of it: that it never was, a person has to say.
            raise Broken(unsigned(newest["sequence"]))
        newest = begin_signing(connection, signer, newest, {}, common)
    return newest


def speaking(signer: Signer | None, by: str, reason: str, wanted: str) -> Signer:
    """The key of whoever decides on keys. Raises PlatformError without name, reason or key (which is ``wanted``)."""
    require_words("key of the ledger", by=by, reason=reason)
    if signer is None:
        raise PlatformError(f"key of the ledger: set ML_PLATFORM_LEDGER_KEY to {wanted}")
    return signer


def require_signed_alike(signer: Signer | None, lost: Iterable[Anchor]) -> None:
    """Raise PlatformError where lost entries were signed with another key than that of whoever accepts their loss."""
    keys = {anchor.key for anchor in lost if anchor.key}
    if keys and (signer is None or signer.public not in keys):
        raise PlatformError(
            f"ledger continue: the lost entries were signed with {', '.join(sorted(key[:12] for key in keys))}; "
            "set ML_PLATFORM_LEDGER_KEY to that key"
        )


def begin_signing(
    connection: sa.Connection, signer: Signer, newest: Any, said: dict[str, str], common: dict[str, str]
) -> dict[str, Any]:
    """Write the entry that introduces the first key, with what is ``said`` about it; returns it."""
    body = canonical_json({"public": signer.public, **said})
    row = {"kind": KEY, "subject": sha256_bytes(signer.public), "subject_name": ITSELF, "gate": "", "body": body}
    return insert(connection, signer, newest, {**row, **common})


def said_last(connection: sa.Connection, kind: str, subject_name: str, gate: str) -> Any:
    """Body and subject of the newest entry of a kind about a name, by a gate; None where there is none."""
    about = (table.c.kind == kind, table.c.subject_name == subject_name, table.c.gate == gate)
    query = sa.select(table.c.body, table.c.subject).where(*about, table.c.sequence >= FIRST)
    return connection.execute(query.order_by(table.c.sequence.desc()).limit(1)).first()


def insert(connection: sa.Connection, signer: Signer | None, newest: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Write a row after the newest one; returns it. Raises Broken where the database does not keep it as given."""
    row = following(signer, newest, values)
    connection.execute(table.insert().values(**row))
    kept = last(connection)
    if kept is None or {name: kept[name] for name in row} != row:
        raise Broken(
            f"ledger: its database does not keep what is written (entry {row['sequence']}); look for triggers and "
            f"rules on its table {table.name}, see ml-platform ledger verify"
        )
    return row


def following(signer: Signer | None, newest: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The row that follows the newest one, hashed and signed."""
    row = {"sequence": newest["sequence"] + 1, "at": now_utc().isoformat(), "previous": newest["hash"], **values}
    row["hash"] = digest(row)
    row["signature"] = signer.sign(row["hash"]) if signer else None
    return row


def overriding(verdict: Verdict, by: str, reason: str, days: int) -> dict[str, Any]:
    """What an override of a verdict says. Raises PlatformError as :meth:`Ledger.override` does."""
    about = f"override of {verdict.gate} on {verdict.subject_name}"
    require_words(about, by=by, reason=reason)
    if days < 1:
        raise PlatformError(f"{about}: {days} days; an override holds for a day at least")
    if verdict.passed or not verdict.blocking:
        raise PlatformError(f"{about}: the gate holds nothing back ({verdict.status})")
    return {
        "by": by,
        "because": reason,
        "status": verdict.status,
        "declaration": verdict.declaration,
        **({"context": verdict.context} if verdict.context else {}),
    }
