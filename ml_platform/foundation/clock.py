"""The clock: wall time, or the time that the settings inject."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    from ml_platform.foundation.variables import ServiceOptions


def now_utc() -> datetime:
    """The wall clock in UTC: when an entry was written, never when an event happened."""
    return datetime.now(UTC)


def clock(settings: "ServiceOptions") -> Callable[[], datetime]:
    """The one clock, aware: wall time in UTC, or the time that the settings inject, by itself or in a file (``@file``).

    A file is read each time, so that whoever writes it moves the clock of what runs. The clock raises PlatformError
    where it has no time.
    """

    def now() -> datetime:
        if not settings.now:
            return now_utc()
        file = settings.clock_file
        moment = in_file(file) if file is not None else datetime.fromisoformat(settings.now)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    return now


def in_file(file: Path) -> datetime:
    """The ISO time that a file holds. Raises PlatformError where it holds none."""
    text = ""
    # Who writes it may have emptied it a moment ago.
    for _ in range(5):
        try:
            text = file.read_text().strip()
        except OSError as error:
            raise PlatformError(f"ML_PLATFORM_NOW: {file} cannot be read: {error.strerror}") from None
        if text:
            break
        sleep(0.02)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise PlatformError(
            f"ML_PLATFORM_NOW: {file} holds {text[:40]!r}, no ISO time; write e.g. 2013-07-01T00:00:00 into it"
        ) from None
