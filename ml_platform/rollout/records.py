"""Where rollout records are kept, as a port: the supervisor and whoever deploys know no more of it than this."""

import re
from collections.abc import Callable
from typing import Protocol

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.rollout.record import Change, RolloutRecord

#: Model names become names of files and keys.
MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,99}$")


class StaleRecord(PlatformError):
    """The record was changed by somebody else since it was read."""


def require_model_name(model: str) -> None:
    """Raises PlatformError for a name of a model that is none: others would leave the place where records are kept."""
    if not MODEL_NAME.match(model):
        raise PlatformError(f"model name {model!r} is not usable: it must match {MODEL_NAME.pattern}")


def never_deployed(model: str, where: str) -> MissingReference:
    """What is raised where a model has no record at ``where``."""
    return MissingReference(f"{model} was never deployed: no rollout record {where}; deploy a version first")


def next_revision(present: RolloutRecord, record: RolloutRecord) -> RolloutRecord:
    """The record to keep in place of ``present``: with the next revision.

    Raises StaleRecord where it was changed by somebody else since it was read, PlatformError where it does not say
    what changed. To be asked under whatever lets nobody else write meanwhile.
    """
    if record.revision != present.revision:
        raise StaleRecord(
            f"rollout record of {record.model} is at revision {present.revision}, not {record.revision}: "
            "somebody changed it meanwhile; load it again"
        )
    if record.change is None or record.change.revision != record.revision + 1:
        raise PlatformError(f"rollout record of {record.model}: it does not say what changed; use rollout.changes")
    return record.model_copy(update={"revision": record.revision + 1})


class RolloutRecords(Protocol):
    """Records of the models of one installation; safe for many processes.

    Made by the function that ``ML_PLATFORM_ADAPTERS`` names, from the settings.
    """

    def models(self) -> list[str]:
        """Models that have a record, sorted."""
        ...

    def load(self, model: str) -> RolloutRecord:
        """The record of a model.

        Raises MissingReference when it was never deployed (:func:`never_deployed`), PlatformError for a damaged record
        or a name that is none (:func:`require_model_name`).
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
        say what changed is refused with PlatformError. :func:`next_revision` looks at both.
        """
        ...

    def update(self, model: str, change: Callable[[RolloutRecord], RolloutRecord]) -> RolloutRecord:
        """Load (or begin) a record, change it and save it, alone; unchanged, nothing is written."""
        ...

    def location(self, model: str) -> str:
        """Where the record of a model is kept, for people."""
        ...
