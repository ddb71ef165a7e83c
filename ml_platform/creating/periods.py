"""How the time of a table is divided: the largest partitions of which there are enough, and how late outcomes come."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ml_platform.creating.roles import Roles
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.partitions import Partitions

if TYPE_CHECKING:
    import polars as pl

Every = Literal["day", "week", "month", "year"]
#: Partitions from which on a size of them will do, fewest at all, and rows that most of them have to have.
ENOUGH, FEWEST, ROWS = 6, 3, 20


class TooSparse(PlatformError):
    """The time of a table makes no partitions that a model can be trained on."""


def partitions_for(roles: Roles, wanted: Every | None, now: datetime) -> "tuple[Every, date, dict[str, int]]":
    """The largest partitions of which there are enough, their start, and the rows of each that has ended."""
    days = roles.frame[roles.time]
    seen: list[tuple[Every, date, dict[str, int]]] = []
    sizes: tuple[Every, ...] = (wanted,) if wanted else ("month", "week", "day", "year")
    for every in sizes:
        start, rows = divided(days, every, now)
        seen.append((every, start, rows))
        gaps = 0 in rows.values()
        few = sorted(rows.values())[len(rows) // 2] < ROWS if rows else True
        if wanted or (len(rows) >= ENOUGH and not gaps and not few):
            break
    else:
        whole = [one for one in seen if len(one[2]) >= FEWEST and 0 not in one[2].values()]
        seen.append(max(whole or seen, key=lambda one: min(len(one[2]), ENOUGH)))
    every, start, rows = seen[-1]
    first, last = days.min(), days.max()
    if len(rows) < FEWEST:
        raise TooSparse(
            f"{roles.time!r} goes from {first} to {last}: that is {len(rows)} whole by the {every}, and "
            f"a model needs {FEWEST}; take smaller ones with --every, or bring more time"
        )
    if empty := [name for name, count in rows.items() if not count]:
        raise TooSparse(
            f"{roles.time!r}: there is no row in {', '.join(empty[:3])}; take larger partitions with --every"
        )
    return every, start, rows


def late_of(roles: Roles, every: Every, partitions: dict[str, int], now: datetime) -> int:
    """How many of the newest partitions have hardly a target yet: outcomes come late."""
    _, known = divided(roles.frame.filter(roles.frame[roles.target].is_not_null())[roles.time], every, now)
    shares = [known.get(name, 0) / max(rows, 1) for name, rows in partitions.items()]
    usual = sorted(shares)[len(shares) // 2]
    late = 0
    while late < len(shares) and shares[-1 - late] < 0.1 * usual:
        late += 1
    return late


def divided(days: "pl.Series", every: Every, now: datetime) -> tuple[date, dict[str, int]]:
    """First day of the partitions that hold these days, and the rows of each that has ended by now, in order."""
    first = days.min()
    assert isinstance(first, date)
    day = Partitions(every=every, start=date(first.year, 1, 1)).first_day(first)
    start = first - timedelta(days=first.weekday()) if every == "week" else day
    last = days.max()
    assert isinstance(last, date)
    partitions = Partitions(every=every, start=start)
    begun = partitions.keys(last + timedelta(days=1), complete=False)
    keys = [key for key in begun if partitions.next(date.fromisoformat(key)) <= now.date()]
    counts = dict.fromkeys(keys, 0)
    for day, count in days.value_counts().iter_rows():
        key = partitions.first_day(day).isoformat()
        if key in counts:
            counts[key] += count
    return start, counts
