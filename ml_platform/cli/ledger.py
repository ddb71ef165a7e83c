"""``ml-platform ledger log``."""

import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_platform.cli.output import written
from ml_platform.pipeline.workspace import Workspace


def show_log(subject: str, limit: int, json: Path | None) -> None:
    """Print the newest entries, of one subject where it is given."""
    ledger = Workspace().ledger
    if re.fullmatch(r"[0-9a-f]{64}", subject):
        entries = ledger.entries(subject=subject, newest=limit)
    else:
        entries = ledger.entries(subject_name=subject or None, newest=limit)
    table = Table("#", "when", "what", "about", "outcome", "reason", "by")
    for entry in entries:
        table.add_row(
            str(entry.sequence),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.gate or entry.kind,
            f"{entry.subject_name} {entry.subject[:8]}",
            str(entry.body.get("status", entry.kind)),
            str(entry.body.get("reason", entry.body.get("because", "")))[:100],
            entry.actor,
        )
    Console().print(table)
    written(json, [entry.__dict__ | {"provenance": entry.provenance.model_dump()} for entry in entries])
