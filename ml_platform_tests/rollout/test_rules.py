"""What becomes of a rollout, decided on what was seen in one poll."""

from typing import Any

import pytest

from ml_platform.rollout import changes
from ml_platform.rollout.counts import Answers, Counted, Traffic
from ml_platform.rollout.record import RolloutRecord, Rules, Step
from ml_platform.rollout.rules import ROUTED, SILENT, Seen, breach, decide, promoted_bad
from ml_platform.testing.rollout_records import backend

STEPS = (Step(weight=10, requests=100, seconds=30),)
RULES = Rules(requests=50, errors=0.02, latency=3.0, refused=0.05)
USUAL = Traffic(requests=1000, failed=2, refused=10, seconds=5.0)
FINE = Counted(USUAL, Answers(rows=1000, predictions=(0, 500, 500)))


def record(step: int = 0, **further: object) -> RolloutRecord:
    made = changes.promoted(changes.started(RolloutRecord(model="m"), backend(1), by="a", why="b"), why="c")
    made = changes.started(made, backend(2), by="a", why="b", strategy=STEPS)
    for _ in range(step):
        made = changes.stepped(made, why="d")
    return made.model_copy(update=further)


def counted(requests: int = 100, **further: Any) -> Counted:
    return Counted(Traffic(requests, **further))


def answered(*predictions: int, stale: int = 0) -> Counted:
    rows = sum(predictions)
    return Counted(Traffic(requests=rows), Answers(rows, stale, predictions))


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
        (1, seen(candidate=counted(99)), "wait"),
        (1, seen(candidate=counted(100), seconds=29.0), "wait"),
        (1, seen(candidate=counted(100)), "step"),
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
    assert decide(held, seen(candidate=counted())).do == "wait"
    assert decide(held, seen(candidate=counted(failed=50), base=FINE)).do == "roll_back"


@pytest.mark.parametrize(
    ("candidate", "rule"),
    [
        (counted(failed=30), "errors: 30.0% of 100 requests failed, stable 0.2%"),
        (counted(refused=20), "refused: 20.0% of 100 requests were refused, stable 1.0%"),
        (counted(seconds=5.0), "latency: 50.0 ms of 100 requests, stable 5.0 ms"),
        (answered(0, 50, 50, stale=20), "stale: the history is older than declared for 20.0% of 100 rows, stable 0.0%"),
        (
            answered(100, 0, 0),
            "predictions: distributed otherwise by 1.00 (Kolmogorov-Smirnov) in 100 requests, chance explains 0.20",
        ),
    ],
)
def test_a_breach_is_told_with_its_figures_once_there_are_enough(candidate: Counted, rule: str) -> None:
    assert breach(RULES, FINE, candidate) == rule
    assert breach(RULES.model_copy(update={rule.partition(":")[0]: None}), FINE, candidate) == ""
    few = Counted(Traffic(49, failed=49, refused=49, seconds=49.0), Answers(49, 49, (49,)))
    assert breach(RULES, FINE, few) == ""


def test_a_promoted_version_is_compared_with_the_one_before_and_given_twice_the_time() -> None:
    assert promoted_bad(RULES, seen(base=FINE, candidate=counted(seconds=2.9))) is None
    assert promoted_bad(RULES, seen(base=FINE, candidate=counted(seconds=3.1))) is not None
    assert promoted_bad(RULES, seen(base=FINE, candidate=counted(failed=3))) is not None
    assert promoted_bad(RULES, seen(base=FINE, candidate=None)) is None


@pytest.mark.parametrize(("ours", "breaks"), [(25, False), (29, False), (40, True)])
def test_bad_requests_that_meet_both_sides_by_chance_send_nothing_back(ours: int, breaks: bool) -> None:
    """Two of five requests are bad; of 50 that the candidate gets, 20 are on average, and in one look of ten 25."""
    stable = Counted(Traffic(950, refused=380, seconds=5.0), Answers(570, 0, (285, 285)))
    candidate = Counted(Traffic(50, refused=ours, seconds=0.3), Answers(50 - ours, 0, (25 - ours // 2, 25 - ours // 2)))
    assert breach(RULES, stable, candidate).startswith("refused: ") is breaks


def test_what_is_as_good_as_the_stable_one_breaks_nothing() -> None:
    assert breach(RULES, FINE, FINE) == ""
    # Nor what is wrong with both: a client that sends bad rows.
    bad = Counted(Traffic(1000, failed=300, refused=500, seconds=5.0), Answers(1000, 1000, (900, 100)))
    assert breach(RULES, bad, bad) == ""


def test_other_predictions_are_told_beyond_chance_and_rows_of_one_request_count_once() -> None:
    # 0.35 is less than the declared 0.2 and what chance explains (0.2), 0.45 is more.
    assert breach(RULES, FINE, answered(35, 15, 50)) == ""
    assert breach(RULES, FINE, answered(45, 5, 50)).startswith("predictions: ")
    # The same shares in as many rows, but of 50 requests only: chance explains 0.28.
    ten_each = Counted(Traffic(50), Answers(500, 0, (225, 25, 250)))
    assert breach(RULES, FINE, ten_each) == ""


def test_requests_that_wait_for_nothing_send_a_candidate_back_before_there_are_enough() -> None:
    waiting = counted(3, waiting=5)
    assert decide(record(1), seen(candidate=waiting, silent=SILENT - 0.1)).do == "wait"
    silent = decide(record(1), seen(candidate=waiting, silent=SILENT + 0.1))
    assert (silent.do, silent.silent, silent.why) == (
        "roll_back", True, "silent: 5 requests wait, none answered for 3 s",
    )  # fmt: skip
    # Where the stable version itself takes 2 s, three times that is no silence yet.
    slow = Counted(Traffic(1000, seconds=2000.0))
    assert decide(record(1, rules=RULES), seen(base=slow, candidate=waiting, silent=5.0)).do == "wait"


def test_counters_that_began_anew_are_no_negative_traffic() -> None:
    assert Traffic(requests=10, failed=1).since(Traffic(requests=500, failed=100)) == Traffic(requests=10, failed=1)
    assert Traffic(requests=10, failed=3).since(Traffic(requests=4, failed=1)) == Traffic(requests=6, failed=2)
    now, before = Answers(10, 1, (4, 6)), Answers(4, 0, (4,))
    assert now.since(before) == Answers(6, 1, (0, 6))
    assert before.since(now) == before
    assert before + now == Answers(14, 1, (8, 6))
