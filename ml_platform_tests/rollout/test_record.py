"""The record is the only truth: no change is lost, none is made twice, and its history only grows."""

from collections.abc import Callable

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record import RolloutRecord
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.records import RolloutRecords
from ml_platform.testing.rollout_records import RolloutRecordsContract, change


class TestFiles(RolloutRecordsContract):
    @pytest.fixture
    def opened(self, settings: Settings) -> Callable[[], RolloutRecords]:
        return lambda: RecordFiles(settings)


def test_a_damaged_record_is_no_missing_one(settings: Settings) -> None:
    change(RecordFiles(settings), 1)
    path = RecordFiles(settings).path("m")
    path.write_text(path.read_text().replace('"revision": 1', '"revision": "one"'))
    with pytest.raises(PlatformError, match="damaged at revision"):
        RecordFiles(settings).load("m")
    with pytest.raises(PlatformError, match="damaged"):
        change(RecordFiles(settings), 2)


def test_names_cannot_leave_the_folder(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="not usable"):
        RecordFiles(settings).load("../m")


def test_weight_needs_a_candidate() -> None:
    with pytest.raises(ValueError, match="need a candidate"):
        RolloutRecord(model="m", weight=10)
