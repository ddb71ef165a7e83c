"""Features of a flight as they are known two hours before its scheduled departure."""

from datetime import date, timedelta
from functools import lru_cache

import polars as pl

from ml_platform.features.contract import HistoricalMean

#: A flight is late when it arrives more than this many minutes after schedule (the definition of the US DOT is 15).
LATE_MINUTES = 15
#: Arrival delays are cut to this range in histories, so that one day's catastrophe does not outweigh a year.
DELAY_RANGE = (-30, 180)

_LONG = {
    "carrier": ("carrier",),
    "route": ("origin", "dest"),
    "dest": ("dest",),
    "origin_hour": ("origin", "hour"),
    "carrier_route": ("carrier", "origin", "dest"),
    "flight_number": ("carrier", "flight"),
    "tail": ("tailnum",),
}
_SHORT = ("carrier", "origin_hour", "dest")
#: The recent past: half-life in days, and weight of the mean over all keys in flights.
_HALF_LIFE, _RECENT_PRIOR = 3.0, 20.0


def _histories() -> tuple[HistoricalMean, ...]:
    result = []
    for name, by in _LONG.items():
        result += [
            HistoricalMean(f"late_rate_{name}", of="late", by=by),
            HistoricalMean(f"delay_{name}", of="delay", by=by),
        ]
    for name in _SHORT:
        for prefix, of in (("late_rate", "late"), ("delay", "delay")):
            result.append(
                HistoricalMean(
                    f"{prefix}_{name}_recent", of=of, by=_LONG[name], prior=_RECENT_PRIOR, half_life_days=_HALF_LIFE
                )
            )
    return tuple(result)


def _minutes(hhmm: str) -> pl.Expr:
    """Minutes after midnight of a clock time written as 1435."""
    return pl.col(hhmm) // 100 * 60 + pl.col(hhmm) % 100


_WEATHER = (
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
    "precip_6h", "gust_6h", "pressure_change_3h", "visib_system",
)  # fmt: skip
_SCHEDULE = (
    "distance", "origin_hour_flights", "route_day_flights", "carrier_hour_flights",
    "tail_leg", "tail_gap_minutes", "seats",
)  # fmt: skip
_DERIVED = {
    "weekday": pl.col("date").dt.weekday(),
    "departure_minute": _minutes("sched_dep_time"),
    "arrival_minute": _minutes("sched_arr_time"),
    # Local times on both ends, so it carries the time zones too; modulo a day for overnight flights.
    "block_minutes": (_minutes("sched_arr_time") - _minutes("sched_dep_time")) % 1440,
    "plane_age": pl.col("date").dt.year() - pl.col("plane_year"),
    "from_ewr": pl.col("origin") == "EWR",
    "from_jfk": pl.col("origin") == "JFK",
    "from_lga": pl.col("origin") == "LGA",
}
_PART_OF_DAY = (
    pl.when(pl.col("sched_dep_time") < 1100).then(pl.lit("morning"))
    .when(pl.col("sched_dep_time") < 1700).then(pl.lit("afternoon"))
    .otherwise(pl.lit("evening"))
)  # fmt: skip


@lru_cache(maxsize=8)
def _federal_holidays(year: int) -> tuple[date, ...]:
    """Public holidays of the United States, on their own day (5 U.S.C. 6103)."""

    def nth(month: int, weekday: int, n: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    monday, thursday = 0, 3
    last_of_may = date(year, 5, 31)
    return (
        date(year, 1, 1),
        nth(1, monday, 3),
        nth(2, monday, 3),
        last_of_may - timedelta(days=last_of_may.weekday()),
        date(year, 7, 4),
        nth(9, monday, 1),
        nth(10, monday, 2),
        date(year, 11, 11),
        nth(11, thursday, 4),
        date(year, 12, 25),
    )


@lru_cache(maxsize=4096)
def _days_to_holiday(day: date | None) -> int | None:
    """Days to the nearest public holiday before or after, at most 7."""
    if day is None:
        return None
    holidays = (h for year in (day.year - 1, day.year, day.year + 1) for h in _federal_holidays(year))
    return min(7, *(abs((day - holiday).days) for holiday in holidays))


class FlightFeatures:
    """See :class:`~ml_platform.features.contract.FeatureFunction`.

    No month or day of the year: a model that is tested on later months cannot learn from them. No native
    categories either (they make one prediction a hundred times slower): carriers, routes and aeroplanes enter by
    their past.
    """

    inputs = (
        "date", "carrier", "flight", "origin", "dest", "sched_dep_time", "sched_arr_time", "tailnum", "plane_year",
        *_SCHEDULE, *_WEATHER,
    )  # fmt: skip
    time = "date"
    key = ("date", "carrier", "flight", "origin", "sched_dep_time")
    columns = (*_DERIVED, "days_to_holiday", *_SCHEDULE, *_WEATHER)
    histories = _histories()
    labels = ("late", "arr_delay")
    slices = ("carrier", "origin", "dest", "part_of_day")

    _derived = (
        *(expression.alias(name) for name, expression in _DERIVED.items()),
        (pl.col("sched_dep_time") // 100).alias("hour"),
        _PART_OF_DAY.alias("part_of_day"),
    )

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        """``raw`` with the row-wise features, the hour (key of a history) and the slices."""
        distances = [_days_to_holiday(day) for day in raw["date"].to_list()]
        return raw.with_columns(*self._derived, pl.Series("days_to_holiday", distances, dtype=pl.Int64))

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        """``late`` (0 or 1) and ``delay`` (minutes within :data:`DELAY_RANGE`); null without an arrival."""
        return raw.select(late=_LATE, delay=pl.col("arr_delay").clip(*DELAY_RANGE))

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        """``late`` (0 or 1) and ``arr_delay`` (minutes); null where the flight did not arrive."""
        return raw.select(late=_LATE, arr_delay=pl.col("arr_delay").cast(pl.Float32))


_LATE = (pl.col("arr_delay") > LATE_MINUTES).cast(pl.Int8)

flights = FlightFeatures()
