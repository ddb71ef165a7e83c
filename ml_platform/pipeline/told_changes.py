"""What the ledger tells of the changes of a rollout record."""

from typing import NamedTuple

from ml_platform.ledger.kinds import PROMOTION, ROLLBACK, WITHDRAWAL
from ml_platform.rollout.record import Action, Backend, Change

#: What a change is in the ledger; the others say nothing about which version answers.
ENTRIES: dict[Action, str] = {"promote": PROMOTION, "roll_back": ROLLBACK, "withdraw": WITHDRAWAL}


class Event(NamedTuple):
    """A change that the ledger tells of, with the one that began it."""

    kind: str
    change: Change
    #: What was promoted, rolled back or withdrawn.
    backend: Backend
    #: Who wanted the rollout, and what for.
    began: Change
    #: Whether requests had reached what was rolled back, and the candidate that went with what was left or withdrawn.
    answered: bool = False
    gave_up: Backend | None = None


def events(history: tuple[Change, ...]) -> list[Event]:
    """What the ledger tells of a history, in order. That only another history is answered from is not among it."""
    found: list[Event] = []
    before: Change | None = None
    began: Change | None = None
    gave_up: Backend | None = None
    for change in history:
        waited = before.candidate if before is not None else None
        if change.action in ("start", "return", "refresh"):
            began = change
            gave_up = _other(waited, change.candidate) if change.action == "return" else None
        elif change.action in ENTRIES:
            left = before and (before.candidate if change.action != "withdraw" else before.stable or before.candidate)
            refreshed = began is not None and began.action == "refresh" and change.action != "withdraw"
            if left is not None and not refreshed:
                beside = _other(waited, left) if change.action == "withdraw" else gave_up
                answered = change.action == "roll_back" and before is not None and before.weight + before.shadow > 0
                found.append(Event(ENTRIES[change.action], change, left, began or change, answered, beside))
            gave_up = None
        before = change
    return found


def _other(one: Backend | None, than: Backend | None) -> Backend | None:
    """A package, where it is another."""
    return one if one is not None and (than is None or one.sha256 != than.sha256) else None
