"""Decisions on candidates: rejected by gates or by a person, approved, and shown on the model card.

A person outranks the machine: what a person rejected is approved by a person again, or never.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

from ml_platform.declarations.context import ModelContext
from ml_platform.documents.model_card import with_approvals
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.kinds import APPROVAL
from ml_platform.pipeline import cards, current_splits, recorded_versions
from ml_platform.pipeline.anchors import note_decision
from ml_platform.pipeline.decisions import (
    DECLARED,
    GATES,
    JUDGED,
    KINDS,
    Decision,
    Outcome,
    decisions_on,
    in_force,
    in_order,
    subject_of,
)
from ml_platform.pipeline.declared import declared
from ml_platform.pipeline.evaluation import compare_with_champion
from ml_platform.pipeline.loosening import require_accepted, require_person
from ml_platform.pipeline.refit_verdicts import require
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, VersionRef


def standing(workspace: Workspace, version: VersionRef) -> Decision:
    """What holds for a registered version, by ledger and registry together: approved only where both say so.

    A rejection is of the content, whatever version it was spoken on; an approval of the version that it names. Equal
    bytes of another split that wait for a person take no approval back. One that is another than was registered under
    its number is approved by nobody.
    """
    if why := recorded_versions.doubt(workspace, version):
        return Decision("pending", GATES, why, workspace.now(), version.sha256, version.version)
    manifest = version.model_ref.manifest_sha256

    def counts(one: Decision) -> bool:
        if one.status == "rejected":
            return True
        waits_elsewhere = one.status == "pending" and one.manifest not in (None, manifest)
        return one.sha256 == version.sha256 and one.version in (None, version.version) and not waits_elsewhere

    made = [one for one in decisions_on(workspace, version.model_ref) if counts(one)]
    found = in_force(made)
    if found is not None and (found.status == version.approval or found.status == "rejected"):
        return found
    noted = workspace.registry.decision(version.model, version.version) or {}
    at = datetime.fromisoformat(noted["at"]) if noted else workspace.now()
    if version.approval == "rejected":
        reason = noted.get("reason", "the registry says so")
        return Decision("rejected", noted.get("by", "the registry"), reason, at, version.sha256, version.version)
    known = f"the ledger says {found.status} by {found.by}" if found else "the ledger has no decision"
    why = f"the registry says {version.approval}, {known}; decide again"
    return Decision("pending", GATES, why, at, version.sha256, version.version)


def require_approved(workspace: Workspace, context: ModelContext, version: VersionRef, run: Run) -> VersionRef:
    """The version as the registry has it, approved, and its model file passed every gate, none looser than accepted.

    Its reference is a file that anybody can edit: all that is taken from there is which version is meant. Raises
    Refused where it is not approved or does not pass, PlatformError where its model's reference was edited or it is
    another than was registered under its number.
    """
    version = workspace.registry.get(version.model, version.version)
    # Of a ledger that lost the approval nobody should be told to approve again.
    workspace.ledger.require_whole({version.model})
    recorded_versions.require(workspace, version)
    found = standing(workspace, version)
    if found.status != "approved":
        raise Refused(
            f"{version.model} version {version.version} is {found.status}, not approved ({found.by}: {found.reason}); "
            f"approve it (ml-platform approve {version.model}@{version.version}) or train another candidate",
            because=f"{found.status}, not approved",
        )
    require_gates(workspace, context, version, run)
    require_accepted(workspace, context)
    return version


def require_gates(workspace: Workspace, context: ModelContext, version: VersionRef, run: Run) -> None:
    """Raise Refused unless every gate on the version's model file lets it pass, in the context of now."""
    require(workspace, context, version.model_ref, run)


def told(workspace: Workspace, reference: ModelRef) -> list[dict[str, Any]]:
    """The decisions on a candidate as rows of its model card."""
    return [
        {"status": one.status, "by": one.by, "reason": one.reason, "at": one.at.isoformat(timespec="seconds")}
        for one in decisions_on(workspace, reference)
    ]


def reject(workspace: Workspace, reference: ModelRef, refusal: Refused, verdicts: Iterable[Verdict], run: Run) -> None:
    """Record that the gates refused a candidate; once for the same gates, however often it is judged.

    Where no gate measured something that it does not accept (verdicts are missing, or gates erred) nobody has decided
    anything yet.
    """
    if not any(verdict.holds_back and verdict.status != "errored" for verdict in verdicts):
        return
    body = {"by": GATES, "because": refusal.because, "reason": str(refusal)}
    _record(workspace, "rejected", reference, body, run)


