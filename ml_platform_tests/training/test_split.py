from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.references.refs import ManifestEntry, SplitRef
from ml_platform.sources.partitions import Partitions
from ml_platform.training.split import Differences, SplitRule, check_disjoint, check_time_order, differences, plan
from ml_platform_tests.training.synthetic import entry, key, split_ref

MONTHS = [key(month) for month in range(1, 13)]
ENTRIES = {key(month): entry(month) for month in range(1, 13)}


def available(*without: str) -> dict:
    return {name: ENTRIES[name] for name in MONTHS if name not in without}


@given(
    holdout=st.integers(1, 12),
    train=st.none() | st.integers(1, 12),
    gap=st.integers(0, 12),
    refused=st.sets(st.sampled_from(MONTHS)),
    missing=st.sets(st.sampled_from(MONTHS)),
    mode=st.sampled_from(["refuse", "list"]),
)
def test_a_plan_is_disjoint_ordered_and_never_smaller(
    holdout: int, train: int | None, gap: int, refused: set[str], missing: set[str], mode: str
) -> None:
    rule = SplitRule.model_validate({"holdout": holdout, "train": train, "gap": gap, "refused": mode})
    try:
        found = plan(rule, MONTHS, available(*missing), refused)
    except PlatformError:
        return
    learnt = [item.partition for item in found.train]
    held = [item.partition for item in found.holdout]
    assert len(held) == holdout
    assert 1 <= len(learnt) <= (train or 12)
    assert learnt == sorted(learnt) and held == sorted(held)
    assert not {*learnt, *held} & refused
    # Between the parts lies the gap, and inside each nothing is passed over that was not refused.
    assert MONTHS.index(held[0]) - MONTHS.index(learnt[-1]) > gap
    assert set(MONTHS[MONTHS.index(held[0]) :]) - set(held) <= refused
    inside = MONTHS[MONTHS.index(learnt[0]) : MONTHS.index(learnt[-1]) + 1]
    assert set(inside) - set(learnt) <= refused
    assert set(inside) - set(learnt) <= set(found.refused) <= refused
    if train is not None and len(learnt) < train:
        assert set(MONTHS[: MONTHS.index(learnt[0])]) <= refused


def test_newest_partitions_are_held_out_and_the_gap_is_unused() -> None:
    found = plan(SplitRule(holdout=2, train=3, gap=1), MONTHS, available(), set())
    assert [item.partition for item in found.holdout] == MONTHS[-2:]
    assert [item.partition for item in found.train] == MONTHS[6:9]
    assert found.refused == ()


def test_partitions_whose_outcomes_are_not_known_yet_are_left_out() -> None:
    months = Partitions(every="month", start=date(2013, 1, 1))
    after = date(2014, 1, 1)
    assert SplitRule().labelled(months, MONTHS, after) == MONTHS
    assert SplitRule(label_delay=1).labelled(months, MONTHS, after) == MONTHS[:-1]
    assert SplitRule(label_delay=31).labelled(months, MONTHS, after) == MONTHS[:-1]
    assert SplitRule(label_delay=32).labelled(months, MONTHS, after) == MONTHS[:-2]
    assert SplitRule(holdout=2, gap=1, label_delay=32).back(months) == 5
    with pytest.raises(PlatformError, match=r"split.label_delay: no partition ended by 2012-12-31, 366 days before"):
        SplitRule(label_delay=366).labelled(months, MONTHS, after)


def test_a_missing_partition_is_named_even_when_others_would_do() -> None:
    with pytest.raises(MissingReference, match="2013-03-01 not materialized"):
        plan(SplitRule(), MONTHS, available("2013-03-01"), set())


def test_a_missing_partition_outside_the_window_does_not_matter() -> None:
    assert len(plan(SplitRule(train=6), MONTHS, available("2013-03-01"), set()).train) == 6


