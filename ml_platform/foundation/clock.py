"""The clock: wall time, or the time that the settings inject."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_platform.foundation.settings import Settings


def now_utc() -> datetime:
    """The wall clock in UTC: when an entry was written, never when an event happened."""
    return datetime.now(UTC)


def clock(settings: "Settings") -> Callable[[], datetime]:
    """The one clock, aware: wall time in UTC, or the time that the settings inject."""

    def now() -> datetime:
        if not settings.now:
            return now_utc()
        moment = datetime.fromisoformat(settings.now)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    return now