def admit(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> Outcome:
    """What a candidate whose gates all pass is registered as, in the ledger: approved, or waiting for a person.

    Where a person rejected this very model nothing is decided: it stays rejected until a person approves it.
    """
    model, sha256 = reference.model, reference.sha256
    found = in_force(decisions_on(workspace, reference))
    same = workspace.registry.of_model(model, sha256)
    if (found and found.by_person and found.status == "rejected") or any(one.approval == "rejected" for one in same):
        return "rejected"
    outcome: Outcome = "approved" if workspace.settings.approval == "automatic" else "pending"
    other: Outcome = "pending" if outcome == "approved" else "approved"
    manifest = reference.manifest_sha256
    if any(one.model_ref.manifest_sha256 == manifest and standing(workspace, one).status == other for one in same):
        # Registered already, under the other setting: it keeps its approval, or goes on waiting. Its tag alone tells
        # nothing: somebody may have set it.
        outcome = other
    # What a person approved is another version where it comes from another split: this one is approved by its gates.
    anew = outcome == "approved" and all(one.model_ref.manifest_sha256 != manifest for one in same)
    if found is None or not found.by_person or anew:
        by = GATES if outcome == "approved" else ""
        body = {"by": by, "manifest": reference.manifest_sha256, DECLARED: declared(context)}
        _record(workspace, outcome, reference, body, run)
    return outcome


def decide(
    workspace: Workspace,
    context: ModelContext,
    version: VersionRef,
    status: Literal["approved", "rejected"],
    *,
    by: str,
    reason: str,
    run: Run,
) -> VersionRef:
    """A person's decision on a registered version, in ledger, registry and model card.

    The ledger first: a rejection counts from then on, an approval once the registry has it too. Repeated, it finishes
    what was interrupted. Raises Refused by name where a gate holds back what is to be approved, or it learned from what
    was taken out since; PlatformError without a name or a reason, and for a version that is another than was registered
    under its number.
    """
    require_person(f"approval of {version.model} version {version.version}", by, reason)
    recorded_versions.require(workspace, version)
    with _deciding(workspace, version.model):
        if status == "approved":
            current_splits.require_published(workspace, version)
            compare_with_champion(workspace, context, version.model_ref.evaluated, run)
            require_gates(workspace, context, version, run)
            require_accepted(workspace, context)
        body: dict[str, Any] = {"by": by, "because": reason, "version": version.version}
        if status == "approved":
            body[DECLARED] = declared(context)
        _record(workspace, status, version.model_ref, body, run)
        decided = workspace.registry.set_approval(version.model, version.version, status, by=by, reason=reason)
        note_decision(workspace.ledger, workspace.registry, version.model, version.version)
        made = told(workspace, version.model_ref)
        cards.mend(workspace, context, decided, made, run)
        cards.keep(workspace, decided, with_approvals(workspace.registry.card(decided), made), run)
    return decided


@contextmanager
def _deciding(workspace: Workspace, model: str) -> Generator[None]:
    """Of two people at one time the second decides after the first, in ledger and registry alike."""
    with workspace.registry.tracking.lock(f"decide-{model}"):
        yield


def _record(workspace: Workspace, outcome: Outcome, reference: ModelRef, body: dict[str, Any], run: Run) -> None:
    """Append a decision unless it is the last one on the candidate already."""
    made = decisions_on(workspace, reference)
    if reference.judged is None:
        # An approval of its refit came in between.
        refits = workspace.ledger.entries(subject_name=subject_of(reference.model), kind=APPROVAL)
        refits = [one for one in refits if one.body.get(JUDGED) == reference.sha256]
        made = sorted([*made, *in_order(refits)], key=lambda one: one.sequence)
    else:
        body = {**body, JUDGED: reference.judged.sha256}
    kind = KINDS[outcome]
    same = (outcome, body.get("by") or GATES, body.get("version"), reference.sha256)
    if made:
        last = made[-1]
        because = body.get("because")
        repeated = (last.status, last.by, last.version, last.sha256) == same and because in (None, last.reason)
        if repeated and body.get(DECLARED) in (None, last.declared):
            return
        if any(one.status == outcome for one in made):
            # The ledger takes an equal entry of one kind for a repetition, whatever was decided in between.
            body = {**body, "replaces": last.sequence}
    workspace.ledger.decide(
        kind,
        subject=reference.sha256,
        subject_name=subject_of(reference.model),
        body=body,
        run_id=run.id,
        provenance=run.provenance,
    )
