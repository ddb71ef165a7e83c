"""Rows and outcomes per period and per slice, in polars: small errors are large where they sit."""

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import comparable, days

if TYPE_CHECKING:
    import polars as pl

#: Fewest rows that a period usually has for its own count to say something.
PERIOD_ROWS = 20
#: Fewest rows of a group for a share or a mean of it to say something.
SLICE_ROWS = 100
#: Batches that tell what is usual of a small slice, and how far quantiles reach.
ENOUGH = 4


def coverage(
    reference: "pl.Series", current: "pl.Series", first: date, end: date, every: Literal["day", "hour"]
) -> "pl.DataFrame":
    """Rows of each day (or hour) from ``first`` to before ``end`` against the median of such in ``reference``.

    Such: of the same weekday, and the same hour. Both series are Date or, for hours, Datetime in its own time zone: a
    day on which clocks change has 23 hours, or 25 of which two are called the same. Bounds are days, or datetimes in
    UTC. Columns ``day``, ``hour`` (only for hours), ``rows``, ``usual`` (the median) and ``deviation``,
    ``|rows - usual| / usual``, largest first. Periods that usually have fewer than :data:`PERIOD_ROWS` rows are judged
    by their surplus alone, over that number. Days on which ``reference`` has no row at all do not count for the median;
    between datetimes neither do such hours, and an hour of which nothing is known is left out.
    Raises PlatformError for hours of a column without a time of day.
    """
    import polars as pl

    if every == "hour" and not isinstance(current.dtype, pl.Datetime):
        raise PlatformError(f"rows per hour: {current.name!r} is {current.dtype}, not a Datetime; count days instead")
    single = isinstance(first, datetime)
    period = ["day", "hour"] if every == "hour" else ["day"]

    def counted(moments: "pl.Series", periods: "pl.Series") -> "pl.DataFrame":
        counts = _periods(moments, every).value_counts(name="rows")
        table = pl.DataFrame({"period": periods}).join(counts, on="period", how="left")
        hour = {"hour": pl.col("period").dt.hour()} if every == "hour" else {}
        return table.select(
            "period",
            days(table["period"]).alias("day"),
            **hour,
            rows=pl.col("rows").fill_null(0).cast(pl.Int64),
            weekday=pl.col("period").dt.weekday(),
        )

    known_periods = _periods(reference, every).unique()
    if every == "hour" and not single:
        there = days(reference).drop_nulls().unique()
        known_periods = _hours(current, *_around(there)) if len(there) else known_periods
        known_periods = known_periods.filter(days(known_periods).is_in(there.implode()))
    known = counted(reference, known_periods)
    asked = (
        _hours(current, first, end) if every == "hour" else pl.date_range(first, end, "1d", closed="left", eager=True)
    )
    alike = ["weekday", *period[1:]]
    usual = known.group_by(alike).agg(usual=pl.col("rows").median())
    table = counted(current, asked.alias("period")).join(usual, on=alike, how="left")
    if every == "hour":
        anyhow = known.group_by("hour").agg(anyhow=pl.col("rows").median())
        table = table.join(anyhow, on="hour", how="left")
    else:
        table = table.with_columns(anyhow=pl.lit(known["rows"].median(), pl.Float64))
    # A weekday that the reference does not have yet is compared with all its days.
    table = table.with_columns(usual=pl.coalesce("usual", "anyhow"))
    table = table.drop_nulls("usual") if single else table.with_columns(pl.col("usual").fill_null(0.0))
    more = (pl.col("rows") - pl.col("usual")) / pl.max_horizontal("usual", pl.lit(PERIOD_ROWS))
    less = pl.when(pl.col("usual") >= PERIOD_ROWS).then(1 - pl.col("rows") / pl.col("usual")).otherwise(0.0)
    return (
        table.with_columns(deviation=pl.max_horizontal(more, less))
        .sort("deviation", "period", descending=[True, False])
        .select(*period, "rows", "usual", "deviation")
    )


