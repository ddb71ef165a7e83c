"""What does not go live by itself: what a person took down or left, what broke a rule, what is older than the champion.

By the ledger, which the rollout record is told to first. A person lets it go live all the same, by name.
"""

from typing import NamedTuple

from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import PROMOTION, ROLLBACK, ROLLOUT, WITHDRAWAL
from ml_platform.pipeline import champions, current_splits
from ml_platform.pipeline.decisions import Decision, decisions_on
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ServiceRef, VersionRef
from ml_platform.rollout.changes import SUPERVISOR
from ml_platform.rollout.record import Change

#: What the entry of a rollback says of a candidate that requests had reached, and of one that went with what was left.
ANSWERED, GAVE_UP = "answered", "gave_up"
_WORDS = "--by NAME --reason TEXT"


class Hold(NamedTuple):
    """Why something does not go live by itself."""

    #: What was done to it: ``taken down``, ``left`` or ``rolled back``.
    done: str
    by: str
    reason: str
    #: ISO time.
    at: str
    model: str
    version: int
    #: The model, and the package; empty where the ledger does not say.
    sha256: str
    service: str
    #: Number of its entry in the ledger.
    sequence: int
    #: Whether nothing of the model goes live by itself.
    whole: bool = False

    @property
    def short(self) -> str:
        """What was done, and by whom."""
        return f"{self.done} by {self.by}"

    @property
    def next(self) -> tuple[str, ...]:
        """Commands with which a person lets it go live."""
        start = f"ml-platform rollout start {self.model} {_WORDS}"
        back = f"ml-platform rollout rollback {self.model} --to {self.version} {_WORDS}"
        return (start, back) if self.whole else (start,)

    @property
    def said(self) -> str:
        """What holds, who said so, why, and the way out."""
        spoken, start = f"{self.by} at {self.at[:16]} ({self.reason})", self.next[0]
        if self.whole:
            return (
                f"{self.model} was taken down by {spoken}, so no version of it goes live by itself; {start} lets the "
                f"newest answer, {self.next[1]} the one that did"
            )
        return (
            f"{self.model} version {self.version} was {self.done} by {spoken}, so it does not go live by itself again; "
            f"{start} lets it, another model takes over as usual"
        )

    def about(self, version: VersionRef, service: str, champion: int) -> bool:
        """Whether it is about this version, or its package ``service``.

        What a rule sent back is the package: mended, its version may come. So it is with the champion's own version.
        """
        if self.service and self.service == service:
            return True
        if self.by == SUPERVISOR or version.version == champion:
            return False
        return version.version == self.version or version.sha256 == self.sha256

    def ended(self, version: int, sha256: str, service: str) -> bool:
        """Whether a promotion takes it back."""
        if self.by == SUPERVISOR and self.service:
            return service == self.service
        return version == self.version or sha256 == self.sha256


def holds(workspace: Workspace, model: str) -> list[Hold]:
    """All that holds of a model, the newest last; of the ``whole`` model until a version is promoted again."""
    entries = [
        entry
        for kind in (PROMOTION, ROLLBACK, WITHDRAWAL)
        for entry in workspace.ledger.entries(subject_name=f"{model}/champion", kind=kind)
    ]
    found: list[Hold] = []
    stack: list[Entry] = []
    for entry in sorted(entries, key=lambda one: one.sequence):
        if entry.kind == PROMOTION:
            found = [one for one in found if not one.whole and not one.ended(*_named(entry))]
            number, left = int(entry.body["version"]), int(entry.body.get("instead_of") or 0)
            passed = [int(one.body["version"]) for one in stack]
            passed = passed[passed.index(number) + 1 :] if number in passed else [left] * (left > 0)
            if left:
                gone = [one for one in stack if int(one.body["version"]) in {*passed, left} - {number}]
                found += [_hold(model, "left", entry, *_named(one)) for one in gone]
            stack = [one for one in stack if int(one.body["version"]) not in {*passed, left, number}] + [entry]
        elif entry.kind == WITHDRAWAL:
            found += [_hold(model, "taken down", entry, *_named(entry), whole=whole) for whole in (False, True)]
        elif entry.body.get("by") != SUPERVISOR or entry.body.get(ANSWERED):
            found.append(_hold(model, "rolled back", entry, *_named(entry)))
        if gave_up := entry.body.get(GAVE_UP):
            found.append(_hold(model, "left", entry, gave_up["version"], gave_up["sha256"], gave_up["service"]))
    return found


def _named(entry: Entry) -> tuple[int, str, str]:
    return int(entry.body["version"]), entry.subject, str(entry.body.get("service", ""))


def _hold(model: str, done: str, entry: Entry, version: int, sha256: str, service: str, *, whole: bool = False) -> Hold:
    body = entry.body
    at = str(body.get("at") or entry.at.isoformat())
    by, why = str(body.get("by") or "somebody"), str(body.get("because") or "no reason is known")
    return Hold(done, by, why, at, model, version, sha256, service, entry.sequence, whole)


