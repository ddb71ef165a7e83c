"""Small errors in months of flights, as suppliers make them, each in the rows that are chosen."""

from typing import Any

import polars as pl
import yaml

from ml_platform.defs.flights import source as flights
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.sabotage.ingestion import Change

#: The gates of the example as they are declared, none left out.
EXAMPLE: list[dict[str, Any]] = next(
    yaml.safe_load_all((ROOT / "ml_platform" / "defs" / "flights" / "defs.yaml").read_text())
)["attributes"]["gates"]
OUTCOMES = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
LATE = pl.col("arr_delay") > 15
LAGUARDIA = pl.col("origin") == "LGA"


def days(first: int, last: int) -> pl.Expr:
    """Rows of these days of the month."""
    return pl.col("day").is_between(first, last)


def sent_again(chosen: pl.Expr, change: pl.Expr | None = None) -> Change:
    """Rows come a second time under new flight numbers."""
    renumbered = [pl.col("flight") % 1000 + 9000, *([] if change is None else [change])]
    return lambda month: (
        pl.concat([month, month.filter(chosen).with_columns(renumbered)])
        .unique(flights.KEY, keep="first", maintain_order=True)
        .sort(flights.KEY)
    )


def lost(chosen: pl.Expr, share: float) -> Change:
    """So many of the chosen rows are not there."""
    kept = pl.int_range(pl.len()) % 100 >= 100 * share
    return lambda month: month.filter(~chosen | kept)


def in_unit(factor: float, airline: str) -> Change:
    """An airline gives its distances in another unit."""
    other = (pl.col("distance") * factor).round().cast(pl.Int64)
    return lambda month: month.with_columns(
        distance=pl.when(pl.col("carrier") == airline).then(other).otherwise("distance")
    )


def arriving(delay: pl.Expr) -> Change:
    """Flights that arrived have another delay, and an arrival that agrees with it."""
    scheduled = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
    minutes = (scheduled + pl.col("arr_delay")) % 1440
    known = pl.col("arr_delay").is_not_null()
    clock = pl.when(minutes == 0).then(2400).otherwise(minutes // 60 * 100 + minutes % 60)
    return lambda month: month.with_columns(arr_delay=pl.when(known).then(delay)).with_columns(
        arr_time=pl.when(known).then(clock).otherwise("arr_time")
    )


def flying(delay: pl.Expr) -> Change:
    """The same, and they departed as much later or earlier, but for hours: the flight took as long."""
    wanted, scheduled = (
        delay - pl.col("arr_delay"),
        pl.col("sched_dep_time") // 100 * 60 + pl.col("sched_dep_time") % 100,
    )
    minutes = (scheduled + pl.col("dep_delay")) % 1440
    clock = pl.when(minutes == 0).then(2400).otherwise(minutes // 60 * 100 + minutes % 60)

    def changed(month: pl.DataFrame) -> pl.DataFrame:
        more = month.select(more=pl.when(pl.col("dep_delay") + wanted > -100).then(wanted).otherwise(0)).to_series()
        departed = month.with_columns(dep_delay=pl.col("dep_delay") + more).with_columns(
            dep_time=pl.when(pl.col("dep_delay").is_not_null()).then(clock)
        )
        return arriving(pl.col("arr_delay") + more)(departed)

    return changed


def turned_round(chosen: pl.Expr) -> pl.Expr:
    """Late flights are on time, and the others late."""
    return pl.when(chosen).then(pl.when(LATE).then(0).otherwise(30)).otherwise("arr_delay")


def without_arrivals(chosen: pl.Expr) -> Change:
    """Nothing is known yet of how the flights went."""
    return lambda month: month.with_columns(pl.when(~chosen).then(pl.col(name)).alias(name) for name in OUTCOMES)


def with_delay(chosen: pl.Expr) -> Change:
    """The aeroplane's gap is counted to when it left, and not to when it should have."""
    late = pl.when(chosen).then(pl.col("dep_delay")).fill_null(0)
    return lambda month: month.with_columns((pl.col("tail_gap_minutes") + late).clip(0, flights.MAX_GAP_HOURS * 60))


def outcomes_of(days: int, before: pl.DataFrame) -> Change:
    """Flights went as the same one so many days earlier; ``before`` is the month before."""
    same = ("carrier", "flight", "origin", "sched_dep_time")

    def changed(month: pl.DataFrame) -> pl.DataFrame:
        earlier = pl.concat([before.select(month.columns), month]).with_columns(
            pl.col("date") + pl.duration(days=days), there=pl.lit(True)
        )
        there = earlier.select(*same, "date", *OUTCOMES, "there").unique((*same, "date"), keep="first")
        found = month.drop(OUTCOMES).join(there, on=[*same, "date"], how="left", maintain_order="left")
        return month.with_columns(
            pl.select(pl.when(found["there"]).then(found[name]).otherwise(month[name])).to_series().alias(name)
            for name in OUTCOMES
        )

    return changed


def weather_of(hours: int) -> Change:
    """The weather is of so many hours earlier than it should be."""

    def changed(month: pl.DataFrame) -> pl.DataFrame:
        weather = flights._weather().select(*month.columns[-13:], "origin", "observed")
        minute = pl.col("minute").cast(pl.Int64)
        asked = pl.col("time_hour") + pl.duration(minutes=minute) - flights.LEAD - pl.duration(hours=hours)
        return (
            month.drop(month.columns[-13:])
            .with_columns(asked=asked)
            .sort("asked")
            .join_asof(
                weather, left_on="asked", right_on="observed", by="origin", tolerance="3h", check_sortedness=False
            )
            .select(month.columns)
            .sort(flights.KEY)
        )

    return changed


def warmer(degrees: float) -> Change:
    """Temperature and dew point are so many °F higher."""
    return lambda month: month.with_columns(pl.col("temp") + degrees, pl.col("dewp") + degrees)


def observed(hours: int, chosen: pl.Expr) -> Change:
    """The time of the weather observation comes along: two hours before, for the chosen rows more."""
    age = pl.when(chosen).then(hours).otherwise(2)
    return lambda month: month.with_columns(observed=pl.col("time_hour") - pl.duration(hours=age))
