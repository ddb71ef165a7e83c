"""Rows at the end of the chain: hashed, and signed where the platform has a key."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.ledger.chain import GENESIS, ITSELF, KEY, Broken, digest
from ml_platform.ledger.signing import Signer, holds, signed_by
from ml_platform.ledger.table import last, table


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
    if own and not in_force:
        body = canonical_json({"public": own})
        row = {"kind": KEY, "subject": sha256_bytes(own), "subject_name": ITSELF, "gate": "", "body": body}
        newest = insert(connection, signer, newest, {**row, **common})
    return newest


def insert(connection: sa.Connection, signer: Signer | None, newest: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Write a row after the newest one; returns it."""
    row = following(signer, newest, values)
    connection.execute(table.insert().values(**row))
    return row


def following(signer: Signer | None, newest: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The row that follows the newest one, hashed and signed."""
    row = {"sequence": newest["sequence"] + 1, "at": now_utc().isoformat(), "previous": newest["hash"], **values}
    row["hash"] = digest(row)
    row["signature"] = signer.sign(row["hash"]) if signer else None
    return row
