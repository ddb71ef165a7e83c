"""What may happen to a record, and what each change leaves of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.rollout import changes
from ml_platform.rollout.counts import Answers, Counted, Traffic
from ml_platform.rollout.record import Backend, RolloutRecord, Rules, Step
from ml_platform.testing.rollout_records import backend

FACTS: dict[str, Any] = {"by": "ann", "why": "better"}
CANARY = (Step(shadow=100, requests=10), Step(weight=10, requests=50, seconds=60))


def saved(record: RolloutRecord) -> RolloutRecord:
    """As if it had been kept."""
    assert record.change is not None and record.change.revision == record.revision + 1
    return record.model_copy(update={"revision": record.revision + 1})


def live(version: int = 1, **further: object) -> RolloutRecord:
    record = saved(changes.started(RolloutRecord(model="m"), backend(version), **FACTS))
    return saved(changes.promoted(record, why="it answers")).model_copy(update=further)


def with_history(version: int, snapshot: str) -> Backend:
    return backend(version).model_copy(update={"snapshot": snapshot})


def test_nothing_is_stable_before_it_answered() -> None:
    record = changes.started(RolloutRecord(model="m"), backend(1), **FACTS)
    assert (record.stable, record.candidate, record.weight) == (None, backend(1), 0)
    gone = changes.rolled_back(saved(record), why="it never answered")
    assert gone.backends == () and gone.previous is None


def test_a_candidate_goes_through_its_steps_and_what_was_stable_is_kept_as_the_one_before() -> None:
    record = saved(changes.started(live(1), backend(2), strategy=CANARY, rules=Rules(errors=0.5), replicas=2, **FACTS))
    assert (record.weight, record.shadow, record.step, record.replicas) == (0, 0, 0, 2)
    seen = []
    for _ in range(3):
        record = saved(changes.stepped(record, why="enough"))
        seen.append((record.weight, record.shadow, record.step))
    assert seen == [(0, 100, 1), (10, 0, 2), (100, 0, 3)]
    with pytest.raises(PlatformError, match="has all requests"):
        changes.stepped(record, why="more")
    record = saved(changes.promoted(record, why="it did well"))
    assert (record.stable, record.previous, record.candidate, record.weight) == (backend(2), backend(1), None, 0)
    assert record.rules.errors == 0.5


def test_a_promoted_version_is_watched_and_what_takes_it_back_is_not() -> None:
    begun = saved(changes.started(live(1), backend(2), watch=60, **FACTS))
    at, did = "2024-05-01T12:00:00.000+00:00", Counted(Traffic(100, failed=3), Answers(100, 0, (60, 40)))
    record = saved(changes.promoted(saved(changes.stepped(begun, why="it answers")), why="so", at=at, baseline=did))
    assert RolloutRecord.model_validate_json(record.model_dump_json()) == record
    within, after = (datetime(2024, 5, 1, 12, minute, tzinfo=UTC) for minute in (0, 2))
    assert (record.kept(within), record.kept(after), record.baseline) == (backend(1), None, did)
    # Its process runs still: it gets every request in the same moment.
    back = saved(changes.returned(record, backend(1), why="errors", by="supervisor", running=True))
    assert (back.candidate, back.weight, back.step, back.kept(within)) == (backend(1), 100, 1, None)
    back = saved(changes.promoted(back, why="it answers", baseline=did))
    assert (back.stable, back.previous, back.kept(within), back.baseline) == (backend(1), backend(2), None, None)
    # Whoever begins another rollout ends the watch; another history of the same package does not.
    assert changes.started(record, backend(3), **FACTS).kept(within) is None
    fresh = saved(changes.refreshed(record, "a" * 64, **FACTS))
    assert saved(changes.promoted(fresh, why="it answers")).kept(within) == backend(1)


def test_a_candidate_that_is_rolled_back_leaves_the_stable_one_alone() -> None:
    record = saved(changes.stepped(saved(changes.started(live(1), backend(2), **FACTS)), why="it answers"))
    record = changes.rolled_back(record, why="errors")
    assert (record.stable, record.candidate, record.weight, record.step) == (backend(1), None, 0, 0)
    assert record.change is not None
    assert (record.change.before, record.change.after, record.change.who) == (1, 1, "supervisor")


def test_a_newer_candidate_takes_the_place_of_one_that_waits() -> None:
    record = saved(changes.stepped(saved(changes.started(live(1), backend(2), strategy=CANARY, **FACTS)), why="x"))
    record = changes.started(record, backend(3), **FACTS)
    assert (record.candidate, record.step, record.shadow, record.strategy) == (backend(3), 0, 0, ())


def test_what_answers_already_is_not_started_again() -> None:
    record = live(1)
    assert changes.started(record, backend(1), **FACTS) is record
    under_way = saved(changes.started(record, backend(2), **FACTS))
    assert changes.started(under_way, backend(2), **FACTS) is under_way
    # The version that answers is asked for while another waits: that one is given up.
    assert changes.started(under_way, backend(1), **FACTS).candidate == backend(1)


def test_more_processes_are_a_change_of_their_own() -> None:
    record = changes.started(live(1), backend(1), replicas=3, **FACTS)
    assert (record.replicas, record.candidate) == (3, None)


def test_a_history_is_refreshed_by_another_process_of_the_same_package() -> None:
    record = live(2, previous=backend(1))
    record = saved(changes.refreshed(record, "a" * 64, **FACTS))
    assert (record.stable, record.candidate) == (backend(2), with_history(2, "a" * 64))
    assert changes.refreshed(record, "a" * 64, **FACTS) is record
    record = saved(changes.promoted(record, why="it answers"))
    assert (record.stable, record.previous) == (with_history(2, "a" * 64), backend(1))
    assert changes.refreshed(record, "a" * 64, **FACTS) is record
    # The package is deployed again, as a run with nothing new does: it keeps its newer history.
    assert changes.started(record, backend(2), **FACTS) is record


def test_a_history_is_not_refreshed_under_another_rollout() -> None:
    with pytest.raises(PlatformError, match="no version answers"):
        changes.refreshed(RolloutRecord(model="m"), "a" * 64, **FACTS)
    with pytest.raises(PlatformError, match=r"version 2 .* is under way"):
        changes.refreshed(saved(changes.started(live(1), backend(2), **FACTS)), "a" * 64, **FACTS)


def test_the_version_before_comes_back_as_a_candidate_without_steps() -> None:
    record = changes.returned(live(2), backend(1), **FACTS)
    assert (record.stable, record.candidate, record.steps) == (backend(2), backend(1), (Step(weight=100),))
    # A candidate is given up at once, for the stable one answers still.
    under_way = saved(changes.started(live(1), backend(2), **FACTS))
    assert changes.returned(under_way, backend(1), **FACTS).candidate is None


def test_a_rollout_is_held_and_goes_on() -> None:
    record = saved(changes.held(saved(changes.started(live(1), backend(2), **FACTS)), True, **FACTS))
    assert record.paused and changes.held(record, True, **FACTS) is record
    assert not changes.held(record, False, **FACTS).paused
    assert not changes.started(record, backend(3), **FACTS).paused


@pytest.mark.parametrize(
    "change",
    [
        lambda record: changes.stepped(record, why="x"),
        lambda record: changes.promoted(record, why="x"),
        lambda record: changes.rolled_back(record, why="x"),
        lambda record: changes.held(record, True, **FACTS),
    ],
)
def test_without_a_rollout_nothing_of_it_can_change(change: Callable[[RolloutRecord], RolloutRecord]) -> None:
    with pytest.raises(PlatformError, match="no rollout is under way"):
        change(live(1))


def test_an_address_is_given_once() -> None:
    record = saved(changes.addressed(live(1), 3100))
    assert record.port == 3100 and changes.addressed(record, 3100) is record
    with pytest.raises(PlatformError, match="never changed"):
        changes.addressed(record, 3101)
    # Whatever happens to its versions.
    record = saved(changes.withdrawn(record, **FACTS))
    assert (record.port, record.backends, record.previous) == (3100, (), backend(1))
