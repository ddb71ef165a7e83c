"""Which partitions a dataset has, and which times belong to each."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WrapValidator, model_validator

from ml_platform.foundation.errors import DeclarationError

#: Key of the one partition of a dataset without time.
WHOLE = "all"
_HOUR = timedelta(hours=1)


def _kept(value: Any, as_day: Callable[[Any], date]) -> date:
    """An aware datetime stays one; everything else is a day."""
    return value if isinstance(value, datetime) and value.tzinfo else as_day(value)


#: A day, or of hourly partitions an aware datetime in UTC.
Moment = Annotated[date, WrapValidator(_kept), PlainSerializer(lambda moment: moment.isoformat(), when_used="json")]


#: Sizes of partitions, and how a time is cut off to the beginning of each.
Size = Literal["day", "week", "month", "year", "hour"]
CUT_OFF: dict[Size, str] = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}


class Partitions(BaseModel):
    """Time partitions: keys are the ISO date of the first day, or of hours ``2024-01-31T05``, in UTC. Or ``none``: one
    partition, :data:`WHOLE`, for good.

    A partition goes from its beginning to before the next one's: days, in the time zone of the column, or for hours
    aware datetimes in UTC, so that a day with 23 or 25 hours has as many partitions.
    One key for what has no time leaves staging, verdicts, publication and rollback with one mechanism.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Size: ``hour``, ``day``, ``week``, ``month``, ``year``.
    every: Size | Literal["none"]
    #: Needed but for ``none``. Of hours in UTC: ``2024-01-31T05``.
    start: Moment = date.min
    #: Exclusive; ``None``: open.
    end: Moment | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_meant(cls, value: Any) -> Any:
        if value == "none":
            return {"every": "none"}
        if isinstance(value, dict) and value.get("every") == "hour":
            bounds = {name: _hour(name, value[name]) for name in ("start", "end") if value.get(name) is not None}
            return {**value, **bounds}
        return value

    @model_validator(mode="after")
    def _time_has_a_start(self) -> "Partitions":
        given = self.model_fields_set & {"start", "end"}
        if self.timed and "start" not in given:
            raise ValueError(f'every {self.every} needs a start: {{every: {self.every}, start: "2024-01-01"}}')
        if not self.hourly and any(isinstance(one, datetime) for one in (self.start, self.end)):
            raise ValueError(f'every {self.every} begins and ends with days; take start: "{self.start:%Y-%m-%d}"')
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
    def hourly(self) -> bool:
        """Whether bounds are datetimes and not days."""
        return self.every == "hour"

    @property
    def shown(self) -> str:
        """In a few words, for messages."""
        return f"every {self.every} from {self.key(self.start)}" if self.timed else f"there is only {WHOLE!r}"

    @property
    def shortest(self) -> float:
        """Days of the shortest partition."""
        return {"hour": 1 / 24, "day": 1, "week": 7, "month": 28, "year": 365}.get(self.every, 1)

    def key(self, beginning: date) -> str:
        """Key of the partition that begins then."""
        return beginning.isoformat()[: len("2024-01-31T05")]

    def next(self, beginning: date) -> date:
        """Beginning of the partition after the one that begins then."""
        if self.every == "year":
            return date(beginning.year + 1, 1, 1)
        if self.every == "month":
            return (beginning.replace(day=1) + timedelta(days=32)).replace(day=1)
        if self.hourly:
            return beginning + _HOUR
        return beginning + timedelta(days=7 if self.every == "week" else 1)

    def beginning(self, moment: date) -> date:
        """Beginning of the partition that a day (of hours a datetime) belongs to; before the first one itself."""
        if moment < self.start:
            return moment
        if isinstance(moment, datetime):
            return moment.replace(minute=0, second=0, microsecond=0)
        if self.every == "year":
            return moment.replace(month=1, day=1)
        if self.every == "month":
            return max(moment.replace(day=1), self.start)
        return moment - timedelta(days=(moment - self.start).days % (7 if self.every == "week" else 1))

    def holding(self, moment: date, until: date) -> str:
        """Key of the partition that holds a day (of hours a datetime) and has ended by ``until``; else empty."""
        if moment < self.start or (self.end is not None and moment >= self.end):
            return ""
        begin = self.beginning(moment)
        return self.key(begin) if self.next(begin) <= self.bound(until) else ""

    def under_way(self, now: date) -> str | None:
        """Key of the partition that has begun and not ended; None where there is none."""
        begun = self.keys(now, complete=False)
        return begun[-1] if begun and begun[-1] not in self.keys(now) else None

    def window(self, key: str) -> tuple[date, date]:
        """Beginning of a partition, and of the one after it: days, of hours datetimes in UTC; of :data:`WHOLE` all
        days that there are.

        Raises DeclarationError for an unknown key.
        """
        first = self.named(key)
        if not self.timed:
            return first, date.max
        there = self.start <= first and (self.end is None or first < self.end)
        if not there or self.beginning(first) != first:
            raise DeclarationError(
                f"partition {key!r} does not exist; partitions start on {self.key(self.start)}, every {self.every}"
            )
        return first, self.next(first)

    def named(self, key: str) -> date:
        """The beginning that a key names, whether there is such a partition or not.

        Raises DeclarationError for a text that has not the form of a key.
        """
        if not self.timed:
            if key != WHOLE:
                raise DeclarationError(f"partition {key!r} does not exist: without time there is only {WHOLE!r}")
            return date.min
        with suppress(ValueError):
            first = _hour("", key) if self.hourly else date.fromisoformat(key)
            if self.key(first) == key:
                return first
        what = "the ISO form of an hour" if self.hourly else "an ISO date"
        raise DeclarationError(f"partition {key!r} is not {what}; take one of the form {self.key(self.start)}")

    def around(self, key: str) -> str:
        """Key of the partition in which the day (of hours the hour) that a text names lies; empty where the text names
        none, or a partition itself."""
        with suppress(DeclarationError):
            named = self.named(key)
            return "" if self.beginning(named) == named else self.key(self.beginning(named))
        return ""

    def keys(self, until: date, *, complete: bool = True) -> list[str]:
        """Keys of the partitions that have ended by ``until`` (or have begun, with ``complete=False``)."""
        if not self.timed:
            return [WHOLE]
        limit = self.bound(until)
        keys, begin = [], self.start
        while (self.next(begin) <= limit if complete else begin < limit) and (self.end is None or begin < self.end):
            keys.append(self.key(begin))
            begin = self.next(begin)
        return keys

    def to_come(self, now: date) -> set[str]:
        """Keys of declared partitions that have not ended: what a source offers of them is not the whole."""
        return {*self.keys(self.end or now, complete=False)} - {*self.keys(now)}

    def bound(self, moment: date) -> date:
        """A day or a datetime in the form of bounds: of hours in UTC, else the day."""
        if not self.hourly:
            return moment.date() if isinstance(moment, datetime) else moment
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _hour(name: str, value: Any) -> datetime:
    """A whole hour in UTC from what YAML, JSON or Python has. Raises ValueError for anything else."""
    try:
        given = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        given = None
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime.combine(given, time())
    if not isinstance(given, datetime):
        raise ValueError(f'{name}: {value!r} is no hour; write it in UTC: "2024-01-31T05"')
    given = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    if given != given.replace(minute=0, second=0, microsecond=0):
        raise ValueError(f'{name}: {value!r} is no whole hour; write it in UTC: "2024-01-31T05"')
    return given
