"""Opens what keeps rollout records, for who deploys and for the supervisor alike."""

from ml_platform.foundation.adapters import opened
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.records import RolloutRecords


def open_records(settings: Settings) -> RolloutRecords:
    """The project's own where it has an adapter, else files below ``local``."""
    return opened(settings, "rollouts", RolloutRecords) or RecordFiles(settings)