def _periods(moments: "pl.Series", every: Literal["day", "hour"]) -> "pl.Series":
    """The beginning of the day, or hour, of each moment that is known."""
    known = moments.drop_nulls().rename("period")
    return known.dt.truncate("1h") if every == "hour" else days(known)


def _around(there: "pl.Series") -> tuple[date, date]:
    first, last = there.min(), there.max()
    assert isinstance(first, date) and isinstance(last, date)
    return first, last + timedelta(days=1)


def _hours(like: "pl.Series", first: date, end: date) -> "pl.Series":
    """The beginning of every hour from a day, or a datetime in UTC, to before another, in the form of a column."""
    import polars as pl

    assert isinstance(like.dtype, pl.Datetime)
    zone, unit = like.dtype.time_zone, like.dtype.time_unit
    low, high = (datetime(one.year, one.month, one.day) for one in (first, end))
    # In UTC, where each hour is there once; a day more on either side holds the day of any time zone.
    low, high = low - timedelta(days=1), high + timedelta(days=2)
    every = pl.datetime_range(low, high, "1h", time_unit=unit, time_zone=zone and "UTC", eager=True)
    hours = (every.dt.convert_time_zone(zone).dt.truncate("1h").unique(maintain_order=True) if zone else every).alias(
        "period"
    )
    times = comparable(hours, first)
    return hours.filter((times >= first) & (times < end))


def few(batches: int) -> float:
    """How much wider a bound is that so many batches gave: 1 from :data:`ENOUGH` on, and beyond it the fewer they are.

    A median or an envelope of one or two values says little of what the next one may be.
    """
    return max(1.0, ENOUGH / batches)


def slice_coverage(
    earlier: "Sequence[pl.DataFrame]", current: "pl.DataFrame", by: Sequence[str], wider: float = 1.0
) -> "pl.DataFrame":
    """Rows of each slice of ``current`` against the usual number: its median share in ``earlier`` batches.

    Columns ``by``, ``rows``, ``usual`` (for as many rows of other slices as are here, so that a slice that comes twice
    does not raise its own measure) and ``deviation``, ``|rows - usual| / usual``, largest first. A slice that usually
    has fewer than :data:`PERIOD_ROWS` rows cannot lack any; a surplus counts over :data:`SLICE_ROWS` at least, so that
    it takes more than a few rows to be one. Both numbers are ``wider`` times that.
    """
    import polars as pl

    names, batch, share = list(by), "(batch)", "(share)"

    def counted(frame: "pl.DataFrame", place: int) -> "pl.DataFrame":
        counts = frame.group_by(names).agg(rows=pl.len().cast(pl.Int64))
        part = (pl.col("rows") / max(frame.height, 1)).alias(share)
        return counts.with_columns(part, pl.lit(place, pl.Int64).alias(batch))

    known = pl.concat([counted(frame, place) for place, frame in enumerate(earlier)], how="vertical_relaxed")
    # A batch without the slice has a share of 0 of it.
    every = known.select(names).unique().join(pl.DataFrame({batch: range(len(earlier))}), how="cross")
    shares = every.join(known, on=[*names, batch], how="left", nulls_equal=True)
    usual = shares.group_by(names).agg(pl.col(share).fill_null(0.0).median())
    table = counted(current, 0).drop(share, batch).join(usual, on=names, how="full", coalesce=True, nulls_equal=True)
    table = table.with_columns(pl.col("rows").fill_null(0), pl.col(share).fill_null(0.0))
    others = pl.when(pl.col(share) < 1).then((current.height - pl.col("rows")) / (1 - pl.col(share)))
    table = table.with_columns(usual=pl.col(share) * others.otherwise(current.height)).drop(share)
    more = (pl.col("rows") - pl.col("usual")) / pl.max_horizontal("usual", pl.lit(SLICE_ROWS * wider))
    less = pl.when(pl.col("usual") >= PERIOD_ROWS * wider).then(1 - pl.col("rows") / pl.col("usual")).otherwise(0.0)
    return table.with_columns(deviation=pl.max_horizontal(more, less)).sort(
        "deviation", *names, descending=[True, *(False for _ in names)]
    )


