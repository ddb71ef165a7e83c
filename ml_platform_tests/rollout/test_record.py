"""The record is the only truth: no change is lost, none is made twice, and its history only grows."""

import json
from collections.abc import Callable

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.changes import promoted, started
from ml_platform.rollout.record import RolloutRecord
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.records import RolloutRecords
from ml_platform.testing.rollout_records import RolloutRecordsContract, backend, change


class TestFiles(RolloutRecordsContract):
    @pytest.fixture
    def opened(self, settings: Settings) -> Callable[[], RolloutRecords]:
        return lambda: RecordFiles(settings)

    @pytest.fixture
    def damage(self, settings: Settings) -> Callable[[], object]:
        return lambda: RecordFiles(settings).path("m").write_text("{")


def test_a_damaged_record_is_no_missing_one(settings: Settings) -> None:
    change(RecordFiles(settings), 1)
    path = RecordFiles(settings).path("m")
    whole = path.read_text()
    path.write_text(whole.replace('"revision": 1', '"revision": "one"', 1))
    with pytest.raises(PlatformError, match="damaged at revision"):
        RecordFiles(settings).load("m")
    with pytest.raises(PlatformError, match="damaged"):
        change(RecordFiles(settings), 2)
    path.write_text(whole[:40])
    with pytest.raises(PlatformError, match="damaged at its start"):
        RecordFiles(settings).load("m")


@pytest.mark.parametrize("later", [0, 1])
def test_a_record_whose_versions_were_exchanged_contradicts_its_last_change(settings: Settings, later: int) -> None:
    """Exchanged by hand, what answered before would answer again, and no change would tell of it.

    A revision that no change made is no way around it.
    """
    records = RecordFiles(settings)
    for new in map(backend, (1, 2)):
        records.update("m", lambda record, new=new: started(record, new, by="x", why="y"))
        records.update("m", lambda record: promoted(record, why="it answers"))
    path = records.path("m")
    said = json.loads(path.read_text())
    assert (said["stable"]["version"], said["previous"]["version"]) == (2, 1)
    said["stable"], said["previous"] = said["previous"], said["stable"]
    said["revision"] += later
    path.write_text(json.dumps(said))
    with pytest.raises(PlatformError, match="not what its last change made them"):
        RecordFiles(settings).load("m")


def test_names_cannot_leave_the_folder(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="not usable"):
        RecordFiles(settings).load("../m")


def test_weight_needs_a_candidate() -> None:
    with pytest.raises(ValueError, match="need a candidate"):
        RolloutRecord(model="m", weight=10)


@pytest.mark.parametrize("left", ["nothing", "half a line"])
def test_a_crash_before_the_history_was_written_loses_no_change(settings: Settings, left: str) -> None:
    records = RecordFiles(settings)
    for version in (1, 2, 3):
        change(records, version)
    told = records.history("m")
    file = records.path("m").with_suffix(".history.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]) + (lines[2][:50] if left == "half a line" else b""))
    assert RecordFiles(settings).history("m") == told
    change(RecordFiles(settings), 4)
    assert file.read_bytes().splitlines(keepends=True)[:3] == lines
    assert RecordFiles(settings).history("m")[:3] == told


def test_a_history_that_was_edited_is_told_to_nobody(settings: Settings) -> None:
    records = RecordFiles(settings)
    for number in (1, 2):
        records.update("m", lambda record, number=number: started(record, backend(number), by="me", why="test"))
        records.update("m", lambda record: promoted(record, why="it answers"))
    file = records.path("m").with_suffix(".history.jsonl")
    lines = file.read_text().splitlines()
    assert records.history("m")[-1].revision == len(lines) == 4
    # A way back to the first version that the record knows nothing of, one line taken out, and two exchanged.
    forged = [lines[0].replace('"revision":1', '"revision":5'), lines[1].replace('"revision":2', '"revision":6')]
    for edited in ([*lines, *forged], [lines[0], lines[2], lines[1], lines[3]], [*lines[:3], forged[0]]):
        file.write_text("".join(f"{line}\n" for line in edited))
        with pytest.raises(PlatformError, match="does not lead to its record, which is at revision 4"):
            RecordFiles(settings).history("m")
    file.write_text("".join(f"{line}\n" for line in lines))
    assert [one.revision for one in RecordFiles(settings).history("m")] == [1, 2, 3, 4]


def test_what_an_earlier_release_wrote_is_taken_over_with_its_history(settings: Settings) -> None:
    past = {"at": "2026-11-21T16:05:58+00:00", "who": "ann", "why": "better", "action": "deploy", "run_id": "r"}
    stable = {"version": 2, "tag": "m:v2", "sha256": f"{2:064x}", "path": "/bentos/m-2", "port": None}
    history = [{"revision": 1, "before": None, "after": 1, **past}, {"revision": 2, "before": 1, "after": 2, **past}]
    old = {
        **{"format": 1, "model": "m", "revision": 2, "stable": stable, "candidate": None, "weight": 0, "shadow": 0},
        **{"step": 0, "started": past["at"], "rules": {}, "history": history},
    }
    path = RecordFiles(settings).path("m")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(old))
    records = RecordFiles(settings)
    record = records.load("m")
    assert (record.format, record.revision, record.stable, record.port) == (4, 2, backend(2), None)
    assert [made.after for made in records.history("m")] == [1, 2]
    # Read only, the file stays what an earlier release can read.
    assert json.loads(path.read_text()) == old
    change(records, 3)
    records.update("m", lambda record: promoted(record, why="it answers"))
    assert [(made.revision, made.after) for made in RecordFiles(settings).history("m")] == [
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 3),
    ]
    changed = json.loads(path.read_text())
    assert (changed["format"], changed["stable"]["path"]) == (4, "bentos/m-3")


def test_a_record_of_the_release_before_is_read_and_has_no_gates_on_copies(settings: Settings) -> None:
    records = RecordFiles(settings)
    change(records, 1)
    path = records.path("m")
    old = json.loads(path.read_text()) | {"format": 3}
    del old["gates"], old["change"]["judged"]
    path.write_text(json.dumps(old))
    record = RecordFiles(settings).load("m")
    assert (record.format, record.candidate, record.gates) == (4, backend(1), ())
    (made,) = RecordFiles(settings).history("m")
    assert made.judged == ()


def test_reading_a_record_costs_the_same_however_long_its_history(settings: Settings) -> None:
    records = RecordFiles(settings)
    for version in range(1, 40):
        change(records, version)
    size = records.path("m").stat().st_size
    for version in range(40, 80):
        change(records, version)
    assert abs(records.path("m").stat().st_size - size) < 20
