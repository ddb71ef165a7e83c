"""What the supervisor did, told to ledger and registry: both follow the history of the rollout record, revision by
revision, so that they may be away while a version goes live and catch up exactly once."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import PROMOTION, ROLLBACK, ROLLOUT, WITHDRAWAL
from ml_platform.pipeline import shadow_verdicts
from ml_platform.pipeline.anchors import note_decision
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.champions import promoted, promotions
from ml_platform.pipeline.going_live import ANSWERED, GAVE_UP
from ml_platform.pipeline.loosening import require_person
from ml_platform.pipeline.recorded_packages import of_an_earlier_release
from ml_platform.pipeline.told_changes import ENTRIES, Event, events
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import changes
from ml_platform.rollout.record import Backend, RolloutRecord

#: What a person may decide on a rollout.
Decision = Literal["promote", "pause", "resume", "abort", "withdraw"]


def decide(
    workspace: Workspace,
    model: str,
    what: Decision,
    *,
    by: str,
    reason: str,
) -> str:
    """A person's decision on a rollout, in its record and from there in the ledger.

    It counts once it is in the record. Returned is why ledger or registry do not have it yet, empty where they do:
    whoever comes next tells them. Raises PlatformError without a name or a reason, where no rollout is under way, and
    for a candidate that is to be promoted before it has answered.
    """
    require_person(f"{what} of {model}", by, reason)

    def promote(record: RolloutRecord) -> RolloutRecord:
        if record.candidate is not None and record.step == 0:
            raise PlatformError(f"{model}: {record.candidate.said} has not answered yet; wait, or abort its rollout")
        return changes.promoted(record, by=by, why=reason)

    def withdraw(record: RolloutRecord) -> RolloutRecord:
        if not record.backends:
            last = record.change
            said = f": it was withdrawn by {last.who} ({last.why})" if last and last.action == "withdraw" else ""
            raise PlatformError(f"nothing of {model} answers{said}")
        return changes.withdrawn(record, by=by, why=reason)

    do: dict[str, Callable[[RolloutRecord], RolloutRecord]] = {
        "promote": promote,
        "pause": lambda record: changes.held(record, True, by=by, why=reason),
        "resume": lambda record: changes.held(record, False, by=by, why=reason),
        "abort": lambda record: changes.rolled_back(record, by=by, why=reason),
        "withdraw": withdraw,
    }
    workspace.rollouts.load(model)  # says that it was never deployed
    workspace.rollouts.update(model, do[what])
    try:
        project(workspace, model, Run.new())
    except PlatformError as error:
        return str(error)
    return ""


def begin(workspace: Workspace, model: str, backend: Backend, run: Run, *, by: str, why: str) -> None:
    """Say in the ledger that a package may take over. Of one that it does not name, no promotion is believed.

    The record is a file on the machine of the services, which anybody there can edit.
    """
    ended = _ended(workspace, model, backend, _untold(workspace, model, _told(workspace, model)))
    if _begun(workspace, model, backend, ended):
        return
    workspace.ledger.decide(
        ROLLOUT,
        subject=backend.sha256,
        subject_name=f"{model}/deployment",
        # Begun again, it is another entry.
        body={"version": backend.version, "by": by, "because": why, **({"after": ended} if ended else {})},
        run_id=run.id,
        provenance=run.provenance,
    )


def _begun(workspace: Workspace, model: str, backend: Backend, ended: str, by: str = "") -> bool:
    """Whether the ledger knows of a rollout of this package, as this version, that began after the last one ended;
    ``by`` an ISO time of the record, which has milliseconds."""
    until = datetime.fromisoformat(by) + timedelta(milliseconds=1) if by else None
    return any(
        entry.body["version"] == backend.version
        and entry.body.get("after", "") == ended
        and (until is None or entry.at <= until)
        for entry in workspace.ledger.entries(subject=backend.sha256, subject_name=f"{model}/deployment", kind=ROLLOUT)
    )


def _ended(workspace: Workspace, model: str, backend: Backend, untold: Iterable[Event]) -> str:
    """When the last rollout of a package was rolled back, or it was withdrawn; empty where it never was.

    As the ledger says, and what the record tells beyond that (``untold``).
    """
    told = [
        str(entry.body["at"])
        for kind in (ROLLBACK, WITHDRAWAL)
        for entry in workspace.ledger.entries(subject_name=f"{model}/champion", kind=kind)
        if entry.body.get("service") == backend.sha256 and "at" in entry.body
    ]
    seen = [one.change.at for one in untold if one.kind != PROMOTION and one.backend.sha256 == backend.sha256]
    return max([*told, *seen], default="")


def unfounded(workspace: Workspace, model: str) -> list[str]:
    """What the rollout record tells and the platform did not do, a line each: it is written nowhere as done."""
    back = f"ml-platform rollout rollback {model} … lets the version before it answer again, withdraw none"
    doubted = _doubted(workspace, model, _told(workspace, model))
    lines = [
        f"{model}: its rollout record says that {event.backend.said} was promoted at {event.change.at}, but {why}; "
        f"{back}"
        for event, why in doubted
        if why
    ]
    if stable := _stable(workspace, model):
        named = stable.version, stable.sha256
        told = any((event.backend.version, event.backend.sha256) == named for event, _ in doubted)
        known = {(one.version, one.sha256 or stable.sha256) for one in promotions(workspace, model)}
        if not told and named not in known:
            lines.append(f"{model}: its rollout record lets {stable.said} answer, which was never promoted; {back}")
    return lines


def _stable(workspace: Workspace, model: str) -> Backend | None:
    """What the record lets answer now; its history may tell otherwise."""
    try:
        return workspace.rollouts.load(model).stable
    except MissingReference:
        return None


def _doubted(workspace: Workspace, model: str, told: list[Event]) -> list[tuple[Event, str]]:
    """Events that the ledger does not have yet, in order, with why each was none of the platform's, or nothing."""
    untold = _untold(workspace, model, told)
    return [(event, _doubt(workspace, model, event, untold[:place])) for place, event in enumerate(untold)]


