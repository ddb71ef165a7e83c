"""What a monthly batch of flights must look like."""

from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from ml_platform.defs.flights.source import KEY, MAX_GAP_HOURS, MAX_WIND_MPH

#: Airlines with flights from New York.
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
ORIGINS = ("EWR", "JFK", "LGA")
#: Miles per hour from take-off to landing: the slowest hop and the strongest tail wind lie well within.
SPEED = (50, 800)
#: Percentage points between measured humidity and the one that temperature and dew point give.
MAX_HUMIDITY_ERROR = 30
#: Mean temperature of New York by month, °F: normals of 1981 to 2010 for Central Park (NOAA).
NORMAL_TEMPERATURE = (32.6, 35.3, 42.5, 53.0, 62.4, 71.4, 76.5, 75.2, 68.0, 56.9, 47.7, 37.5)
#: How far the mean of a month may be from it, °F, and fewest rows for a mean. From January to June it is 4 at most.
SEASON, SEASON_ROWS = 10, 500

#: Median of the minutes between departure and arrival that are not in the air, by airport: 23 to 25, 27 to 29, 28 to 29
#: from January to June, give or take two. Time zones are whole hours, so that the rest of an hour is what counts.
GROUND, GROUND_ROWS = {"EWR": (21, 27), "JFK": (25, 31), "LGA": (26, 31)}, 500
#: Share of those that left an hour late or more whose arrival is not known; 0.011 is the most until June.
LOST_LATE, LATE, LATE_ROWS = 0.05, 60, 200
#: Miles by which the airports' visibility may miss the mean that is given for all of them, in which share of hours, and
#: fewest hours for a share. Until June it is 0.002 at most.
MEAN_MILES, MISSED_HOURS, HOURS = 0.02, 0.02, 100

#: Arrivals 16 to 20 minutes late for each 11 to 15 minutes late, and fewest of these: 0.72 to 0.84 until June, widened
#: by as much on either side. Delays fall off evenly, and know nothing of the minute from which one counts as late.
EDGE, EDGE_ROWS = (0.6, 0.96), 400
#: Minutes between two scheduled departures of an aeroplane from New York; share of flights below, 0.0006 until June.
TURN, TURNED = 15, 0.01

UTC = Annotated[pl.Datetime, "us", "UTC"]


def _field(description: str, *, outcome: bool = False, pii: bool = False, **rules: Any) -> Any:
    metadata: dict[str, Any] = {"description": description}
    metadata |= {"outcome": True} if outcome else {}
    metadata |= {"pii": True} if pii else {}
    return pa.Field(metadata=metadata, **rules)


def _after(description: str, **rules: Any) -> Any:
    """A column that is known only after departure; null for flights that did not get so far."""
    return _field(description, outcome=True, nullable=True, **rules)


def _maybe(description: str, **rules: Any) -> Any:
    """A column that some rows lack: the aeroplane is not registered, or the station sent nothing."""
    return _field(description, nullable=True, **rules)


def _clock(column: str) -> pl.Expr:
    """Whether a time written as 1435 is on the clock; 2400 is how the source writes midnight of an actual time."""
    return (pl.col(column) % 100 < 60) & (pl.col(column) <= 2400)


def _minutes(column: str) -> pl.Expr:
    return pl.col(column) // 100 * 60 + pl.col(column) % 100


