"""How the time of a table is divided: the largest partitions of which there are enough, and how late outcomes come."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_platform.creating.roles import Roles
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import days, instants
from ml_platform.sources.partitions import Partitions, Size

if TYPE_CHECKING:
    import polars as pl

#: As Partitions have it.
Every = Size
#: Partitions from which on a size of them will do, fewest at all, and rows that most of them have to have.
ENOUGH, FEWEST, ROWS = 6, 3, 20
#: Most hours that are partitions: features of each one note the content of all before it.
HOURS = 1_000
#: Share of the usual known outcomes from which on those of a day are known, and how seldom none may be by chance.
_KNOWN, _BY_CHANCE = 0.5, 0.001


class TooSparse(PlatformError):
    """The time of a table makes no partitions that a model can be trained on."""


def partitions_for(roles: Roles, wanted: Every | None, now: datetime) -> "tuple[Every, date, dict[str, int]]":
    """The largest partitions of which there are enough, their start, and the rows of each that has ended."""
    import polars as pl

    times = roles.frame[roles.timestamp or roles.time]
    timed = isinstance(times.dtype, pl.Datetime)
    if wanted == "hour" and not timed:
        raise PlatformError(f"--every hour: {roles.time!r} has days and no hours; take --every day")
    seen: list[tuple[Every, date, dict[str, int]]] = []
    found: tuple[Every, ...] = ("month", "week", "day", *(("hour",) if timed else ()), "year")
    for every in (wanted,) if wanted else found:
        start, rows = divided(times, every, now)
        seen.append((every, start, rows))
        gaps = 0 in rows.values()
        few = sorted(rows.values())[len(rows) // 2] < ROWS if rows else True
        if wanted or (len(rows) >= ENOUGH and not gaps and not few):
            break
    else:
        # Hours of few rows are no better than few days.
        longer = [one for one in seen if one[0] != "hour"]
        whole = [one for one in longer if len(one[2]) >= FEWEST and 0 not in one[2].values()]
        seen.append(max(whole or longer, key=lambda one: min(len(one[2]), ENOUGH)))
    every, start, rows = seen[-1]
    first, last = times.min(), times.max()
    if every == "hour" and len(rows) > HOURS:
        raise PlatformError(f"--every hour: {len(rows)} hours are more than {HOURS} partitions; take --every day")
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


def few_rows(partitions: dict[str, int]) -> int:
    """Rows of the middle one of the partitions, where they are too few to say something of a model; else 0."""
    middle = sorted(partitions.values())[len(partitions) // 2]
    return middle if middle < ROWS else 0


def late_of(roles: Roles, every: Every) -> int:
    """Days until outcomes are known: from the newest day, of hours the newest hour, that has some to the last one of
    the table; begun days count.

    0 where the last ones may lack them by chance.
    """
    import polars as pl

    times = roles.frame[roles.time]
    at = instants(times).dt.truncate("1h") if every == "hour" else days(times)
    known = roles.frame[roles.target].is_not_null()
    each = pl.DataFrame({"at": at, "known": known}).group_by("at").agg(pl.len().alias("rows"), pl.col("known").sum())
    # Single ones may come early: of a day is known what is known of half as many rows as usual.
    usual = int(known.sum()) / known.len()
    newest: Any = each.filter(pl.col("known") >= _KNOWN * usual * pl.col("rows"))["at"].max()
    last: Any = each["at"].max()
    behind = int((at > newest).sum())
    share = int(known.filter(at <= newest).sum()) / (known.len() - behind)
    return 0 if (1 - share) ** behind > _BY_CHANCE else -((newest - last) // timedelta(days=1))


def divided(times: "pl.Series", every: Every, now: datetime) -> tuple[date, dict[str, int]]:
    """Beginning of the partitions that hold these times, and the rows of each that has ended by now, in order."""
    form = instants(times).dt.truncate("1h") if every == "hour" else days(times)
    first, last = form.min(), form.max()
    assert isinstance(first, date) and isinstance(last, date)
    start = first
    if every == "week":
        start = first - timedelta(days=first.weekday())
    elif every in ("month", "year"):
        start = first.replace(day=1, month=1 if every == "year" else first.month)
    partitions = Partitions(every=every, start=start)
    whole = min(partitions.next(partitions.beginning(last)), partitions.bound(now))
    keys = partitions.keys(whole)
    counts = dict.fromkeys(keys, 0)
    for moment, count in form.value_counts().iter_rows():
        key = partitions.key(partitions.beginning(moment))
        if key in counts:
            counts[key] += count
    return start, counts