def _told(workspace: Workspace, model: str) -> list[Event]:
    """What the rollout record tells; nothing of a model that was never deployed."""
    try:
        return events(workspace.rollouts.history(model))
    except MissingReference:
        return []


def _untold(workspace: Workspace, model: str, told: list[Event]) -> list[Event]:
    """Those of these events that the ledger does not have."""
    known = _revisions(workspace, model) if told else set()
    # By its time as well: a record that was set back counts its revisions from there again.
    return [
        event for event in told if not known & {(event.change.revision, event.change.at), (event.change.revision, "")}
    ]


def _doubt(workspace: Workspace, model: str, event: Event, before: list[Event]) -> str:
    """Why a promotion was none of the platform's; empty where it may have been, and for what takes a version away.

    A package that went live needs no verdict of today, but only as the version that it went live as: the record says
    both, and either may be edited. One that was rolled back before it went live needs a rollout of its own again.
    """
    if event.kind != PROMOTION:
        return ""
    version, sha256 = event.backend.version, event.backend.sha256
    try:
        registered = workspace.registry.get(model, version)
    except MissingReference:
        return f"version {version} is not registered"
    decision = standing(workspace, registered)
    if decision.status == "rejected":
        return f"{decision.by} rejected it ({decision.reason})"
    history = workspace.rollouts.history(model)
    if held := shadow_verdicts.held_back(model, history, event.change, event.began):
        return held
    if promoted(workspace, model, version, sha256):
        return ""
    ended = _ended(workspace, model, event.backend, before)
    if _begun(workspace, model, event.backend, ended, event.change.at):
        return ""
    if ended:
        return f"its rollout ended at {ended}"
    # An earlier release told no rollout before it had succeeded. That ends with the first one under this release.
    begun = workspace.ledger.entries(subject_name=f"{model}/deployment", kind=ROLLOUT)
    if not begun and decision.status == "approved" and of_an_earlier_release(workspace, registered, sha256):
        return ""
    return "the ledger knows of no rollout of this package"


