"""The record is the only truth: no change is lost, none is made twice, and its history only grows."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record import Backend, RolloutRecord, deployed, withdrawn
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.records import StaleRecord


def backend(version: int) -> Backend:
    return Backend(version=version, tag=f"m:v{version}", sha256=f"{version:064x}", path=f"/bentos/m-{version}")


def change(settings: Settings, version: int) -> RolloutRecord:
    return RecordFiles(settings).update("m", lambda record: deployed(record, backend(version), by="ann", why="better"))


def test_what_was_saved_is_loaded(settings: Settings) -> None:
    saved = change(settings, 1)
    assert RecordFiles(settings).load("m") == saved
    assert (saved.revision, saved.stable) == (1, backend(1))
    assert [(c.action, c.who, c.before, c.after, c.revision) for c in saved.history] == [("deploy", "ann", None, 1, 1)]
    assert RecordFiles(settings).models() == ["m"]


def test_the_same_deployment_again_changes_nothing(settings: Settings) -> None:
    assert change(settings, 1) == change(settings, 1)


def test_a_stale_record_is_refused(settings: Settings) -> None:
    seen = change(settings, 1)
    change(settings, 2)
    with pytest.raises(StaleRecord, match="revision 2, not 1"):
        RecordFiles(settings).save(deployed(seen, backend(3), by="bob", why="late"))
    assert RecordFiles(settings).load("m").stable == backend(2)


def test_history_may_only_grow(settings: Settings) -> None:
    saved = change(settings, 1)
    with pytest.raises(PlatformError, match="appended"):
        RecordFiles(settings).save(saved.model_copy(update={"history": ()}))


def test_concurrent_changes_are_all_kept(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda version: change(settings, version), range(1, 25)))
    final = RecordFiles(settings).load("m")
    assert final.revision == 24
    assert [c.revision for c in final.history] == list(range(1, 25))
    assert sorted(c.after or 0 for c in final.history) == list(range(1, 25))
    # Each change starts from what the one before it made.
    assert [c.before for c in final.history[1:]] == [c.after for c in final.history[:-1]]


def test_withdrawing_leaves_no_backend(settings: Settings) -> None:
    change(settings, 1)
    emptied = RecordFiles(settings).update("m", lambda r: withdrawn(r, by="ann", why="bad"))
    assert emptied.backends == ()
    assert emptied.history[-1].action == "withdraw"


def test_a_missing_and_a_damaged_record_are_told_apart(settings: Settings) -> None:
    with pytest.raises(MissingReference, match="never deployed"):
        RecordFiles(settings).load("m")
    change(settings, 1)
    path = RecordFiles(settings).path("m")
    path.write_text(path.read_text().replace('"revision": 1', '"revision": "one"'))
    with pytest.raises(PlatformError, match="damaged at revision"):
        RecordFiles(settings).load("m")
    with pytest.raises(PlatformError, match="damaged"):
        change(settings, 2)


def test_names_cannot_leave_the_folder(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="not usable"):
        RecordFiles(settings).load("../m")


def test_weight_needs_a_candidate() -> None:
    with pytest.raises(ValueError, match="need a candidate"):
        RolloutRecord(model="m", weight=10)