def test_a_refused_partition_stops_or_is_listed() -> None:
    with pytest.raises(Refused, match="2013-05-01 refused by the gates"):
        plan(SplitRule(refused="refuse"), MONTHS, available("2013-05-01"), {"2013-05-01"})
    found = plan(SplitRule(train=10), MONTHS, available("2013-05-01"), {"2013-05-01"})
    assert found.refused == ("2013-05-01",)
    assert len(found.train) == 10


def test_a_withdrawn_partition_stops_nothing() -> None:
    """A person took it out, and no other batch of it may ever come."""
    march, may = "2013-03-01", "2013-05-01"
    found = plan(SplitRule(refused="refuse"), MONTHS, available(march), {march}, None, {march})
    assert found.refused == (march,)
    with pytest.raises(Refused, match=f"{may} refused by the gates"):
        plan(SplitRule(refused="refuse"), MONTHS, available(march, may), {march, may}, None, {march})


def test_what_differs_between_two_splits() -> None:
    def made(*chosen: ManifestEntry, refused: tuple[str, ...] = ()) -> SplitRef:
        return split_ref(range(1, 3)).model_copy(
            update={"train": chosen[:-1], "holdout": chosen[-1:], "refused": refused}
        )

    def one(month: int, past: dict[int, str], features: str = "f") -> ManifestEntry:
        inputs = {f"flights/{key(earlier)}": rows for earlier, rows in past.items()}
        return entry(month).model_copy(update={"inputs": inputs, "sha256": features})

    before = made(one(2, {2: "a"}), one(3, {3: "a"}), one(4, {4: "a"}), one(5, {1: "a", 4: "a", 5: "a"}))
    # February left the window, which is no news; January is remembered only; April is gone, from memory as well.
    now = made(one(3, {3: "a"}, "g"), one(5, {1: "b", 5: "a"}, "g"), one(6, {6: "a"}), refused=(key(4),))
    assert differences(before, now) == Differences((key(6),), (key(1),), (key(4),), (key(3),))
    assert differences(now, now) == Differences()


def test_too_few_partitions() -> None:
    with pytest.raises(PlatformError, match="too few for holdout=2, gap=1"):
        plan(SplitRule(holdout=2, gap=1), MONTHS[:3], available(), set())
    with pytest.raises(PlatformError, match="too few"):
        plan(SplitRule(), [], {}, set())


def test_partitions_out_of_order_are_an_error() -> None:
    with pytest.raises(PlatformError, match="in time order"):
        plan(SplitRule(), MONTHS[::-1], available(), set())


@pytest.mark.parametrize("wrong", [{"holdout": 0}, {"train": 0}, {"gap": -1}, {"refused": "drop"}, {"test": 1}])
def test_rules_that_cannot_work_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        SplitRule.model_validate(wrong)


def test_a_sound_split_shares_nothing_and_is_in_order() -> None:
    split = split_ref(range(1, 6), holdout=2)
    assert check_disjoint(split).shared == 0
    order = check_time_order(split)
    assert order.ordered and (order.train_last, order.holdout_first) == ("2013-03-31", "2013-04-01")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda split: split.train[0], "partitions"),
        (lambda split: split.holdout[0].model_copy(update={"sha256": split.train[0].sha256}), "hashes"),
        (
            # The raw batch of January delivered once more as May's.
            lambda split: split.holdout[0].model_copy(
                update={"inputs": {"flights/2013-05-01": split.train[0].inputs["flights/2013-01-01"]}}
            ),
            "raw",
        ),
    ],
)
def test_anything_shared_is_found(change: Callable, part: str) -> None:
    split = split_ref(range(1, 6))
    broken = split.model_copy(update={"holdout": (change(split),)})
    evidence = check_disjoint(broken)
    assert len(getattr(evidence, part)) == 1
    assert evidence.shared >= 1


def test_training_that_reaches_into_the_holdout_is_found() -> None:
    split = split_ref(range(1, 6))
    late = split.train[-1].model_copy(update={"last": split.holdout[0].first})
    assert not check_time_order(split.model_copy(update={"train": (*split.train[:-1], late)})).ordered
