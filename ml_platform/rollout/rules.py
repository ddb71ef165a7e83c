"""What becomes of a rollout: pure decisions on what the supervisor saw in one poll."""

from dataclasses import dataclass
from typing import Literal

from ml_platform.rollout.record import RolloutRecord, Rules
from ml_platform.rollout.routers.router import Traffic

#: Seconds within which the router must carry a step out.
ROUTED = 10.0


@dataclass(frozen=True)
class Seen:
    """What is known of a rollout. Traffic is that of the present step; None where nothing counts it."""

    #: Whether every process of the candidate answers, as the package and history that it should be.
    ready: bool
    #: Why the candidate cannot answer; empty where it does or may.
    broken: str = ""
    #: Whether the router carries out what the record says now.
    routed: bool = False
    #: Seconds for which it has not.
    unrouted: float = 0.0
    #: Seconds since the step began.
    seconds: float = 0.0
    stable: Traffic | None = None
    candidate: Traffic | None = None


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    do: Literal["wait", "step", "promote", "roll_back"]
    why: str


def decide(record: RolloutRecord, seen: Seen) -> Decision:
    """The next thing to do with a record that has a candidate.

    It goes back for what is wrong with it also while it is paused; it goes on only for what was really seen: no data is
    no pass.
    """
    if wrong := seen.broken or breach(record.rules, seen.stable, seen.candidate):
        return Decision("roll_back", wrong)
    if not seen.ready:
        return Decision("wait", "it does not answer yet")
    if not seen.routed and seen.unrouted > ROUTED:
        return Decision("roll_back", f"the router did not carry it out within {ROUTED:g} s")
    if not seen.routed:
        return Decision("wait", "the router has not acknowledged it")
    if record.paused:
        return Decision("wait", "it is paused")
    if record.step == 0:
        return Decision("step", "every process answers")
    step = record.steps[record.step - 1]
    requests = seen.candidate.requests if seen.candidate else 0
    if requests < step.requests:
        return Decision("wait", f"{requests} of {step.requests} requests")
    if seen.seconds < step.seconds:
        return Decision("wait", f"{seen.seconds:.0f} of {step.seconds:g} s")
    met = f"{requests} requests in {seen.seconds:.0f} s" if step.requests or step.seconds else "it answers"
    return Decision("promote" if record.step == len(record.steps) else "step", met)


def breach(rules: Rules, stable: Traffic | None, candidate: Traffic | None) -> str:
    """The rule that a candidate breaks, with its figures; empty where it keeps them all or has got too few requests."""
    if candidate is None or candidate.requests < rules.requests:
        return ""
    # Without requests of its own the stable version is taken to be without fault.
    base = stable if stable is not None and stable.requests >= rules.requests else Traffic()

    def share(part: int, of: Traffic) -> float:
        return part / max(1, of.requests)

    got = f"of {candidate.requests} requests"
    if rules.errors is not None:
        wrong, usual = share(candidate.failed, candidate), share(base.failed, base)
        if wrong > usual + rules.errors:
            return f"errors: {wrong:.1%} {got} failed, stable {usual:.1%}"
    if rules.refused is not None:
        wrong, usual = share(candidate.refused, candidate), share(base.refused, base)
        if wrong > usual + rules.refused:
            return f"refused: {wrong:.1%} {got} were refused, stable {usual:.1%}"
    if rules.latency is not None and base.requests and base.latency > 0:
        # Under a millisecond more nobody notices, and the clock's grain would decide.
        slow = candidate.latency > base.latency * rules.latency and candidate.latency > base.latency + 0.001
        if slow:
            return f"latency: {candidate.latency * 1000:.1f} ms {got}, stable {base.latency * 1000:.1f} ms"
    return ""