def outcome_values(frame: "pl.DataFrame", column: str, above: float | str | None) -> "pl.Series":
    """An outcome as 0 and 1 (``above`` a number, or a text in the order of the alphabet), null where it is unknown.

    Raises PlatformError for other values.
    """
    import polars as pl

    values = frame[column]
    number = values.dtype.is_numeric() or values.dtype == pl.Boolean
    if isinstance(above, str):
        if number or values.dtype.is_temporal():
            raise PlatformError(f"labels: {column} is {values.dtype}, and above is the text {above!r}; say a number")
        return (values.cast(pl.String) > above).cast(pl.Float64)
    if not number:
        raise PlatformError(f"labels: {column} is {values.dtype}, not a number; say above which value it counts")
    values = values.cast(pl.Float64).fill_nan(None)
    if above is not None:
        return (values > above).cast(pl.Float64)
    if not values.drop_nulls().is_in([0.0, 1.0]).all():
        raise PlatformError(f"labels: {column} is not 0 or 1; say with `above` which values count as 1")
    return values


def grouped(values: "pl.Series", groups: "pl.DataFrame") -> "pl.DataFrame":
    """Per group (row of ``groups``): ``rows``, ``labelled`` (values that are known) and ``positive`` (their sum)."""
    import polars as pl

    name = "(outcome)"
    return (
        groups.with_columns(values.alias(name))
        .group_by(groups.columns)
        .agg(rows=pl.len().cast(pl.Int64), labelled=pl.col(name).count().cast(pl.Int64), positive=pl.col(name).sum())
        .sort(groups.columns)
    )


def contrasts(table: "pl.DataFrame", by: Sequence[str]) -> dict[tuple[Any, ...], float]:
    """Log odds of the outcome in each slice of a :func:`grouped` table, less those of all other rows.

    Whatever moves every slice alike, as a season does, cancels. Half a case is added on either side (Haldane 1956), so
    that a rate of 0 or 1 has odds. Slices, and rests, of fewer than :data:`SLICE_ROWS` known outcomes are left out.
    """
    rows, positives = int(table["labelled"].sum()), float(table["positive"].sum())
    found: dict[tuple[Any, ...], float] = {}
    for row in table.iter_rows(named=True):
        others = rows - row["labelled"]
        if min(row["labelled"], others) >= SLICE_ROWS:
            ours = _log_odds(row["positive"], row["labelled"])
            found[tuple(row[name] for name in by)] = ours - _log_odds(positives - row["positive"], others)
    return found


def log_odds(table: "pl.DataFrame") -> float:
    """Log odds of the outcome in all rows of a :func:`grouped` table, half a case added on either side."""
    return _log_odds(float(table["positive"].sum()), int(table["labelled"].sum()))


def _log_odds(positives: float, rows: int) -> float:
    return math.log((positives + 0.5) / (rows - positives + 0.5))


def spreads(frame: "pl.DataFrame", by: Sequence[str], columns: Sequence[str]) -> "dict[str, pl.DataFrame]":
    """How far each column is from one value in each group: ``by``, ``rows``, ``lowest``, ``highest``, ``spread``.

    Of numbers the range over the absolute median (over the largest absolute value where that is 0); of anything else
    the share of rows whose value is not the group's most frequent one. Missing values do not count. Largest first.
    """
    import polars as pl

    every = {name: pl.col(name) for name in columns}
    known = frame.group_by(by).agg(
        pl.struct(rows=value.count(), lowest=value.min(), highest=value.max()).alias(f"({name})")
        for name, value in every.items()
    )
    found = {}
    for name, value in every.items():
        groups = known.select(*by, f"({name})").unnest(f"({name})").filter(pl.col("rows") > 0)
        width = pl.col("highest") - pl.col("lowest")
        number = frame.schema[name].is_numeric()
        equal = width.cast(pl.Float64) == 0 if number else pl.col("lowest") == pl.col("highest")
        one = groups.select(equal).to_series()
        # Most groups have one value. What costs, a median and a count of values, is asked of the others alone.
        apart = groups.filter(~one)
        rows = frame.select(*by, name).drop_nulls(name).join(apart.select(by), on=by, how="semi", nulls_equal=True)
        measured = rows.group_by(by).agg(spread=_spread(value, number))
        table = groups.join(measured, on=by, how="left", nulls_equal=True)
        found[name] = table.with_columns(spread=pl.when(one).then(0.0).otherwise("spread")).sort(
            "spread", *by, descending=[True, *(False for _ in by)]
        )
    return found


