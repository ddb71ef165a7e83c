"""``ml-platform ledger``: verify, continue, rotate, log."""

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml_platform.cli.output import written
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import CONTINUATION
from ml_platform.pipeline.workspace import Workspace


def show_log(subject: str, limit: int, json: Path | None) -> None:
    """Print the newest entries, of one subject where it is given."""
    ledger = Workspace().ledger
    if re.fullmatch(r"[0-9a-f]{64}", subject):
        entries = ledger.entries(subject=subject, newest=limit)
    else:
        begins = subject.endswith("%")
        chosen = {"prefix": subject[:-1]} if begins else {"subject_name": subject or None}
        entries = ledger.entries(**chosen, newest=limit)
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


def verify() -> None:
    """Verify chain, signatures and anchors; says what was accepted as lost. Raises Broken."""
    workspace = _compared()
    count = workspace.ledger.verify(_models())
    anchor = workspace.ledger.anchor()
    signed = f"; signed with {anchor.key}" if anchor.key else ""
    print(f"{count} entries, unbroken; head {anchor.head[:16]}{signed}")
    for entry in workspace.ledger.entries(kind=CONTINUATION):
        print(f"entry {entry.sequence}: {_gap(entry.body)}")


def accept_gap(by: str, reason: str) -> None:
    """Accept what anchors show as lost."""
    workspace, run = _compared(), Run.new()
    entry = workspace.ledger.accept_gap(
        by=by, reason=reason, owners=_models(), run_id=run.id, provenance=run.provenance
    )
    print(f"entry {entry.sequence}: {_gap(entry.body)}")


def rotate(public: str, by: str, reason: str) -> None:
    """Name the next key."""
    run = Run.new()
    Workspace().ledger.rotate(public, by=by, reason=reason, run_id=run.id, provenance=run.provenance)
    print(f"the next entries are signed with {public}; set ML_PLATFORM_LEDGER_KEY to its private half everywhere")


def _compared() -> Workspace:
    """A workspace whose registry is open, so that its versions are compared too."""
    workspace = Workspace()
    assert workspace.registry
    return workspace


def _models() -> list[str]:
    """Declared models: an emptied ledger names none."""
    from ml_platform.declarations.loading import project_catalogue

    return list(project_catalogue().models)


def _gap(body: dict[str, Any]) -> str:
    lost = body["lost"]
    upto = f"up to {lost['to']}" if lost["to"] is not None else "up to an unknown end"
    return f"{body['by']} accepted that entries after {lost['after']} {upto} are lost: {body['because']}"
