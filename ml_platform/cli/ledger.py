"""``ml-platform ledger``: verify, continue, sign, rotate, log."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import By, Json, Reason, say, written

if TYPE_CHECKING:
    from ml_platform.pipeline.workspace import Workspace

ledger = typer.Typer(no_args_is_help=True, help="The record of every verdict and decision.")


@ledger.command()
def verify(json: Json = None) -> None:
    """Recompute the chain with its signatures, and compare it with what store and registry noted of it."""
    from functools import partial

    from ml_platform.foundation.parts import Parts
    from ml_platform.ledger.itself import accepted, backdated
    from ml_platform.ledger.itself import gaps as gaps_in
    from ml_platform.pipeline import cards
    from ml_platform.pipeline.anchors import unheard
    from ml_platform.pipeline.recorded_versions import doubts
    from ml_platform.pipeline.rollout import unfounded

    workspace = _compared()
    count = workspace.ledger.verify(_models())
    anchor = workspace.ledger.anchor()
    signed = f"; signed with {anchor.key}" if anchor.key else ""
    say(f"{count} entries, unbroken; head {anchor.head[:16]}{signed}")
    gaps = [f"entry {entry.sequence}: {accepted(entry.body)}" for entry in gaps_in(workspace.ledger)]
    late = backdated(workspace.ledger)
    for line in [*gaps, *late]:
        say(line)
    # Told and no failure of the chain: an alias, a tag or a card can be changed by whoever has MLflow.
    parts, edited, answering = Parts(), list[str](), list[str]()
    for model in _models():
        versions = parts.read(f"versions of {model}", partial(workspace.registry.versions, model, parts), [])
        for version in versions:
            about = f"what MLflow tells of {model} version {version.version}"
            edited += parts.read(about, lambda version=version: list(cards.edited(workspace, version)), [])
        edited += parts.read(f"registrations of {model}", partial(lambda one: list(doubts(workspace, one)), model), [])
        answering += parts.read(f"the rollout record of {model}", partial(unfounded, workspace, model), [])
    silent = [*unheard(workspace.ledger, workspace.registry, _models()), *edited, *answering]
    for line in [*silent, *parts.notes]:
        say(line)
    found = {
        "entries": count,
        "head": anchor.head,
        "key": anchor.key,
        "gaps": gaps,
        "backdated": late,
        "edited": silent,
    }
    written(json, {**found, "unreadable": parts.unreadable})
    parts.require_all()
    if silent:
        raise typer.Exit(1)


@ledger.command("continue")
def accept_gap(by: By, reason: Reason) -> None:
    """Go on from a restored backup: what store and registry show as lost is accepted, visibly and for good."""
    from ml_platform.foundation.provenance import Run
    from ml_platform.ledger.itself import accepted

    workspace, run = _compared(), Run.new()
    entry = workspace.ledger.accept_gap(
        by=by, reason=reason, owners=_models(), run_id=run.id, provenance=run.provenance
    )
    say(f"entry {entry.sequence}: {accepted(entry.body)}")


@ledger.command()
def sign(by: By, reason: Reason) -> None:
    """Let entries be signed from now on, with ML_PLATFORM_LEDGER_KEY: once, where there are unsigned ones already."""
    from ml_platform.foundation.provenance import Run

    run = Run.new()
    public = _compared().ledger.sign(by=by, reason=reason, run_id=run.id, provenance=run.provenance)
    say(f"the next entries are signed with {public}; set ML_PLATFORM_LEDGER_KEY everywhere")


@ledger.command()
def rotate(
    public: Annotated[str, typer.Argument(help="The next public key: 32 bytes in base64.")], by: By, reason: Reason
) -> None:
    """Let the next entries be signed with another key; signed with the one in force (ML_PLATFORM_LEDGER_KEY)."""
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline.workspace import Workspace

    run = Run.new()
    Workspace().ledger.rotate(public, by=by, reason=reason, run_id=run.id, provenance=run.provenance)
    say(f"the next entries are signed with {public}; set ML_PLATFORM_LEDGER_KEY to its private half everywhere")


@ledger.command()
def log(
    subject: Annotated[str, typer.Option(help="Name (may end in %) or hash of what was judged.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 30,
    json: Json = None,
) -> None:
    """Show the newest entries."""

    from ml_platform.pipeline.workspace import Workspace

    chain = Workspace().ledger
    if re.fullmatch(r"[0-9a-f]{64}", subject):
        entries = chain.log(subject=subject, newest=limit)
    else:
        begins = subject.endswith("%")
        chosen = {"prefix": subject[:-1]} if begins else {"subject_name": subject or None}
        entries = chain.log(**chosen, newest=limit)
    from ml_platform.cli import screen

    table = screen.table("#", "when", "what", "about", "outcome", "reason", "by")
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
    screen.console().print(table)
    written(json, [entry.__dict__ | {"provenance": entry.provenance.model_dump()} for entry in entries])


def _compared() -> "Workspace":
    """A workspace whose registry is open, so that its versions are compared too."""
    from ml_platform.pipeline.workspace import Workspace

    workspace = Workspace()
    assert workspace.registry
    return workspace


def _models() -> list[str]:
    """Declared models: an emptied ledger names none."""
    from ml_platform.declarations.loading import project_catalogue

    return list(project_catalogue().models)
