"""Entries of the ledger and the chain of their hashes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_platform.foundation.provenance import Provenance


@dataclass(frozen=True)
class Entry:
    """A line of the ledger, as read back."""

    sequence: int
    at: datetime
    kind: str
    subject: str
    subject_name: str
    gate: str
    body: dict[str, Any]
    provenance: Provenance
    run_id: str
    actor: str
    previous: str
    hash: str
