"""Where rollout records are kept, as a port: the supervisor and whoever deploys know no more of it than this."""

from collections.abc import Callable
from typing import Protocol

from ml_platform.foundation.errors import PlatformError
from ml_platform.rollout.record import Change, RolloutRecord


class StaleRecord(PlatformError):
    """The record was changed by somebody else since it was read."""


class RolloutRecords(Protocol):
    """Records of the models of one installation; safe for many processes.

    Made by the function that ``ML_PLATFORM_ADAPTERS`` names, from the settings.
    """

    def models(self) -> list[str]:
        """Models that have a record, sorted."""
        ...

    def load(self, model: str) -> RolloutRecord:
        """The record of a model.

        Raises MissingReference when it was never deployed, PlatformError for a damaged record or a name that is none.
        """
        ...

    def history(self, model: str, after: int = 0) -> tuple[Change, ...]:
        """Every change of a model's record, oldest first, from the one that follows revision ``after``.

        Only ever appended to. Raises as :meth:`load` does.
        """
        ...

    def save(self, record: RolloutRecord) -> RolloutRecord:
        """Save a changed record, and its ``change`` in the history; returns it with the next revision.

        ``record.revision`` must be that of the kept one, else :class:`StaleRecord` is raised. A record that does not
        say what changed is refused with PlatformError.
        """
        ...

    def update(self, model: str, change: Callable[[RolloutRecord], RolloutRecord]) -> RolloutRecord:
        """Load (or begin) a record, change it and save it, alone; unchanged, nothing is written."""
        ...

    def location(self, model: str) -> str:
        """Where the record of a model is kept, for people."""
        ...
