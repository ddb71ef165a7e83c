"""What the supervisor did, told to ledger and registry: both follow the history of the rollout record, revision by
revision, so that they may be away while a version goes live and catch up exactly once."""

from typing import NamedTuple

from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline.anchors import note_decision
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.record import Action, Backend, Change

#: What a change is in the ledger; the others say nothing about which version answers.
ENTRIES: dict[Action, str] = {"promote": "promotion", "roll_back": "rollback", "withdraw": "withdrawal"}


class Event(NamedTuple):
    """A change that the ledger tells of, with the one that began it."""

    kind: str
    change: Change
    #: What was promoted, rolled back or withdrawn.
    backend: Backend
    #: Who wanted the rollout, and what for.
    began: Change


def events(history: tuple[Change, ...]) -> list[Event]:
    """What the ledger tells of a history, in order. That only another history is answered from is not among it."""
    found: list[Event] = []
    before: Change | None = None
    began: Change | None = None
    for change in history:
        if change.action in ("start", "return", "refresh"):
            began = change
        elif change.action in ENTRIES:
            left = before and (before.candidate if change.action != "withdraw" else before.stable or before.candidate)
            refreshed = began is not None and began.action == "refresh" and change.action != "withdraw"
            if left is not None and not refreshed:
                found.append(Event(ENTRIES[change.action], change, left, began or change))
        before = change
    return found


def project(workspace: Workspace, model: str, run: Run) -> int:
    """Write to ledger and registry what they do not have yet of a model's history; how many entries that were.

    The alias first: an entry says that its revision is done. Raises PlatformError where one of them is away; what is
    missing is written by whoever comes next.
    """
    try:
        history = workspace.rollouts.history(model)
    except MissingReference:
        return 0
    told = events(history)
    if not told:
        return 0
    written = 0
    with workspace.registry.tracking.lock(f"rollout-{model}"):
        known = _revisions(workspace, model)
        missing = [event for event in told if event.change.revision not in known]
        if not missing:
            return 0
        versions = {event.backend.version: workspace.registry.get(model, event.backend.version) for event in missing}
        promotions = [event for event in told if event.kind == "promotion"]
        if promotions and promotions[-1] in missing:
            workspace.registry.set_alias(model, "champion", promotions[-1].backend.version)
        for event in missing:
            began = event.began
            asked = began if event.kind == "promotion" else event.change
            workspace.ledger.decide(
                event.kind,
                subject=versions[event.backend.version].sha256,
                subject_name=f"{model}/champion",
                body={
                    "version": event.backend.version,
                    "service": event.backend.sha256,
                    "revision": event.change.revision,
                    "by": asked.who,
                    "because": asked.why,
                    "at": event.change.at,
                    **({"instead_of": began.before} if began.action == "return" and event.kind == "promotion" else {}),
                },
                run_id=began.run_id or run.id,
                provenance=run.provenance,
            )
            written += 1
        # Last: how far the ledger is with all that, where the ledger is not.
        note_decision(workspace.ledger, workspace.registry, model, missing[-1].backend.version)
    return written


def _revisions(workspace: Workspace, model: str) -> set[int]:
    """Revisions that the ledger has. Entries of an earlier release name none: nothing of theirs is told again, since
    that release's changes are none of :data:`ENTRIES` but withdrawals, which nothing ever made."""
    entries = [
        entry
        for kind in set(ENTRIES.values())
        for entry in workspace.ledger.entries(subject_name=f"{model}/champion", kind=kind)
    ]
    return {int(entry.body["revision"]) for entry in entries if "revision" in entry.body}
