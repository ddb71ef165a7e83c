"""What was decided on candidates, as the ledger has it, and which decision is in force."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import APPROVAL, REGISTRATION, REJECTION
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef

#: Who decides where no person does.
GATES = "gates"
#: What a decision on a version says of the gates that stood then.
DECLARED = "declared"
Outcome = Literal["approved", "pending", "rejected"]
#: Kind of a ledger entry to what it means for a candidate.
OUTCOMES: dict[str, Outcome] = {APPROVAL: "approved", REGISTRATION: "pending", REJECTION: "rejected"}
KINDS: dict[Outcome, str] = {outcome: kind for kind, outcome in OUTCOMES.items()}
#: What a decision on a refit names: the model that was judged.
JUDGED = "judged"


class Decision(NamedTuple):
    """What was decided on a candidate."""

    status: Outcome
    by: str
    reason: str
    at: datetime
    #: sha256 of the model file.
    sha256: str
    #: Version that a person decided on.
    version: int | None = None
    #: Number of its entry in the ledger; 0 where it stands in the registry alone.
    sequence: int = 0
    #: The gates that stood then; None where an earlier release wrote the entry, and for rejections.
    declared: dict[str, Any] | None = None
    #: Manifest of the split of what the gates decided on; None for a person's decision.
    manifest: str | None = None

    @property
    def by_person(self) -> bool:
        """Whether a person decided."""
        return self.by != GATES

    @property
    def said(self) -> str:
        """The status, and who decided where it was a person."""
        return f"{self.status} by {self.by}" if self.by_person else self.status


def decisions(workspace: Workspace, model: str, sha256: str | None = None) -> list[Decision]:
    """Decisions on a model's candidates, or on one content, in order."""
    entries = [
        entry
        for kind in OUTCOMES
        for entry in workspace.ledger.entries(subject=sha256, subject_name=subject_of(model), kind=kind)
    ]
    return in_order(entries)


def decisions_on(workspace: Workspace, reference: ModelRef) -> list[Decision]:
    """Decisions on a candidate, in order: of a refit also what was refused of the model that was judged."""
    found = decisions(workspace, reference.model, reference.sha256)
    if reference.judged is not None and reference.judged.sha256 != reference.sha256:
        judged = decisions(workspace, reference.model, reference.judged.sha256)
        found += [one for one in judged if one.status == "rejected"]
    return sorted(found, key=lambda one: one.sequence)


def subject_of(model: str) -> str:
    """The name under which the ledger has decisions on a model."""
    return f"{model}/model"


def in_order(entries: Iterable[Entry]) -> list[Decision]:
    """Entries of the kinds of :data:`OUTCOMES` as decisions, the newest last."""
    defaults = {"approval": "every gate passed", "registration": "every gate passed; waits for a person"}
    return [
        Decision(
            OUTCOMES[entry.kind],
            entry.body.get("by") or GATES,
            entry.body.get("because") or defaults.get(entry.kind, ""),
            entry.at,
            entry.subject,
            entry.body.get("version"),
            entry.sequence,
            entry.body.get(DECLARED),
            entry.body.get("manifest"),
        )
        for entry in sorted(entries, key=lambda entry: entry.sequence)
    ]


def in_force(made: Sequence[Decision]) -> Decision | None:
    """The one of the decisions on a content that counts.

    The last of a person; one by the gates only where no person decided, where they say the same after an approval, or
    where they now refuse what a person approved.
    """
    last = made[-1] if made else None
    person = next((one for one in reversed(made) if one.by_person), None)
    if person is None or last is None:
        return last
    return last if person.status == "approved" and last.status != "pending" else person


def rejected(workspace: Workspace, reference: ModelRef) -> bool:
    """Whether a person rejected a model, and no person approved it since."""
    found = in_force(decisions_on(workspace, reference))
    return found is not None and found.by_person and found.status == "rejected"


def spoken(workspace: Workspace, reference: ModelRef) -> list[Entry]:
    """What the ledger has of decisions on a model, in order: of a refit also on the model that was judged."""
    subjects = {reference.sha256, reference.evaluated.sha256}
    entries = [
        entry
        for sha256 in subjects
        for kind in (APPROVAL, REJECTION)
        for entry in workspace.ledger.entries(subject=sha256, subject_name=subject_of(reference.model), kind=kind)
    ]
    return sorted(entries, key=lambda entry: entry.sequence)
