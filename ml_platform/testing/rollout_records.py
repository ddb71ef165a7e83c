"""What everything that keeps rollout records does: subclass :class:`RolloutRecordsContract` and give it a fixture."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.rollout.changes import promoted, started, withdrawn
from ml_platform.rollout.record import Backend, RolloutRecord
from ml_platform.rollout.records import RolloutRecords, StaleRecord
from ml_platform.testing.elsewhere import ZONES, in_zone, together


def backend(version: int) -> Backend:
    """A packaged version."""
    return Backend(version=version, tag=f"m:v{version}", sha256=f"{version:064x}", path=f"bentos/m-{version}")


def change(records: RolloutRecords, version: int) -> RolloutRecord:
    """Make a version of the model ``m`` its candidate."""
    return records.update("m", lambda record: started(record, backend(version), by="ann", why="better"))


#: Changes of each of several processes, and more of them than a page of a server has.
EACH, MANY = 10, 101


def change_some(opened: Callable[[], RolloutRecords], process: int) -> None:
    """What one of several processes does, all to the same record."""
    records = opened()
    for number in range(1, EACH + 1):
        change(records, process * EACH + number)


class RolloutRecordsContract:
    """Needs a fixture ``opened``: a function that opens the same place each time, empty at first."""

    @pytest.fixture
    def damage(self) -> Callable[[], object] | None:
        """What spoils the record of the model ``m`` where it is kept; None: it cannot be spoilt."""
        return None

    def test_a_damaged_record_is_told_and_no_missing_one(
        self, opened: Callable[[], RolloutRecords], damage: Callable[[], object] | None
    ) -> None:
        """A model whose record is missing would be deployed for the first time."""
        if damage is None:
            pytest.skip("give the contract a fixture `damage`")
        change(opened(), 1)
        damage()
        for attempt in (lambda: opened().load("m"), lambda: opened().history("m"), lambda: change(opened(), 2)):
            with pytest.raises(PlatformError) as told:
                attempt()
            assert not isinstance(told.value, MissingReference), "a damaged record is not one that is missing"

    def test_what_was_saved_is_loaded(self, opened: Callable[[], RolloutRecords]) -> None:
        """Also from another process, which opens the place anew."""
        saved = change(opened(), 1)
        assert opened().load("m") == saved
        assert (saved.revision, saved.stable, saved.candidate) == (1, None, backend(1))
        (made,) = opened().history("m")
        assert (made.action, made.who, made.candidate, made.revision) == ("start", "ann", backend(1), 1)
        assert opened().models() == ["m"]
        where = opened().location("m")
        assert isinstance(where, str) and "m" in where and where != opened().location("n")

    def test_the_same_deployment_again_changes_nothing(self, opened: Callable[[], RolloutRecords]) -> None:
        """Not even the revision."""
        assert change(opened(), 1) == change(opened(), 1) == opened().load("m")
        assert len(opened().history("m")) == 1

    def test_who_keeps_it_open_sees_what_others_save(self, opened: Callable[[], RolloutRecords]) -> None:
        """The supervisor reads for months what commands change."""
        kept = opened()
        assert change(kept, 1) == kept.load("m")
        changed = change(opened(), 2)
        assert kept.load("m") == changed
        assert [made.revision for made in kept.history("m")] == [1, 2]

    def test_models_are_kept_apart_and_sorted(self, opened: Callable[[], RolloutRecords]) -> None:
        """Each with revisions of its own."""
        for model in ("n", "m", "a"):
            opened().update(model, lambda record: started(record, backend(1), by="ann", why="better"))
        assert opened().models() == ["a", "m", "n"]
        assert {opened().load(model).revision for model in opened().models()} == {1}

    def test_a_stale_record_is_refused(self, opened: Callable[[], RolloutRecords]) -> None:
        """So that no change is overwritten unseen."""
        seen = change(opened(), 1)
        change(opened(), 2)
        with pytest.raises(StaleRecord):
            opened().save(started(seen, backend(3), by="bob", why="late"))
        assert opened().load("m").candidate == backend(2)
        assert len(opened().history("m")) == 2

    def test_a_change_without_its_entry_is_refused(self, opened: Callable[[], RolloutRecords]) -> None:
        """What was changed when is never rewritten, and nothing changes without a word."""
        saved = change(opened(), 1)
        for silent in (saved.model_copy(update={"replicas": 2}), saved.model_copy(update={"change": None})):
            with pytest.raises(PlatformError):
                opened().save(silent)
        assert opened().load("m") == saved

    def test_history_tells_every_change_with_its_packages(self, opened: Callable[[], RolloutRecords]) -> None:
        """And, asked for what follows a revision, no more than that."""
        change(opened(), 1)
        opened().update("m", lambda record: promoted(record, why="it answers"))
        change(opened(), 2)
        told = opened().history("m")
        assert [(made.revision, made.action) for made in told] == [(1, "start"), (2, "promote"), (3, "start")]
        assert [(made.stable, made.candidate) for made in told] == [
            (None, backend(1)),
            (backend(1), None),
            (backend(1), backend(2)),
        ]
        assert [(made.before, made.after) for made in told] == [(None, None), (None, 1), (1, 1)]
        assert opened().history("m", 2) == told[2:] and opened().history("m", 3) == ()

    def test_concurrent_changes_are_all_kept(self, opened: Callable[[], RolloutRecords]) -> None:
        """Each starts from what the one before it made."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda version: change(opened(), version), range(1, 25)))
        assert opened().load("m").revision == 24
        told = opened().history("m")
        assert [made.revision for made in told] == list(range(1, 25))
        assert sorted(made.candidate.version for made in told if made.candidate) == list(range(1, 25))

    def test_changes_of_two_processes_are_all_kept(self, opened: Callable[[], RolloutRecords]) -> None:
        """As of the supervisor and a command: what holds others off holds off other processes, too."""
        opened()
        together(change_some, opened)
        told = opened().history("m")
        assert [made.revision for made in told] == list(range(1, 2 * EACH + 1)), "a change was lost"
        assert sorted(made.candidate.version for made in told if made.candidate) == list(range(1, 2 * EACH + 1))
        assert opened().load("m").revision == 2 * EACH

    def test_whatever_is_told_is_told_of_all(self, opened: Callable[[], RolloutRecords]) -> None:
        """A history of years, in whatever time zone each change was made, and every model."""
        for version in range(1, MANY + 1):
            with in_zone(ZONES[version % 2]):
                change(opened(), version)
        told = [made.revision for made in opened().history("m")]
        assert told == list(range(1, MANY + 1)), f"of {MANY} changes `history` tells {len(told)}, or in another order"
        assert [made.revision for made in opened().history("m", 1)] == told[1:], "`history` after the first change"
        names = [f"m{number:03}" for number in range(MANY)]
        for name in names:
            opened().update(name, lambda record: started(record, backend(1), by="ann", why="better"))
        assert opened().models() == ["m", *names], f"of {MANY + 1} models `models` gives others"

    def test_withdrawing_leaves_no_backend(self, opened: Callable[[], RolloutRecords]) -> None:
        """The record stays, with its history."""
        change(opened(), 1)
        emptied = opened().update("m", lambda record: withdrawn(record, by="ann", why="bad"))
        assert emptied.backends == () and opened().history("m")[-1].action == "withdraw"
        assert opened().load("m") == emptied

    def test_what_was_never_deployed_is_missing(self, opened: Callable[[], RolloutRecords]) -> None:
        """By name."""
        for read in (opened().load, opened().history):
            with pytest.raises(MissingReference):
                read("m")
        assert opened().models() == []

    def test_a_name_that_is_none_is_refused(self, opened: Callable[[], RolloutRecords]) -> None:
        """It would leave the place where records are kept."""
        for read in (opened().load, opened().history):
            with pytest.raises(PlatformError):
                read("../m")
        with pytest.raises(PlatformError):
            opened().update("../m", lambda record: started(record, backend(1), by="ann", why="better"))
        assert opened().models() == []