def attend(workspace: Workspace, models: Iterable[str]) -> list[str]:
    """Let the supervisor run where it ended by itself, and ledger and registry catch up; a sentence for each that did
    or could not be done."""
    from ml_platform.rollout.control import keep_running

    said = []
    try:
        if keep_running(workspace.settings):
            said.append("the supervisor of the services had ended; it runs again")
        workspace.require_whole(asked := list(models))
    except PlatformError as error:
        return [*said, str(error)]
    for model in asked:
        try:
            if told := project(workspace, model, Run.new()):
                said.append(f"{model}: {told} changes of its rollout record were written to the ledger")
            said += unfounded(workspace, model)
        except PlatformError as error:
            # The others are looked at all the same.
            said.append(str(error))
    return said


def catch_up(workspace: Workspace, models: Iterable[str]) -> None:
    """Let ledger and registry know what rollout records tell, before somebody asks them for a champion.

    Where they are away, broken or not to be written to, they stay as they are: ``status`` says why.
    """
    for model in models:
        with suppress(PlatformError):
            project(workspace, model, Run.new())


def untold(workspace: Workspace, model: str, version: int, sha256: str) -> bool:
    """Whether a package was promoted, as this version, and the ledger has yet to be told."""
    try:
        found = _doubted(workspace, model, _told(workspace, model))
    except PlatformError:
        # A damaged record tells nothing that anybody could believe.
        return False
    return any(
        event.kind == PROMOTION and not why and (event.backend.version, event.backend.sha256) == (version, sha256)
        for event, why in found
    )


def project(workspace: Workspace, model: str, run: Run) -> int:
    """Write to ledger and registry what they do not have yet of a model's history; how many entries that were.

    The alias follows the ledger. Raises PlatformError where one of them is away; what is missing is written by whoever
    comes next. A promotion that is :func:`unfounded` is never written.
    """
    told = _told(workspace, model)
    if not told:
        return 0
    # What a cut ledger lost would be told again, or be taken for a promotion that never was.
    workspace.require_whole({model})
    with workspace.registry.tracking.lock(f"rollout-{model}"):
        missing = [event for event, why in _doubted(workspace, model, told) if not why]
        versions = {event.backend.version: workspace.registry.get(model, event.backend.version) for event in missing}
        for event in missing:
            began = event.began
            asked = began if event.kind == PROMOTION else event.change
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
                    **({"instead_of": began.before} if began.action == "return" and event.kind == PROMOTION else {}),
                    **({ANSWERED: True} if event.answered else {}),
                    **_gave_up(workspace, model, event.gave_up),
                },
                run_id=began.run_id or run.id,
                provenance=run.provenance,
            )
        _alias(workspace, model)
        verdicts = shadow_verdicts.tell(workspace, model, workspace.rollouts.history(model), run)
        # Last: how far the ledger is with all that, where the ledger is not.
        if missing:
            note_decision(workspace.ledger, workspace.registry, model, missing[-1].backend.version)
    return len(missing) + verdicts


def _gave_up(workspace: Workspace, model: str, candidate: Backend | None) -> dict[str, Any]:
    """What an entry says of a candidate that nobody promoted or rolled back, but that a person's decision ended."""
    if candidate is None:
        return {}
    sha256 = workspace.registry.get(model, candidate.version).sha256
    return {GAVE_UP: {"version": candidate.version, "sha256": sha256, "service": candidate.sha256}}


def _alias(workspace: Workspace, model: str) -> None:
    """Let ``champion`` name what was promoted last, also where somebody has moved or deleted it: without it the next
    candidate would be compared with nothing."""
    if made := promotions(workspace, model):
        wanted, champion = made[-1].version, workspace.registry.champion(model)
        if champion is None or champion.version != wanted:
            workspace.registry.set_alias(model, "champion", wanted)


def _revisions(workspace: Workspace, model: str) -> set[tuple[int, str]]:
    """Revisions that the ledger has, each with its time where the entry says it.

    Entries of an earlier release name no revision: nothing of theirs is told again, since that release's changes are
    none of :data:`ENTRIES` but withdrawals, which nothing ever made.
    """
    entries = [
        entry
        for kind in set(ENTRIES.values())
        for entry in workspace.ledger.entries(subject_name=f"{model}/champion", kind=kind)
    ]
    return {(int(entry.body["revision"]), entry.body.get("at", "")) for entry in entries if "revision" in entry.body}