def _spread(value: "pl.Expr", number: bool) -> "pl.Expr":
    """The spread of a group that has more than one value."""
    import polars as pl

    if not number:
        return 1 - value.unique_counts().max() / pl.len()
    middle = value.median().abs()
    # Around zero the median says nothing of how large the values are.
    scale = pl.when(middle > 0).then(middle).otherwise(pl.max_horizontal(value.min().abs(), value.max().abs()))
    return (value.max() - value.min()).cast(pl.Float64) / scale


def near_duplicates(frame: "pl.DataFrame", but_for: Sequence[str]) -> "tuple[int, pl.DataFrame]":
    """Rows beyond the first of those that are equal in every column but ``but_for``, and the groups of such rows."""
    rest = [name for name in frame.columns if name not in but_for]
    return repeated(frame, rest)


def repeated(frame: "pl.DataFrame", columns: Sequence[str]) -> "tuple[int, pl.DataFrame]":
    """Rows beyond the first of those that are equal in ``columns``, and the groups of such rows."""
    import polars as pl

    found = frame.group_by(list(columns), maintain_order=True).agg(rows=pl.len()).filter(pl.col("rows") > 1)
    return int(found["rows"].sum()) - found.height, found


def days_again(before: "pl.DataFrame", current: "pl.DataFrame", time: str) -> "pl.DataFrame":
    """Per day of ``current``: ``rows`` that lack no value, and how many of them some earlier day has ``again``.

    Rows are equal in all columns but ``time``; earlier days are those of ``before`` and of ``current``. Columns
    ``day``, ``rows``, ``again`` and ``share``, largest share first.
    """
    import polars as pl

    rest, day = [name for name in current.columns if name != time], "(day)"

    def known(frame: "pl.DataFrame") -> "pl.DataFrame":
        return frame.with_columns(days(frame[time]).alias(day)).select(day, *rest).drop_nulls()

    ours = known(current)
    first = pl.concat([known(before), ours], how="vertical_relaxed").group_by(rest).agg(first=pl.col(day).min())
    return (
        ours.join(first, on=rest, how="left")
        .group_by(pl.col(day).alias("day"))
        .agg(rows=pl.len().cast(pl.Int64), again=(pl.col("first") < pl.col(day)).sum().cast(pl.Int64))
        .with_columns(share=pl.col("again") / pl.col("rows"))
        .sort("share", "day", descending=[True, False])
    )


def ages(event: "pl.Series", observed: "pl.Series") -> "pl.Series":
    """Hours from an observation to its event; null where either is. Raises PlatformError for columns without times."""
    import polars as pl

    for series in (event, observed):
        if not series.dtype.is_temporal():
            raise PlatformError(f"age of observations: {series.name!r} is {series.dtype}, not a time")
    table = pl.DataFrame({"event": event, "observed": observed})
    if table.schema["event"] != table.schema["observed"]:
        raise PlatformError(
            f"age of observations: {event.name} is {event.dtype} and {observed.name} {observed.dtype}; "
            "give both the same type and time zone"
        )
    return table.select(((pl.col("event") - pl.col("observed")) / timedelta(hours=1)).alias("hours")).to_series()


def until(window: tuple[date, date] | None, now: datetime | None, times: "pl.Series") -> tuple[date, date]:
    """What to look at: the window as far as the clock has come, else from the first to the last day there is.

    Raises PlatformError where there is neither.
    """
    if window is not None:
        first, end = window
        if isinstance(now, datetime) and not isinstance(end, datetime):
            return first, max(first, min(end, now.date()))
        return first, end
    there = days(times).drop_nulls()
    if not len(there):
        raise PlatformError(f"no row has a value of {times.name!r}; check the column time")
    return _around(there)
