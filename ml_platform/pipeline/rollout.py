"""What the supervisor did, told to ledger and registry: both follow the history of the rollout record, revision by
revision, so that they may be away while a version goes live and catch up exactly once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline.anchors import note_decision
from ml_platform.pipeline.loosening import require_person
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import changes
from ml_platform.rollout.record import Action, Backend, Change, RolloutRecord

#: What a change is in the ledger; the others say nothing about which version answers.
ENTRIES: dict[Action, str] = {"promote": "promotion", "roll_back": "rollback", "withdraw": "withdrawal"}

#: What a person may decide on a rollout.
Decision = Literal["promote", "pause", "resume", "abort", "withdraw"]


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


def decide(
    workspace: Workspace,
    model: str,
    what: Decision,
    *,
    by: str,
    reason: str,
) -> RolloutRecord:
    """A person's decision on a rollout, in its record and from there in the ledger.

    Raises PlatformError without a name or a reason, where no rollout is under way, and for a candidate that is to be
    promoted before it has answered.
    """
    require_person(f"{what} of {model}", by, reason)

    def promote(record: RolloutRecord) -> RolloutRecord:
        if record.candidate is not None and record.step == 0:
            raise PlatformError(f"{model}: {record.candidate.said} has not answered yet; wait, or abort its rollout")
        return changes.promoted(record, by=by, why=reason)

    do: dict[str, Callable[[RolloutRecord], RolloutRecord]] = {
        "promote": promote,
        "pause": lambda record: changes.held(record, True, by=by, why=reason),
        "resume": lambda record: changes.held(record, False, by=by, why=reason),
        "abort": lambda record: changes.rolled_back(record, by=by, why=reason),
        "withdraw": lambda record: changes.withdrawn(record, by=by, why=reason),
    }
    workspace.rollouts.load(model)  # says that it was never deployed
    record = workspace.rollouts.update(model, do[what])
    project(workspace, model, Run.new())
    return record


def attend(workspace: Workspace, models: Iterable[str]) -> list[str]:
    """Let the supervisor run where it ended by itself, and ledger and registry catch up; a sentence for each that did
    or could not be done."""
    from ml_platform.rollout.control import keep_running

    said = []
    try:
        if keep_running(workspace.settings):
            said.append("the supervisor of the services had ended; it runs again")
        for model in models:
            if told := project(workspace, model, Run.new()):
                said.append(f"{model}: {told} changes of its rollout record were written to the ledger")
    except PlatformError as error:
        said.append(str(error))
    return said


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
            _alias(workspace, model, told)
            return 0
        versions = {event.backend.version: workspace.registry.get(model, event.backend.version) for event in missing}
        _alias(workspace, model, told)
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


def _alias(workspace: Workspace, model: str, told: Sequence[Event]) -> None:
    """Let ``champion`` name what was promoted last, also where somebody has moved or deleted it: without it the next
    candidate would be compared with nothing."""
    promotions = [event for event in told if event.kind == "promotion"]
    if promotions:
        wanted, champion = promotions[-1].backend.version, workspace.registry.champion(model)
        if champion is None or champion.version != wanted:
            workspace.registry.set_alias(model, "champion", wanted)


def _revisions(workspace: Workspace, model: str) -> set[int]:
    """Revisions that the ledger has. Entries of an earlier release name none: nothing of theirs is told again, since
    that release's changes are none of :data:`ENTRIES` but withdrawals, which nothing ever made."""
    entries = [
        entry
        for kind in set(ENTRIES.values())
        for entry in workspace.ledger.entries(subject_name=f"{model}/champion", kind=kind)
    ]
    return {int(entry.body["revision"]) for entry in entries if "revision" in entry.body}