def held(workspace: Workspace, version: VersionRef, service: str = "") -> Hold | None:
    """What keeps a version, or its package ``service``, from going live by itself; None where nothing does.

    A person's approval since lifts what is of one version; a rollout of this package that began since was a person's.
    """
    there = holds(workspace, version.model)
    if not there:
        return None
    about = f"{version.model}/deployment"
    rollouts = workspace.ledger.entries(subject=service, subject_name=about, kind=ROLLOUT) if service else []
    begun = max((one.sequence for one in rollouts), default=0)
    made = decisions_on(workspace, version.model_ref)
    approved = max((one.sequence for one in made if _by_a_person(one, version)), default=0)
    champion = _champion(workspace, version.model)
    for one in sorted(there, key=lambda one: (one.whole, one.sequence), reverse=True):
        lifted = (begun if one.whole else max(begun, approved)) > one.sequence
        if not lifted and (one.whole or one.about(version, service, champion)):
            return one
    return None


def _by_a_person(one: Decision, version: VersionRef) -> bool:
    return one.by_person and one.status == "approved" and one.version in (None, version.version)


def newest_package(workspace: Workspace, version: VersionRef) -> str:
    """Content hash of the newest package, where it is of this version; else empty."""
    service: ServiceRef | None = workspace.latest(f"{version.model}/service")
    return service.sha256 if service is not None and service.version == version.version else ""


def in_the_way(workspace: Workspace, model: str, newest: VersionRef | None) -> list[Hold]:
    """What keeps the newest version of a model from going live by itself, with its newest package; at most one."""
    if newest is None:
        return []
    found = held(workspace, newest, newest_package(workspace, newest))
    return [found] if found is not None else []


def require(workspace: Workspace, version: VersionRef, service: str, *, by_person: bool) -> None:
    """Raise Refused where a package must not go live now.

    That is, whoever asks: a version that learned from what was taken out since, or is :func:`older` than the champion.
    Unless a person asks: what is :func:`held`, or while a person goes back to another version.
    """
    if not by_person:
        if (found := held(workspace, version, service)) is not None:
            raise Refused(found.said, because=found.short)
        if (back := _going_back(workspace, version.model, service)) is not None:
            raise Refused(
                f"{version.model} version {version.version} ({service[:12]}): {back.who} goes back to another version "
                f"since {back.at[:16]} ({back.why}); wait, or ml-platform rollout abort {version.model} {_WORDS}",
                because=f"{back.who} goes back to another version",
            )
    _require_newer(workspace, version)
    _require_published(workspace, version, service)


def _going_back(workspace: Workspace, model: str, service: str) -> Change | None:
    """The change with which the way back to another package began that is under way; None where none is."""
    try:
        record, history = workspace.rollouts.load(model), workspace.rollouts.history(model)
    except MissingReference:
        return None
    began = next((one for one in reversed(history) if one.action in ("start", "return", "refresh")), None)
    if record.candidate is None or record.candidate.sha256 == service or began is None or began.action != "return":
        return None
    return began


def _require_published(workspace: Workspace, version: VersionRef, service: str) -> None:
    """Raise Refused where a version learned from what was taken out since, unless its package is what answers."""
    try:
        stable = workspace.rollouts.load(version.model).stable
    except MissingReference:
        stable = None
    answers = stable is not None and (stable.version, stable.sha256) == (version.version, service)
    if not answers or not champions.promoted(workspace, version.model, version.version, service):
        current_splits.require_published(workspace, version)


def older(workspace: Workspace, version: VersionRef) -> str:
    """Why a version is none to go live in place of the champion, by whoever asks; empty where it may.

    A lower number comes again from a training where the champion's data was taken out, and no later split was made.
    """
    model, number = version.model, version.version
    champion = _champion(workspace, model)
    # A trial compares with a champion of another registry, whose numbers say nothing here.
    if number >= champion or champion not in dict(workspace.registry.tags(model)):
        return ""
    split = version.model_ref.evaluated.split
    gone = current_splits.taken_out(workspace, workspace.registry.get(model, champion).model_ref.split)
    if gone and not current_splits.superseded(workspace, split) and not current_splits.taken_out(workspace, split):
        return ""
    back = f"ml-platform rollout rollback {model} --to {number} {_WORDS} lets it answer again"
    if not any(one.version == number for one in champions.promotions(workspace, model)):
        back = f"it never answered; ml-platform train {model} makes a newer one"
    return f"{model} version {number} is older than version {champion}, which is the champion: {back}"


def require_packable(workspace: Workspace, version: VersionRef) -> None:
    """Raise Refused where a version learned from what was taken out since, or is :func:`older` than the champion."""
    current_splits.require_published(workspace, version)
    _require_newer(workspace, version)


def _require_newer(workspace: Workspace, version: VersionRef) -> None:
    if why := older(workspace, version):
        raise Refused(why, because="older than the champion")


def _champion(workspace: Workspace, model: str) -> int:
    """Number of the champion in force; 0 where nothing was ever promoted."""
    standing = champions.in_force(workspace, model)
    return standing[-1].version if standing else 0
