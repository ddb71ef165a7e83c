"""The clock: wall time, or the time that the settings inject."""

from datetime import UTC, datetime


def now_utc() -> datetime:
    """The wall clock in UTC: when an entry was written, never when an event happened."""
    return datetime.now(UTC)
