"""Whether verdicts allow a step, and whether one says anything new."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.errors import Refused
from ml_platform.gates.gate import KINDS, Gate, Verdict

#: A clock within this of the wall clock is one.
_WALL = timedelta(minutes=1)


def latest(verdicts: Iterable[Verdict], gates: Mapping[str, Gate]) -> dict[str, Verdict]:
    """Of verdicts in order the latest by gate; of ``gates`` the latest that is theirs as declared, in their context.

    Where content was judged under several declarations (two models of equal bytes, an edit that was taken back) each
    finds its own.
    """
    newest: dict[str, Verdict] = {}
    for verdict in verdicts:
        gate, before = gates.get(verdict.gate), newest.get(verdict.gate)
        if gate is None or gate.judged(verdict) or not gate.judged(before):
            newest[verdict.gate] = verdict
    return newest


def allowed(name: str, subject: str, known: Mapping[str, Verdict], gates: Iterable[Gate]) -> list[Verdict]:
    """The verdicts of these gates on one content. Raises Refused naming each gate that does not let it pass."""
    #: Gate and status to the reason, where there is one.
    problems: dict[str, str] = {}
    found: list[Verdict] = []
    for gate in gates:
        verdict = known.get(gate.name)
        if verdict is None:
            if gate.blocking:
                problems[f"{gate.name} missing"] = ""
            continue
        if gate.blocking and not gate.judged(verdict):
            problems[f"{gate.name} {_otherwise(gate, verdict)}"] = ""
        elif verdict.holds_back:
            problems[f"{gate.name} {verdict.status.replace('_', ' ')}"] = verdict.reason
        elif gate.blocking and (why := _forged(gate, verdict)):
            problems[f"{gate.name} forged"] = why
        found.append(verdict)
    if problems:
        told = [f"{problem}: {reason}" if reason else problem for problem, reason in problems.items()]
        raise Refused(
            f"{name} ({subject[:12]}) is refused by its gates: {'; '.join(told)}. Correct it and run its checks again.",
            because=", ".join(problems),
        )
    return found


def not_before(moment: datetime, written: str | None) -> datetime:
    """What a wall clock says, and no time before any entry was ``written``: one that is set back prolongs no override.

    A time that is injected is whatever it is set to.
    """
    if written is None or abs(now_utc() - moment) > _WALL:
        return moment
    return max(moment, datetime.fromisoformat(written))


def _otherwise(gate: Gate, verdict: Verdict) -> str:
    """In what a verdict is none of this gate as it is now."""
    if verdict.declaration != gate.declaration:
        return "judged under another declaration"
    return "judged in another context" if verdict.context else "judged by a release that noted no context"


def _forged(gate: Gate, verdict: Verdict) -> str:
    """Why a pass cannot be what this gate gave: its own numbers break the threshold; empty where they do not."""
    if not verdict.passed:
        return ""
    if verdict.observed is not None and not gate.accepts(verdict.observed):
        return f"it is recorded as passed with {verdict.observed:g}, where {gate.threshold} passes"
    if verdict.support is not None and verdict.support < gate.min_support:
        return f"it is recorded as passed on a support of {verdict.support}, of {gate.min_support} needed"
    return ""


def same(left: str, right: str) -> bool:
    """Equal but for what differs from run to run: ``details`` (timings, samples), and what a clock measured."""

    def essence(text: str) -> Any:
        body = json.loads(text)
        judged = KINDS.get(str(body.get("gate")))
        varying = {"details", "reason", "observed"} if judged and judged.timed else {"details", "reason"}
        return {name: value for name, value in body.items() if name not in varying}

    return left == right or essence(left) == essence(right)
