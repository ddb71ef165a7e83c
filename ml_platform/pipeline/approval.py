"""Decisions on candidates: rejected by gates or by a person, approved, and shown on the model card."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.documents.model_card import with_approvals
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline.release import require_gates
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef

Outcome = Literal["approved", "pending", "rejected"]
#: Kind of a ledger entry to what it means for a candidate.
OUTCOMES: dict[str, Outcome] = {"approval": "approved", "registration": "pending", "rejection": "rejected"}
#: Who decides where no person does.
GATES = "gates"


class Decision(NamedTuple):
    """What was decided on a candidate."""

    status: Outcome
    by: str
    reason: str
    at: datetime
    #: sha256 of the model file.
    sha256: str


def decisions(workspace: Workspace, model: str, sha256: str | None = None) -> list[Decision]:
    """Decisions on a model's candidates, or on one of them, in order."""
    entries = [
        entry
        for kind in OUTCOMES
        for entry in workspace.ledger.entries(subject=sha256, subject_name=_name(model), kind=kind)
    ]
    defaults = {"approval": "every gate passed", "registration": "every gate passed; waits for a person"}
    return [
        Decision(
            OUTCOMES[entry.kind],
            entry.body.get("by") or GATES,
            entry.body.get("because") or defaults.get(entry.kind, ""),
            entry.at,
            entry.subject,
        )
        for entry in sorted(entries, key=lambda entry: entry.sequence)
    ]


def table(made: Sequence[Decision]) -> list[dict[str, Any]]:
    """The decisions as rows of a model card."""
    return [{**one._asdict(), "at": one.at.isoformat(timespec="seconds")} for one in made]


def reject(
    workspace: Workspace, model: str, sha256: str, refusal: Refused, verdicts: Iterable[Verdict], run: Run
) -> None:
    """Record that the gates refused a candidate; once for the same gates, however often it is judged.

    Where no gate measured something that it does not accept (verdicts are missing, or gates erred) nobody has decided
    anything yet.
    """
    if not any(verdict.holds_back and verdict.status != "errored" for verdict in verdicts):
        return
    workspace.ledger.decide(
        "rejection",
        subject=sha256,
        subject_name=_name(model),
        body={"by": GATES, "because": refusal.because, "reason": str(refusal)},
        run_id=run.id,
        provenance=run.provenance,
    )


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
    """A person's decision on a registered version, in registry, ledger and model card.

    Raises Refused by name where a gate holds back what is to be approved, PlatformError without a name or a reason.
    """
    if status == "approved":
        require_gates(workspace, context, version)
    decided = workspace.registry.set_approval(version.model, version.version, status, by=by, reason=reason)
    workspace.ledger.decide(
        "approval" if status == "approved" else "rejection",
        subject=version.sha256,
        subject_name=_name(version.model),
        body={"by": by, "because": reason, "version": version.version},
        run_id=run.id,
        provenance=run.provenance,
    )
    made = table(decisions(workspace, version.model, version.sha256))
    workspace.registry.set_card(decided, with_approvals(workspace.registry.card(decided), made))
    return decided


def _name(model: str) -> str:
    return f"{model}/model"
