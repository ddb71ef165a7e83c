"""What becomes of a rollout, decided on what was seen in one poll."""

import pytest

from ml_platform.rollout import changes
from ml_platform.rollout.record import RolloutRecord, Rules, Step
from ml_platform.rollout.routers.router import Traffic
from ml_platform.rollout.rules import ROUTED, Seen, breach, decide
from ml_platform.testing.rollout_records import backend

STEPS = (Step(weight=10, requests=100, seconds=30),)
RULES = Rules(requests=50, errors=0.02, latency=3.0, refused=0.05)
FINE = Traffic(requests=1000, failed=2, refused=10, seconds=5.0)


def record(step: int = 0, **further: object) -> RolloutRecord:
    made = changes.promoted(changes.started(RolloutRecord(model="m"), backend(1), by="a", why="b"), why="c")
    made = changes.started(made, backend(2), by="a", why="b", strategy=STEPS)
    for _ in range(step):
        made = changes.stepped(made, why="d")
    return made.model_copy(update=further)


def seen(**further: object) -> Seen:
    return Seen(**{"ready": True, "routed": True, "seconds": 60.0, **further})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "saw", "do"),
    [
        (0, seen(ready=False), "wait"),
        (0, seen(routed=False), "wait"),
        (0, seen(), "step"),
        (0, seen(ready=False, broken="ended: no such file"), "roll_back"),
        # No data is no pass: neither without counters, nor with too few requests or too little time.
        (1, seen(), "wait"),
        (1, seen(candidate=Traffic(requests=99)), "wait"),
        (1, seen(candidate=Traffic(requests=100), seconds=29.0), "wait"),
        (1, seen(candidate=Traffic(requests=100)), "step"),
        (0, seen(routed=False, unrouted=ROUTED + 1), "roll_back"),
        (1, seen(routed=False, unrouted=ROUTED - 1), "wait"),
        (1, seen(routed=False, unrouted=ROUTED + 1), "roll_back"),
        (2, seen(seconds=0.0), "promote"),
    ],
)
def test_a_candidate_goes_on_for_what_was_seen_only(step: int, saw: Seen, do: str) -> None:
    assert decide(record(step), saw).do == do


def test_paused_it_goes_no_further_but_back() -> None:
    held = record(1, paused=True, rules=RULES)
    enough = Traffic(requests=100)
    assert decide(held, seen(candidate=enough)).do == "wait"
    assert decide(held, seen(candidate=Traffic(requests=100, failed=50), stable=FINE)).do == "roll_back"


@pytest.mark.parametrize(
    ("candidate", "rule"),
    [
        (Traffic(requests=100, failed=30), "errors: 30.0% of 100 requests failed, stable 0.2%"),
        (Traffic(requests=100, refused=20), "refused: 20.0% of 100 requests were refused, stable 1.0%"),
        (Traffic(requests=100, seconds=5.0), "latency: 50.0 ms of 100 requests, stable 5.0 ms"),
    ],
)
def test_a_breach_is_told_with_its_figures_once_there_are_enough(candidate: Traffic, rule: str) -> None:
    assert breach(RULES, FINE, candidate) == rule
    assert breach(RULES.model_copy(update={rule.partition(":")[0]: None}), FINE, candidate) == ""
    few = Traffic(requests=49, failed=49, refused=49, seconds=49.0)
    assert breach(RULES, FINE, few) == ""


def test_what_is_as_good_as_the_stable_one_breaks_nothing() -> None:
    assert breach(RULES, FINE, FINE) == ""
    # Nor what is wrong with both: a client that sends bad rows.
    bad = Traffic(requests=1000, failed=300, refused=500, seconds=5.0)
    assert breach(RULES, bad, bad) == ""


def test_counters_that_began_anew_are_no_negative_traffic() -> None:
    assert Traffic(requests=10, failed=1).since(Traffic(requests=500, failed=100)) == Traffic(requests=10, failed=1)
    assert Traffic(requests=10, failed=3).since(Traffic(requests=4, failed=1)) == Traffic(requests=6, failed=2)
