"""Which partitions a dataset has, and which days belong to each."""

from datetime import date, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from ml_platform.foundation.errors import DeclarationError

#: Key of the one partition of a dataset without time.
WHOLE = "all"


class Partitions(BaseModel):
    """Time partitions: keys are the ISO date of the first day. Or ``none``: one partition, :data:`WHOLE`, for good.

    One key for what has no time leaves staging, verdicts, publication and rollback with one mechanism.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Size: ``day``, ``week``, ``month``, ``year``.
    every: Literal["day", "week", "month", "year", "none"]
    #: Needed but for ``none``.
    start: date = date.min
    #: Exclusive; ``None``: open.
    end: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        return {"every": "none"} if value == "none" else value

    @model_validator(mode="after")
    def _time_has_a_start(self) -> "Partitions":
        given = self.model_fields_set & {"start", "end"}
        if self.timed and "start" not in given:
            raise ValueError(f'every {self.every} needs a start: {{every: {self.every}, start: "2024-01-01"}}')
        if self.every == "year" and self.start != self.start.replace(month=1, day=1):
            raise ValueError(f'years begin on January 1; take start: "{self.start.year}-01-01"')
        if not self.timed and given:
            raise ValueError("a dataset without partitions has no start and no end; write `partitions: none`")
        return self

    @property
    def timed(self) -> bool:
        """Whether there is a time; else each ingestion replaces the whole."""
        return self.every != "none"

    @property
    def shown(self) -> str:
        """In a few words, for messages."""
        return f"every {self.every} from {self.start}" if self.timed else f"there is only {WHOLE!r}"

    @property
    def shortest(self) -> int:
        """Days of the shortest partition."""
        return {"day": 1, "week": 7, "month": 28, "year": 365}.get(self.every, 1)

    def next(self, key: date) -> date:
        """First day of the partition after the one that starts on ``key``."""
        if self.every == "year":
            return date(key.year + 1, 1, 1)
        if self.every == "month":
            return (key.replace(day=1) + timedelta(days=32)).replace(day=1)
        return key + timedelta(days=7 if self.every == "week" else 1)

    def first_day(self, day: date) -> date:
        """First day of the partition that ``day`` belongs to; before the first partition the day itself."""
        if day < self.start:
            return day
        if self.every == "year":
            return day.replace(month=1, day=1)
        if self.every == "month":
            return max(day.replace(day=1), self.start)
        return day - timedelta(days=(day - self.start).days % (7 if self.every == "week" else 1))

    def under_way(self, today: date) -> str | None:
        """Key of the partition of which days have ended by ``today``, and not all; None where there is none."""
        begun = self.keys(today, complete=False)
        return begun[-1] if begun and begun[-1] not in self.keys(today) else None

    def window(self, key: str) -> tuple[date, date]:
        """First day, and the day after the last, of a partition: of :data:`WHOLE`, all days that there are.

        Raises DeclarationError for an unknown key.
        """
        if not self.timed:
            if key != WHOLE:
                raise DeclarationError(f"partition {key!r} does not exist: without time there is only {WHOLE!r}")
            return date.min, date.max
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
        if not self.timed:
            return [WHOLE]
        limit = until.date() if isinstance(until, datetime) else until
        keys, key = [], self.start
        while (self.next(key) <= limit if complete else key < limit) and (self.end is None or key < self.end):
            keys.append(key.isoformat())
            key = self.next(key)
        return keys

    def all_keys(self, now: datetime) -> list[str]:
        """Every partition that can exist now."""
        return self.keys(self.end or now)
