"""Decisions of people: approve or reject a version, let a content pass a gate."""

import re
from pathlib import Path
from typing import Any, Literal

from ml_platform.cli.output import BadUsage, declared_model, say, written
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import VERDICT
from ml_platform.pipeline import answering, approval, current_splits, loosening
from ml_platform.pipeline.workspace import Workspace


def decide(
    target: str,
    status: Literal["approved", "rejected"],
    by: str,
    reason: str,
    json: Path | None,
    *,
    rollback: bool | None = None,
) -> None:
    """Decide on ``MODEL@VERSION`` or ``MODEL@VERSION:SHA256``, of which the first digits do. Approval raises Refused by
    name where a gate holds the version back; PlatformError where the version is another model.

    A version that is rejected while it answers is taken back where there is one to go back to; ``rollback``: False
    leaves it, True fails where there is none.
    """
    name, _, meant = target.partition("@")
    number, _, content = meant.removeprefix("v").partition(":")
    catalogue = project_catalogue()
    context = ModelContext.of(catalogue, declared_model(name, catalogue))
    if not number.isdigit():
        raise BadUsage(f"{target!r} names no version; write {name}@1, say: a decision is about one version")
    workspace = Workspace()
    version = workspace.registry.get(name, int(number))
    if not version.sha256.startswith(content):
        raise PlatformError(
            f"{name} version {number} is model {version.sha256[:12]}, not {content}; nothing was decided"
        )
    before, run = approval.standing(workspace, version), Run.new()
    decided = approval.decide(workspace, context, version, status, by=by, reason=reason, run=run)
    say(f"{name} version {decided.version} ({decided.sha256[:12]}) is {decided.approval} by {by}: {reason}")
    if status == "approved" and (newer := current_splits.superseded(workspace, version.model_ref.evaluated.split)):
        say(f"it was judged on an older split: {newer}")
    if before.by_person and before.status != status:
        say(f"before, it was {before.status} by {before.by}: {before.reason}")
    shown: dict[str, Any] = {
        "model": name,
        "version": decided.version,
        "sha256": decided.sha256,
        "approval": decided.approval,
        "by": by,
        "reason": reason,
    }
    if status == "rejected":
        shown["answers"] = _leave(workspace, name, decided.version, run, by, reason, rollback)
    written(json, shown)


def _leave(
    workspace: Workspace, model: str, version: int, run: Run, by: str, reason: str, rollback: bool | None
) -> int | None:
    """Take a rejected version that answers back, or say how; the version that answers then."""
    if not answering.answers(workspace, model, version):
        if rollback:
            say(f"version {version} does not answer: there is nothing to go back from")
        return None
    try:
        answering.way_back(workspace, model, version)
    except PlatformError as error:
        if rollback:
            raise
        say(f"version {version} still answers; {error}")
        return version
    if rollback is False:
        say(f"version {version} still answers; ml-platform rollout rollback {model} takes it back")
        return version
    earlier, url = answering.go_back(workspace, model, version, run, by=by, reason=reason)
    say(f"version {earlier.version} answers again, at {url}")
    return earlier.version


def accept_looser_gates(model: str, by: str, reason: str, json: Path | None) -> None:
    """Accept, in a person's name, that gates of a model are looser than those of its champion at its registration."""
    catalogue = project_catalogue()
    context = ModelContext.of(catalogue, declared_model(model, catalogue))
    found = loosening.accept(Workspace(), context, by=by, reason=reason, run=Run.new())
    for one in found:
        say(f"{one.change.gate} of {one.change.asset} {one.change.text}")
    if found:
        say(f"accepted by {by} against version {found[0].version}: {reason}")
    else:
        say(f"no gate of {model} is looser than its champion's, or all that are were accepted before")
    written(json, {"model": model, "by": by, "reason": reason, "accepted": [one.change._asdict() for one in found]})


def override_gate(gate: str, subject: str, by: str, reason: str, days: int, json: Path | None) -> None:
    """Override a gate on a content, given by its hash or by the name under which it was judged last."""
    workspace, run = Workspace(), Run.new()
    ledger = workspace.ledger
    hashed = re.fullmatch(r"[0-9a-f]{64}", subject)
    entries = ledger.entries(subject_name=subject, kind=VERDICT)
    known = ledger.verdicts(subject) if hashed else {}
    if entries:
        known = ledger.judgement(subject, entries[-1].subject)
    if len(names := sorted({verdict.subject_name for verdict in known.values()})) > 1:
        raise PlatformError(f"{subject[:12]} was judged under several names; give one: {', '.join(names)}")
    if gate not in known:
        about = f"its gates are {', '.join(sorted(known))}" if known else "nothing of this name or hash was judged"
        raise MissingReference(f"there is no verdict of {gate} on {subject}; {about}")
    verdict = known[gate]
    expires = ledger.override(verdict, by=by, reason=reason, days=days, run_id=run.id, provenance=run.provenance)
    about = f"{gate} on {verdict.subject_name} ({verdict.subject[:12]})"
    say(f"{about} is overridden by {by} until {expires:%Y-%m-%d %H:%M}Z")
    written(
        json, {"gate": gate, "subject": verdict.subject, "by": by, "reason": reason, "expires": expires.isoformat()}
    )
