"""What everything that keeps rollout records does: subclass :class:`RolloutRecordsContract` and give it a fixture."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.rollout.record import Backend, RolloutRecord, deployed, withdrawn
from ml_platform.rollout.records import RolloutRecords, StaleRecord


def backend(version: int) -> Backend:
    """A packaged version."""
    return Backend(version=version, tag=f"m:v{version}", sha256=f"{version:064x}", path=f"/bentos/m-{version}")


def change(records: RolloutRecords, version: int) -> RolloutRecord:
    """Deploy a version of the model ``m``."""
    return records.update("m", lambda record: deployed(record, backend(version), by="ann", why="better"))


class RolloutRecordsContract:
    """Needs a fixture ``opened``: a function that opens the same place each time, empty at first."""

    def test_what_was_saved_is_loaded(self, opened: Callable[[], RolloutRecords]) -> None:
        """Also from another process, which opens the place anew."""
        saved = change(opened(), 1)
        assert opened().load("m") == saved
        assert (saved.revision, saved.stable) == (1, backend(1))
        (made,) = saved.history
        assert (made.action, made.who, made.before, made.after, made.revision) == ("deploy", "ann", None, 1, 1)
        assert opened().models() == ["m"] and opened().location("m")

    def test_the_same_deployment_again_changes_nothing(self, opened: Callable[[], RolloutRecords]) -> None:
        """Not even the revision."""
        assert change(opened(), 1) == change(opened(), 1) == opened().load("m")

    def test_models_are_kept_apart_and_sorted(self, opened: Callable[[], RolloutRecords]) -> None:
        """Each with revisions of its own."""
        for model in ("n", "m", "a"):
            opened().update(model, lambda record: deployed(record, backend(1), by="ann", why="better"))
        assert opened().models() == ["a", "m", "n"]
        assert {opened().load(model).revision for model in opened().models()} == {1}

    def test_a_stale_record_is_refused(self, opened: Callable[[], RolloutRecords]) -> None:
        """So that no change is overwritten unseen."""
        seen = change(opened(), 1)
        change(opened(), 2)
        with pytest.raises(StaleRecord, match="revision 2, not 1"):
            opened().save(deployed(seen, backend(3), by="bob", why="late"))
        assert opened().load("m").stable == backend(2)

    def test_history_may_only_grow(self, opened: Callable[[], RolloutRecords]) -> None:
        """What was changed when is never rewritten."""
        saved = change(opened(), 1)
        with pytest.raises(PlatformError, match="appended"):
            opened().save(saved.model_copy(update={"history": ()}))
        assert opened().load("m") == saved

    def test_concurrent_changes_are_all_kept(self, opened: Callable[[], RolloutRecords]) -> None:
        """Each starts from what the one before it made."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda version: change(opened(), version), range(1, 25)))
        final = opened().load("m")
        assert final.revision == 24
        assert [made.revision for made in final.history] == list(range(1, 25))
        assert sorted(made.after or 0 for made in final.history) == list(range(1, 25))
        assert [made.before for made in final.history[1:]] == [made.after for made in final.history[:-1]]

    def test_withdrawing_leaves_no_backend(self, opened: Callable[[], RolloutRecords]) -> None:
        """The record stays, with its history."""
        change(opened(), 1)
        emptied = opened().update("m", lambda record: withdrawn(record, by="ann", why="bad"))
        assert emptied.backends == () and emptied.history[-1].action == "withdraw"
        assert opened().load("m") == emptied

    def test_what_was_never_deployed_is_missing(self, opened: Callable[[], RolloutRecords]) -> None:
        """By name."""
        with pytest.raises(MissingReference, match="m was never deployed"):
            opened().load("m")
        assert opened().models() == []

    def test_a_name_that_is_none_is_refused(self, opened: Callable[[], RolloutRecords]) -> None:
        """It would leave the place where records are kept."""
        with pytest.raises(PlatformError):
            opened().update("../m", lambda record: deployed(record, backend(1), by="ann", why="better"))
        assert opened().models() == []
