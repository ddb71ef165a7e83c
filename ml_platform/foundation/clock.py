"""The clock: wall time, or the time that the settings inject."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    from ml_platform.foundation.settings import Settings


def now_utc() -> datetime:
    """The wall clock in UTC: when an entry was written, never when an event happened."""
    return datetime.now(UTC)


def clock(settings: "Settings") -> Callable[[], datetime]:
    """The one clock, aware: wall time in UTC, or the time that the settings inject.

    What it returns raises PlatformError where the settings name no time.
    """

    def now() -> datetime:
        if not settings.now:
            return now_utc()
        try:
            moment = datetime.fromisoformat(settings.now)
        except ValueError:
            raise PlatformError(
                f"ML_PLATFORM_NOW: {settings.now!r} is not an ISO time; write e.g. 2013-07-01T00:00:00"
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    return now
