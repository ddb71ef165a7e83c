"""When a model is trained: the decision by declaration and facts, for any of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.live.performance import LiveRule
from ml_platform.live.retraining import ATTEMPTS, Decision, Facts, RetrainPolicy, decide

NOW = datetime(2024, 6, 1, tzinfo=UTC)
MONTHS = ("2024-04-01", "2024-05-01")
SOME = st.sampled_from([(), MONTHS[:1], MONTHS])
TEXT = st.sampled_from(["", "some text"])
CONSEQUENCES = st.sampled_from(["retrain", "advise", "stop"])

POLICIES = st.builds(
    RetrainPolicy,
    new_data=st.booleans(),
    min_new_partitions=st.integers(1, 3),
    every=st.none() | st.integers(1, 60),
    drift=st.sampled_from([(), ("inputs",)]),
    live_performance=st.sampled_from([None, LiveRule()]),
    correction=CONSEQUENCES,
    withdrawal=CONSEQUENCES,
    cooldown=st.integers(0, 60),
    per_day=st.integers(1, 3),
    refusals=st.integers(1, 3),
)
FACTS = st.builds(
    Facts,
    name=st.just("m"),
    now=st.just(NOW),
    span=st.just("trained on A"),
    problem=TEXT,
    outcome=TEXT,
    trained=st.booleans(),
    unfinished=st.booleans(),
    new=SOME,
    corrected=SOME,
    withdrawn=SOME,
    rebuilt=SOME,
    drifted=st.sampled_from([{}, {"inputs": "a sentence"}]),
    fallen=TEXT,
    last=st.none() | st.integers(0, 90).map(lambda days: NOW - timedelta(days=days)),
    recent=st.integers(0, 3),
    refused=st.integers(0, 4),
    attempts=st.integers(0, ATTEMPTS + 1),
    busy=TEXT,
    paused=TEXT,
    asked=TEXT,
    skipped=TEXT,
)
NEWS = Facts("m", NOW, span="trained on A", trained=True, new=MONTHS[1:])


def decided(facts: Facts = NEWS, policy: dict[str, Any] | None = None, **changed: Any) -> Decision:
    return decide(RetrainPolicy.model_validate(policy or {}), replace(facts, **changed))


@given(POLICIES, FACTS)
def test_nothing_is_trained_that_may_not_be(policy: RetrainPolicy, facts: Facts) -> None:
    found = decide(policy, facts)
    assert found.said.startswith("m: ") and "\n" not in found.said
    assert bool(found.causes) == (found.action in ("train", "advise"))
    if found.action != "train":
        return
    assert not (facts.busy or facts.paused or facts.problem)
    if facts.asked:
        return
    assert not (facts.outcome or facts.skipped)
    assert facts.attempts < ATTEMPTS
    assert facts.refused < policy.refusals
    assert not (facts.corrected and policy.correction == "stop")
    assert not (facts.withdrawn and policy.withdrawal == "stop")
    if not facts.attempts:
        assert facts.recent < policy.per_day
        assert facts.last is None or NOW - facts.last >= timedelta(days=policy.cooldown)


@given(POLICIES, FACTS)
def test_a_person_outranks_every_limit_but_no_pause(policy: RetrainPolicy, facts: Facts) -> None:
    found = decide(policy, replace(facts, asked="wanted", busy="", problem=""))
    assert found.action == ("wait" if facts.paused else "train")


@given(POLICIES, FACTS)
def test_unchanged_data_is_trained_on_only_where_a_training_did_not_end(policy: RetrainPolicy, facts: Facts) -> None:
    same = replace(facts, trained=True, new=(), corrected=(), withdrawn=(), rebuilt=(), asked="")
    if decide(policy, same).action == "train":
        assert facts.attempts or facts.unfinished


@given(POLICIES, FACTS)
def test_live_performance_alone_never_starts_a_second_training(policy: RetrainPolicy, facts: Facts) -> None:
    better = decide(policy, replace(facts, fallen=""))
    worse = decide(policy, replace(facts, fallen="below"))
    if better.action == "train":
        assert worse.action == "train" and set(worse.causes) >= set(better.causes)


@given(POLICIES, FACTS)
def test_a_cause_more_never_ends_a_training_that_was_due(policy: RetrainPolicy, facts: Facts) -> None:
    if decide(policy, replace(facts, drifted={})).action == "train":
        assert decide(policy, replace(facts, drifted={"inputs": "a sentence"})).action == "train"


@pytest.mark.parametrize(
    ("policy", "changed", "action", "said"),
    [
        ({}, {}, "train", "m: new data (2024-05-01): trained on A"),
        ({}, {"new": ()}, "wait", "m: nothing changed since the last training; waits for new data"),
        ({"min_new_partitions": 2}, {}, "wait", "m: 1 of 2 new partitions (2024-05-01); waits for more"),
        ({"min_new_partitions": 2}, {"new": MONTHS}, "train", "m: new data (2024-04-01, 2024-05-01): trained on A"),
        ({"min_new_partitions": 2, "drift": ["inputs"]}, {"drifted": {"inputs": "x"}}, "train", "drift of inputs"),
        ({}, {"drifted": {"inputs": "x"}, "new": ()}, "advise", "m: training is advised: drift of inputs"),
        ({}, {"fallen": "below", "new": ()}, "advise", "m: training is advised: live performance: below; ml-platform"),
        ({"min_new_partitions": 2}, {"fallen": "below"}, "advise", "m: training is advised: live performance: below"),
        ({"min_new_partitions": 2, "live_performance": {}}, {"fallen": "below"}, "train", "m: live performance: below"),
        ({"live_performance": {}}, {"fallen": "below", "new": ()}, "wait", "m: nothing changed since"),
        ({"new_data": False, "live_performance": {}}, {}, "wait", "trained on live performance, a correction"),
        ({"new_data": False, "every": 30}, {"last": NOW - timedelta(days=29)}, "wait", "trained on every 30 days"),
        ({"new_data": False, "every": 30}, {"last": NOW - timedelta(days=30)}, "train", "due every 30 days"),
        ({"cooldown": 7}, {"last": NOW - timedelta(days=6)}, "wait", "and waits: cooldown until 2024-06-02 00:00"),
        ({"cooldown": 7}, {"last": NOW - timedelta(days=7)}, "train", "new data"),
        ({"per_day": 2}, {"recent": 2}, "wait", "2 trainings in 24 hours, per_day allows 2"),
        ({"per_day": 2}, {"recent": 2, "attempts": 1}, "train", "(attempt 2 of 3)"),
        ({}, {"attempts": 3}, "stuck", "given up after 3 trainings"),
        ({}, {"refused": 2}, "train", "new data"),
        ({}, {"refused": 3}, "advise", "not begun: 3 candidates in a row were refused"),
        ({}, {"corrected": MONTHS[:1], "new": ()}, "train", "2024-04-01 corrected"),
        ({"correction": "advise"}, {"corrected": MONTHS[:1], "new": ()}, "advise", "2024-04-01 corrected"),
        ({"correction": "stop"}, {"corrected": MONTHS[:1]}, "stuck", "stopped, since 2024-04-01 corrected"),
        ({"withdrawal": "stop"}, {"withdrawn": MONTHS[:1]}, "stuck", "stopped, since 2024-04-01 withdrawn"),
        ({"withdrawal": "advise"}, {"withdrawn": MONTHS[:1], "new": ()}, "advise", "2024-04-01 withdrawn"),
        ({"new_data": False}, {}, "wait", "not trained on new data (retrain.new_data: false); trained on a correction"),
    ],
)  # fmt: skip
def test_what_a_declaration_means(policy: dict[str, Any], changed: dict[str, Any], action: str, said: str) -> None:
    found = decided(policy=policy, **changed)
    assert found.action == action, found.said
    assert said in found.said


def test_live_performance_and_new_data_are_one_training() -> None:
    found = decided(fallen="below", policy={"live_performance": {"below": 1, "windows": 1}})
    assert found.causes == ("new data (2024-05-01)", "live performance: below")


def test_two_causes_are_one_training() -> None:
    found = decided(drifted={"inputs": "x"}, corrected=MONTHS[:1], policy={"drift": ["inputs"]})
    assert found.causes == ("new data (2024-05-01)", "2024-04-01 corrected", "drift of inputs")
