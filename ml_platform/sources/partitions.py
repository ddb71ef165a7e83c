"""Which partitions a dataset has, and which days belong to each."""

from datetime import date, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ml_platform.foundation.errors import DeclarationError


class Partitions(BaseModel):
    """Time partitions: keys are the ISO date of the first day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Literal["day", "week", "month"]
    start: date
    #: Exclusive; ``None``: open.
    end: date | None = None

    def next(self, key: date) -> date:
        """First day of the partition after the one that starts on ``key``."""
        if self.every == "month":
            return (key.replace(day=1) + timedelta(days=32)).replace(day=1)
        return key + timedelta(days=7 if self.every == "week" else 1)

    def first_day(self, day: date) -> date:
        """First day of the partition that ``day`` belongs to; before the first partition the day itself."""
        if day < self.start:
            return day
        if self.every == "month":
            return max(day.replace(day=1), self.start)
        return day - timedelta(days=(day - self.start).days % (7 if self.every == "week" else 1))

    def under_way(self, today: date) -> str | None:
        """Key of the partition of which days have ended by ``today``, and not all; None where there is none."""
        begun = self.keys(today, complete=False)
        return begun[-1] if begun and begun[-1] not in self.keys(today) else None

    def window(self, key: str) -> tuple[date, date]:
        """First day, and the day after the last, of a partition. Raises DeclarationError for an unknown key."""
        try:
            first = date.fromisoformat(key)
        except ValueError:
            raise DeclarationError(f"partition {key!r} is not an ISO date; take one of the form {self.start}") from None
        if key not in self.keys(first + timedelta(days=1), complete=False):
            raise DeclarationError(
                f"partition {key!r} does not exist; partitions start on {self.start}, every {self.every}"
            )
        return first, self.next(first)

    def keys(self, until: date | datetime, *, complete: bool = True) -> list[str]:
        """Keys of the partitions that have ended by ``until`` (or have begun, with ``complete=False``)."""
        limit = until.date() if isinstance(until, datetime) else until
        keys, key = [], self.start
        while (self.next(key) <= limit if complete else key < limit) and (self.end is None or key < self.end):
            keys.append(key.isoformat())
            key = self.next(key)
        return keys

    def all_keys(self, now: datetime) -> list[str]:
        """Every partition that can exist now."""
        return self.keys(self.end or now)
