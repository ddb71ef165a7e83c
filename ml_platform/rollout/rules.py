"""What becomes of a rollout: pure decisions on what the supervisor saw in one poll."""

from dataclasses import dataclass, field
from itertools import accumulate
from math import sqrt
from typing import Literal

from ml_platform.rollout.counts import Counted, Traffic
from ml_platform.rollout.record import Judged, RolloutRecord, Rules, by_chance

#: Seconds within which the router must carry a step out.
ROUTED = 10.0
#: Seconds for which requests may wait while none of them is answered.
SILENT = 3.0
#: How many times the declared multiple of latency a promoted version may take: nothing answers beside it under the same
#: load.
ALONE = 2.0
#: Where bad requests meet both sides alike, the share refused of one exceeds that of the other by more than this, in
#: units of the standard error, in one look of a thousand.
REFUSED_BY_CHANCE = 3.09


@dataclass(frozen=True)
class Seen:
    """What is known of a rollout. Counts of the candidate are those of the present step; None where nothing counts."""

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
    #: What the candidate is compared with; too few requests compare with a version without fault.
    base: Counted = field(default_factory=Counted)
    candidate: Counted | None = None
    #: Seconds for which requests to the candidate have waited and none was answered.
    silent: float = 0.0
    #: What copies of requests say of each gate on them; empty where nobody has looked yet.
    copies: tuple[Judged, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    do: Literal["wait", "step", "promote", "roll_back"]
    why: str
    #: Whether requests wait for a candidate that will not answer them.
    silent: bool = False
    #: The gates that decided it.
    judged: tuple[Judged, ...] = ()


def decide(record: RolloutRecord, seen: Seen) -> Decision:
    """The next thing to do with a record that has a candidate.

    It goes back for what is wrong with it also while it is paused; it goes on only for what was really seen: no data is
    no pass.
    """
    if back := bad(record.rules, seen):
        return back
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
    if short := missing(record, seen):
        return Decision("wait", short)
    step = record.steps[record.step - 1]
    met = f"{_requests(seen)} requests in {seen.seconds:.0f} s" if step.requests or step.seconds else "it answers"
    if record.compares:
        return _compared(seen.copies, met)
    return Decision("promote" if record.step == len(record.steps) else "step", met)


def missing(record: RolloutRecord, seen: Seen) -> str:
    """What the present step still asks for, requests or time; empty where it has got them."""
    step = record.steps[record.step - 1]
    if (requests := _requests(seen)) < step.requests:
        return f"{requests} of {step.requests} requests"
    return f"{seen.seconds:.0f} of {step.seconds:g} s" if seen.seconds < step.seconds else ""


def _requests(seen: Seen) -> int:
    return seen.candidate.traffic.requests if seen.candidate else 0


def _compared(copies: tuple[Judged, ...], met: str) -> Decision:
    """What becomes of a candidate whose answers to copies were compared with those that were given."""
    if not copies:
        return Decision("wait", "nobody has compared the answers to copies yet")
    held = [one for one in copies if one.holds]
    if failed := [one.reason for one in held if one.status == "failed"]:
        return Decision("roll_back", "; ".join(failed), judged=copies)
    if held:
        return Decision("wait", "; ".join(one.reason for one in held))
    return Decision("step", "; ".join([met, *(one.reason for one in copies)]), judged=copies)


def bad(rules: Rules, seen: Seen) -> Decision | None:
    """The decision to go back, where what was seen asks for it."""
    if seen.broken:
        return Decision("roll_back", seen.broken)
    if seen.candidate is None:
        return None
    if wrong := breach(rules, seen.base, seen.candidate):
        return Decision("roll_back", wrong)
    # An answer that always takes long is none that does not come.
    patience = max(SILENT, (rules.latency or 1.0) * seen.base.traffic.latency)
    if seen.silent > patience:
        why = f"silent: {seen.candidate.traffic.waiting} requests wait, none answered for {patience:.0f} s"
        return Decision("roll_back", why, silent=True)
    return None


def promoted_bad(rules: Rules, seen: Seen) -> Decision | None:
    """The decision to take a promoted version back, which is compared with what the version before it did."""
    wider = rules.latency and rules.latency * ALONE
    return bad(rules.model_copy(update={"latency": wider}), seen)


def breach(rules: Rules, stable: Counted, candidate: Counted) -> str:
    """The rule that a candidate breaks, with its figures; empty where it keeps them all or has got too few requests."""
    asked = candidate.traffic
    if asked.requests < rules.requests:
        return ""
    # Without requests of its own the stable version is taken to be without fault.
    base = stable.traffic if stable.traffic.requests >= rules.requests else Traffic()

    def share(part: int, of: int) -> float:
        return part / max(1, of)

    got = f"of {asked.requests} requests"
    if rules.errors is not None:
        wrong, usual = share(asked.failed, asked.requests), share(base.failed, base.requests)
        if wrong > usual + rules.errors:
            return f"errors: {wrong:.1%} {got} failed, stable {usual:.1%}"
    if rules.refused is not None:
        wrong, usual = share(asked.refused, asked.requests), share(base.refused, base.requests)
        if wrong > usual + rules.refused + _by_chance(asked, base):
            return f"refused: {wrong:.1%} {got} were refused, stable {usual:.1%}"
    if rules.latency is not None and base.requests and base.latency > 0:
        # Under a millisecond more nobody notices, and the clock's grain would decide.
        slow = asked.latency > base.latency * rules.latency and asked.latency > base.latency + 0.001
        if slow:
            return f"latency: {asked.latency * 1000:.1f} ms {got}, stable {base.latency * 1000:.1f} ms"
    if rules.stale is not None:
        old, usual = (share(side.answers.stale, side.answers.rows) for side in (candidate, stable))
        if old > usual + rules.stale:
            rows = f"of {candidate.answers.rows} rows"
            return f"stale: the history is older than declared for {old:.1%} {rows}, stable {usual:.1%}"
    return _other_predictions(rules, stable, candidate)


def _by_chance(one: Traffic, other: Traffic) -> float:
    """By how much two shares of refused requests may differ by chance (pooled standard error of two proportions); 0
    where a side has got none."""
    if not one.requests or not other.requests:
        return 0.0
    pooled = (one.refused + other.refused) / (one.requests + other.requests)
    return REFUSED_BY_CHANCE * sqrt(pooled * (1 - pooled) * (1 / one.requests + 1 / other.requests))


def _other_predictions(rules: Rules, stable: Counted, candidate: Counted) -> str:
    """Rows of one request are alike: a request counts once, however many rows it has."""
    ones, others = candidate.answers.predictions, stable.answers.predictions
    requests = [min(sum(counts), side.traffic.requests) for counts, side in ((ones, candidate), (others, stable))]
    if rules.predictions is None or min(requests) < rules.requests:
        return ""
    upto = [[part / sum(counts) for part in accumulate(counts)] for counts in (ones, others)]
    difference = max(abs(one - other) for one, other in zip(*upto, strict=False))
    chance = by_chance(*requests)
    if difference <= rules.predictions + chance:
        return ""
    return (
        f"predictions: distributed otherwise by {difference:.2f} (Kolmogorov-Smirnov) in {requests[0]} requests, "
        f"chance explains {chance:.2f}"
    )