class Flights(pa.DataFrameModel):
    """One row per scheduled flight."""

    year: int = _field("Year of departure, local time.", ge=2013, le=2100)
    month: int = _field("Month of departure, local time.", ge=1, le=12)
    day: int = _field("Day of departure, local time.", ge=1, le=31)
    dep_time: int = _after("Actual departure, local time as hhmm.", ge=1, le=2400)
    sched_dep_time: int = _field("Scheduled departure, local time as hhmm.", ge=0, le=2359)
    dep_delay: int = _after("Departure delay, minutes; negative: early.", ge=-120, le=2880)
    arr_time: int = _after("Actual arrival, local time as hhmm.", ge=1, le=2400)
    sched_arr_time: int = _field("Scheduled arrival, local time as hhmm.", ge=0, le=2359)
    arr_delay: int = _after("Arrival delay, minutes; negative: early.", ge=-180, le=2880)
    carrier: str = _field("Airline, two-letter code.", isin=CARRIERS)
    flight: int = _field("Flight number.", ge=1, le=9999)
    tailnum: str = _field(
        "Registration of the aeroplane, from which its owner is public.", pii=True, nullable=True,
        str_matches=r"^[A-Z][A-Z0-9]{4,5}$",
    )  # fmt: skip
    origin: str = _field("Airport of departure.", isin=ORIGINS)
    dest: str = _field("Airport of arrival.", str_matches=r"^[A-Z]{3}$")
    air_time: int = _after("Minutes in the air.", gt=0, le=1440)
    distance: int = _field("Miles between the airports.", gt=0, le=10_000)
    hour: int = _field("Hour of the scheduled departure.", ge=0, le=23)
    minute: int = _field("Minute of the scheduled departure.", ge=0, le=59)
    time_hour: UTC = _field("Hour of the scheduled departure, as an instant.")
    date: pl.Date = _field("Day of departure, local time.")
    tail_leg: int = _maybe("Number of this flight among the aeroplane's from New York that day.", ge=1, le=24)
    tail_gap_minutes: int = _maybe(
        "Minutes since the aeroplane's previous scheduled departure from New York, cut at two days.",
        ge=0, le=MAX_GAP_HOURS * 60,
    )  # fmt: skip
    origin_hour_flights: int = _field("Flights scheduled from the origin in this hour.", ge=1, le=200)
    route_day_flights: int = _field("Flights scheduled on this route that day.", ge=1, le=200)
    carrier_hour_flights: int = _field("Flights of the airline from the origin in this hour.", ge=1, le=200)
    plane_year: int = _maybe("Year the aeroplane was built.", ge=1940, le=2100)
    seats: int = _maybe("Seats of the aeroplane.", ge=1, le=900)
    engines: int = _maybe("Engines of the aeroplane.", ge=1, le=8)
    manufacturer: str = _maybe("Manufacturer of the aeroplane.")
    engine: str = _maybe("Type of engine.")
    temp: float = _maybe("Temperature at the origin two hours before, °F.", ge=-60, le=140)
    dewp: float = _maybe("Dew point, °F.", ge=-80, le=100)
    humid: float = _maybe("Relative humidity, %.", ge=0, le=100)
    wind_dir: int = _maybe("Direction the wind comes from, degrees.", ge=0, le=360)
    wind_speed: float = _maybe("Wind, mph.", ge=0, le=MAX_WIND_MPH)
    wind_gust: float = _maybe("Gusts, mph; null where there were none.", ge=0, le=MAX_WIND_MPH)
    precip: float = _maybe("Precipitation in the hour, inches.", ge=0, le=15)
    pressure: float = _maybe("Pressure at sea level, millibars.", ge=870, le=1090)
    visib: float = _maybe("Visibility, miles; 10 is the most that is reported.", ge=0, le=10)
    precip_6h: float = _maybe("Precipitation in six hours, inches.", ge=0, le=50)
    gust_6h: float = _maybe("Strongest wind or gust in six hours, mph.", ge=0, le=MAX_WIND_MPH)
    pressure_change_3h: float = _maybe("Change of pressure in three hours, millibars.", ge=-60, le=60)
    visib_system: float = _maybe("Mean visibility at the three airports, miles.", ge=0, le=10)

    @pa.dataframe_check(name="date_agrees")
    def date_agrees(cls, data: PolarsData) -> pl.LazyFrame:
        """The day is the one that year, month and day name."""
        return data.lazyframe.select(
            (pl.col("date").dt.year() == pl.col("year"))
            & (pl.col("date").dt.month() == pl.col("month"))
            & (pl.col("date").dt.day() == pl.col("day"))
        )

    @pa.dataframe_check(name="instant_agrees")
    def instant_agrees(cls, data: PolarsData) -> pl.LazyFrame:
        """The instant is the scheduled hour of that day in New York."""
        local = pl.col("time_hour").dt.convert_time_zone("America/New_York")
        return data.lazyframe.select((local.dt.date() == pl.col("date")) & (local.dt.hour() == pl.col("hour")))

    @pa.dataframe_check(name="scheduled_times_valid")
    def scheduled_times_valid(cls, data: PolarsData) -> pl.LazyFrame:
        """Scheduled times are on the clock, and the departure's is the one that hour and minute name."""
        return data.lazyframe.select(
            _clock("sched_dep_time")
            & _clock("sched_arr_time")
            & (pl.col("sched_dep_time") == pl.col("hour") * 100 + pl.col("minute"))
        )

    @pa.dataframe_check(name="actual_times_valid")
    def actual_times_valid(cls, data: PolarsData) -> pl.LazyFrame:
        """Actual times are on the clock where there are any."""
        return data.lazyframe.select(_clock("dep_time").fill_null(True) & _clock("arr_time").fill_null(True))

    @pa.dataframe_check(name="departure_delay_agrees")
    def departure_delay_agrees(cls, data: PolarsData) -> pl.LazyFrame:
        """A departure has a delay and no delay is without one; it is actual minus scheduled time, modulo a day."""
        difference = _minutes("dep_time") - _minutes("sched_dep_time") - pl.col("dep_delay")
        together = pl.col("dep_time").is_null() == pl.col("dep_delay").is_null()
        return data.lazyframe.select(together & (difference % 1440 == 0).fill_null(True))

    @pa.dataframe_check(name="arrival_delay_agrees")
    def arrival_delay_agrees(cls, data: PolarsData) -> pl.LazyFrame:
        """An arrival delay is actual minus scheduled time, modulo a day."""
        difference = _minutes("arr_time") - _minutes("sched_arr_time") - pl.col("arr_delay")
        return data.lazyframe.select((difference % 1440 == 0).fill_null(True))

    @pa.dataframe_check(name="arrived_flights_complete")
    def arrived_flights_complete(cls, data: PolarsData) -> pl.LazyFrame:
        """A flight with an arrival delay has a departure, an arrival, time in the air and an aeroplane."""
        complete = pl.all_horizontal(
            pl.col(c).is_not_null() for c in ("dep_time", "arr_time", "air_time", "tailnum")
        )  # fmt: skip
        return data.lazyframe.select(pl.col("arr_delay").is_null() | complete)

    @pa.dataframe_check(name="cancelled_flights_empty")
    def cancelled_flights_empty(cls, data: PolarsData) -> pl.LazyFrame:
        """A flight that did not depart has no arrival, delay or time in the air."""
        empty = pl.all_horizontal(pl.col(c).is_null() for c in ("dep_delay", "arr_time", "arr_delay", "air_time"))
        return data.lazyframe.select(pl.col("dep_time").is_not_null() | empty)

    @pa.dataframe_check(name="speed_sane")
    def speed_sane(cls, data: PolarsData) -> pl.LazyFrame:
        """Distance over time in the air is a speed that an aeroplane flies."""
        speed = pl.col("distance") / (pl.col("air_time") / 60)
        return data.lazyframe.select(speed.is_between(*SPEED).fill_null(True))

    @pa.dataframe_check(name="goes_somewhere")
    def goes_somewhere(cls, data: PolarsData) -> pl.LazyFrame:
        """A flight does not end where it began."""
        return data.lazyframe.select(pl.col("origin") != pl.col("dest"))

    @pa.dataframe_check(name="humidity_agrees")
    def humidity_agrees(cls, data: PolarsData) -> pl.LazyFrame:
        """Humidity is roughly what temperature and dew point say; another unit of any of the three is far off.

        Magnus' formula with the constants of Alduchov and Eskridge (J. Appl. Meteor. 35, 1996). From January to June
        readings are at most 23 points away from it.
        """
        temp, dewp = ((pl.col(name) - 32) * 5 / 9 for name in ("temp", "dewp"))
        saturation = [17.625 * value / (243.04 + value) for value in (temp, dewp)]
        expected = 100 * (saturation[1] - saturation[0]).exp()
        return data.lazyframe.select(((expected - pl.col("humid")).abs() <= MAX_HUMIDITY_ERROR).fill_null(True))

    @pa.dataframe_check(name="temperature_of_the_season")
    def temperature_of_the_season(cls, data: PolarsData) -> pl.LazyFrame:
        """Each month is about as warm as it usually is: a shift of all readings is within what a day may have."""
        normal = pl.col("month").replace_strict(dict(enumerate(NORMAL_TEMPERATURE, 1)), default=None)
        mean = pl.col("temp").mean().over("year", "month")
        enough = pl.col("temp").count().over("year", "month") >= SEASON_ROWS
        return data.lazyframe.select(~enough | ((mean - normal).abs() <= SEASON).fill_null(True))

    @pa.dataframe_check(name="precipitation_in_hundredths")
    def precipitation_in_hundredths(cls, data: PolarsData) -> pl.LazyFrame:
        """Gauges count hundredths of an inch."""
        hundredths = [pl.col(name) * 100 for name in ("precip", "precip_6h")]
        whole = pl.all_horizontal((value - value.round()).abs() < 1e-6 for value in hundredths)
        return data.lazyframe.select(whole.fill_null(True))

    @pa.dataframe_check(name="delay_of_arrivals_known")
    def delay_of_arrivals_known(cls, data: PolarsData) -> pl.LazyFrame:
        """Where the time in the air is known, so is the delay: one that is missing was left out."""
        return data.lazyframe.select(pl.col("air_time").is_null() | pl.col("arr_delay").is_not_null())

    @pa.dataframe_check(name="late_departures_arrive")
    def late_departures_arrive(cls, data: PolarsData) -> pl.LazyFrame:
        """Few of those that left very late are without an arrival: otherwise the late ones were left out."""
        late = (pl.col("dep_delay") > LATE).fill_null(False)
        lost = (late & pl.col("arr_delay").is_null()).sum() / late.sum()
        return data.lazyframe.select(~late | (late.sum() < LATE_ROWS) | (lost <= LOST_LATE))

    @pa.dataframe_check(name="no_edge_at_late")
    def no_edge_at_late(cls, data: PolarsData) -> pl.LazyFrame:
        """Just late is about as frequent as just not late: otherwise late flights were left out or rounded."""
        before, after = (pl.col("arr_delay").is_between(*span).fill_null(False) for span in ((11, 15), (16, 20)))
        even = (after.sum() / before.sum()).is_between(*EDGE)
        return data.lazyframe.select(~(before | after) | (before.sum() < EDGE_ROWS) | even)

    @pa.dataframe_check(name="aeroplane_at_one_place")
    def aeroplane_at_one_place(cls, data: PolarsData) -> pl.LazyFrame:
        """Hardly an aeroplane leaves New York twice within minutes: otherwise flights come under several numbers."""
        minute = pl.col("time_hour").dt.epoch("s") // 60 + pl.col("minute")
        since = minute - minute.shift(1).over("tailnum", order_by=minute)
        twice = (since < TURN).fill_null(False) & pl.col("tailnum").is_not_null()
        return data.lazyframe.select(~twice | (twice.sum() <= TURNED * pl.len()))

    @pa.dataframe_check(name="ground_time")
    def ground_time(cls, data: PolarsData) -> pl.LazyFrame:
        """From gate to runway and back takes what it usually takes: arrivals that are all later make it longer."""
        ground = (_minutes("arr_time") - _minutes("dep_time") - pl.col("air_time")) % 60
        lowest, highest = (
            pl.col("origin").replace_strict({name: span[end] for name, span in GROUND.items()}, default=None)
            for end in (0, 1)
        )
        enough = ground.count().over("origin") >= GROUND_ROWS
        usual = ground.median().over("origin").is_between(lowest, highest)
        return data.lazyframe.select(~enough | usual.fill_null(True))

    @pa.dataframe_check(name="visibility_of_the_airports")
    def visibility_of_the_airports(cls, data: PolarsData) -> pl.LazyFrame:
        """The mean of all airports is that of what each has: otherwise one has the weather of another."""
        each = pl.col("visib").first().over("time_hour", "origin")
        airports = pl.col("origin").n_unique().over("time_hour")
        # Each airport counts once, however many flights it has in the hour.
        weight = 1 / pl.len().over("time_hour", "origin")
        mean = (each * weight).sum().over("time_hour") / weight.sum().over("time_hour")
        complete = (airports == len(ORIGINS)) & each.is_not_null().all().over("time_hour")
        missed = complete & ((mean - pl.col("visib_system")).abs() > MEAN_MILES).fill_null(False)
        # Three airports make one hour.
        hours, wrong = ((which * weight).sum() / len(ORIGINS) for which in (complete, missed))
        return data.lazyframe.select((~missed | (hours < HOURS) | (wrong <= MISSED_HOURS * hours)).fill_null(True))

    class Config:  # pyright: ignore[reportIncompatibleVariableOverride] (pandera's own form)
        """Unknown columns are an error. Duplicates of the key have a gate of their own."""

        strict = True
        metadata = {"key": list(KEY)}  # noqa: RUF012 (pandera's own form)
