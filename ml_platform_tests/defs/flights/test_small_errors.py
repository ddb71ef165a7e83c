"""Errors that passed every gate of the example once, in whole months of flights, and the months as they were.

Each was tried in all months from February to December (``docs/gates.md``); two of them are kept here.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl
import pytest

from ml_platform.defs.flights import source as flights
from ml_platform.defs.flights.schema import ORIGINS, Flights
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Verdict, judge
from ml_platform_tests.sabotage.flight_errors import (
    EXAMPLE,
    OUTCOMES,
    arriving,
    flying,
    outcomes_of,
    turned_round,
    weather_of,
    with_delay,
)
from ml_platform_tests.sabotage.ingestion import Change

GATES = {gate.name: gate for gate in map(Gate.model_validate, EXAMPLE)}
MONTHS = tuple(f"2013-{month:02d}-01" for month in range(1, 13))
#: Gates that came after the errors below had gone through.
NEW = (
    *("rules", "coverage_of_airlines", "coverage_of_airports", "near_duplicates_of_aeroplanes"),
    *("dependency_of_aeroplanes", "dependency_of_weather", "labels_highest_rate"),
    *("distribution_of_outcomes", "distribution_correlation", "distribution_tails", "correction"),
    *("distribution_of_schedules", "coverage_of_hours", "counts", "counts_of_routes", "counts_of_airlines"),
    *("weather_of_another_day", "outcomes_of_another_day", "labels_change_of_destinations", "labels_change_of_hours"),
    *("distribution_of_delays", "distribution_of_arrivals", "association", "labels_known_of_airports"),
)
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib", "precip_6h")


@cache
def month(name: str) -> pl.DataFrame:
    return flights.source.read(name)


def judged(gates: tuple[str, ...], name: str, frame: pl.DataFrame, replaced: Any = None) -> dict[str, Verdict]:
    first = date.fromisoformat(name)
    end = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    evidence = BatchEvidence(
        lambda: frame,
        lambda: Flights,
        flights.KEY,
        {one: month(one).height for one in MONTHS if one < name},
        earlier=lambda names, columns: pl.concat(month(one).select(columns) for one in names),
        time="date",
        window=(first, end),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        replaced=lambda: None if replaced is None else ("b" * 64, replaced),
    )
    found = judge([GATES[gate] for gate in gates], evidence, subject="a" * 64, subject_name=name)
    return {verdict.gate: verdict for verdict in found}


def later(minutes: int, origins: tuple[str, ...] = ORIGINS) -> Change:
    chosen = pl.col("origin").is_in(origins)
    return arriving(pl.when(chosen).then(pl.col("arr_delay") + minutes).otherwise("arr_delay"))


def unknown_above(minutes: int, columns: tuple[str, ...]) -> Change:
    late = (pl.col("arr_delay") > minutes).fill_null(False)
    return lambda rows: rows.with_columns(pl.when(~late).then(name).alias(name) for name in columns)


def weather_of_another_airport(ours: str, theirs: str) -> Change:
    def changed(rows: pl.DataFrame) -> pl.DataFrame:
        there = rows.filter(pl.col("origin") == theirs).group_by("time_hour").agg(pl.col(WEATHER).first())
        other = rows.select("time_hour").join(there, on="time_hour", how="left", maintain_order="left")
        hit = (rows["origin"] == ours) & other["pressure"].is_not_null()
        return rows.with_columns(
            pl.select(pl.when(hit).then(other[name]).otherwise(rows[name])).to_series().alias(name) for name in WEATHER
        )

    return changed


def exchanged(column: str) -> Change:
    """Every twentieth row has the value of the row before."""
    return lambda rows: rows.with_columns(
        pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.col(column).shift(1)).otherwise(column).alias(column)
    )


def nearly_again(rows: pl.DataFrame) -> pl.DataFrame:
    """Fifty flights come again under other numbers, with another minute in the air."""
    flown = rows.drop_nulls(("tailnum", "air_time"))[::500]
    return pl.concat([rows, flown.with_columns(pl.col("flight") % 1000 + 9000, pl.col("air_time") + 1)])


def without(column: str, value: str) -> Change:
    return lambda rows: rows.filter(pl.col(column) != value)


def twice(column: str, value: str) -> Change:
    return lambda rows: pl.concat(
        [rows, rows.filter(pl.col(column) == value).with_columns(pl.col("flight") % 1000 + 9000)]
    )


def as_the_day(days: int) -> Change:
    """Outcomes of so many days earlier, also those of the month before."""

    def changed(rows: pl.DataFrame) -> pl.DataFrame:
        name = MONTHS[rows["month"][0] - 2]
        return outcomes_of(days, month(name))(rows)

    return changed


def an_hour_later(rows: pl.DataFrame) -> pl.DataFrame:
    """Every departure is scheduled for an hour later than it was."""
    hour = (pl.col("hour") + 1).clip(0, 23)
    return rows.with_columns(
        hour, sched_dep_time=hour * 100 + pl.col("minute"), time_hour=pl.col("time_hour") + pl.duration(hours=1)
    )


def counted_as_flown(rows: pl.DataFrame) -> pl.DataFrame:
    """Flights of an hour are those that left in it, which nobody knows before."""
    flown = (pl.col("dep_time") // 100).fill_null(pl.col("hour"))
    return rows.with_columns(origin_hour_flights=pl.len().over("origin", "date", flown).cast(pl.Int64))


def absolute(airline: str) -> Change:
    """Early is late."""
    chosen = pl.col("carrier") == airline
    return arriving(pl.when(chosen).then(pl.col("arr_delay").abs()).otherwise("arr_delay"))


def codeshares(rows: pl.DataFrame) -> pl.DataFrame:
    """Every fifth flight of a known aeroplane comes again under the number of a partner, a minute later."""
    minute = (pl.col("minute") + 1) % 60
    again = rows.drop_nulls("tailnum").filter(pl.col("minute") < 59)[::5].with_columns(
        minute, flight=pl.col("flight") % 1000 + 9000, sched_dep_time=pl.col("hour") * 100 + minute
    )  # fmt: skip
    return pl.concat([rows, again])


def filled_in(rows: pl.DataFrame) -> pl.DataFrame:
    """What was cancelled is said to have flown on time."""
    cancelled = pl.col("dep_delay").is_null()
    on_time = {
        "dep_delay": 0,
        "arr_delay": 0,
        "dep_time": pl.col("sched_dep_time"),
        "arr_time": pl.col("sched_arr_time"),
    }
    return rows.with_columns(
        pl.when(cancelled).then(value).otherwise(name).alias(name)
        for name, value in {name: pl.lit(one) if isinstance(one, int) else one for name, one in on_time.items()}.items()
    )


EVERY_SECOND = pl.int_range(pl.len()) % 2 == 0
EVERY_FIFTH = pl.int_range(pl.len()) % 5 == 0
ERRORS: dict[str, tuple[Change, str]] = {
    "an airline is not there": (without("carrier", "9E"), "coverage_of_airlines"),
    "an airline comes twice": (twice("carrier", "MQ"), "coverage_of_airlines"),
    "an airport is not there": (without("origin", "LGA"), "coverage_of_airports"),
    "aeroplanes in two places": (nearly_again, "near_duplicates_of_aeroplanes"),
    "seats of other aeroplanes": (exchanged("seats"), "dependency_of_aeroplanes"),
    "humidity of other rows": (exchanged("humid"), "dependency_of_weather"),
    "the weather of another airport": (weather_of_another_airport("JFK", "EWR"), "rules"),
    "all arrivals five minutes later": (later(5), "rules"),
    "all arrivals half an hour later": (later(30), "rules"),
    "arrivals at one airport ten minutes later": (later(10, ("EWR",)), "rules"),
    "all flights five minutes later": (flying(pl.col("arr_delay") + 5), "distribution_of_outcomes"),
    "delays of more than an hour left out": (unknown_above(60, ("arr_delay",)), "rules"),
    "arrivals of very late flights left out": (unknown_above(120, ("arr_delay", "arr_time", "air_time")), "rules"),
    "very late flights as if cancelled": (unknown_above(120, OUTCOMES), "distribution_correlation"),
    "delays cut at an hour": (arriving(pl.col("arr_delay").clip(upper_bound=60)), "distribution_tails"),
    "a fifth of the labels turned round": (arriving(turned_round(EVERY_FIFTH)), "distribution_correlation"),
    "an hour of the day is not there": (lambda rows: rows.filter(pl.col("hour") != 8), "coverage_of_hours"),
    "departures are an hour off": (an_hour_later, "distribution_of_schedules"),
    "one flight in a hundred is lost": (lambda rows: rows.filter(pl.int_range(pl.len()) % 100 != 0), "counts"),
    "half of the late flights are lost": (
        lambda rows: rows.filter(~((pl.col("arr_delay") > 15) & (pl.int_range(pl.len()) % 2 == 0)).fill_null(False)),
        "counts_of_routes",
    ),
    "counts of what flew": (counted_as_flown, "counts"),
    "flights of an airline come again": (nearly_again, "counts_of_airlines"),
    "outcomes of the day before": (as_the_day(1), "outcomes_of_another_day"),
    "outcomes of the week before": (as_the_day(7), "outcomes_of_another_day"),
    "weather of the day before": (weather_of(24), "weather_of_another_day"),
    "weather of the week before": (weather_of(7 * 24), "weather_of_another_day"),
    "labels of a destination turned round": (
        flying(turned_round(pl.col("dest") == "TPA")),
        "labels_change_of_destinations",
    ),
    "labels of an hour turned round": (flying(turned_round(pl.col("hour") == 8)), "labels_change_of_hours"),
    "absolute delays of one airline": (absolute("MQ"), "distribution_of_delays"),
    "delays up to half an hour are none": (
        arriving(pl.when(pl.col("arr_delay").is_between(16, 30)).then(15).otherwise("arr_delay")),
        "distribution_of_arrivals",
    ),
    "delays up to twenty minutes are fifteen": (
        arriving(pl.when(pl.col("arr_delay").is_between(16, 20)).then(15).otherwise("arr_delay")),
        "rules",
    ),
    "half of those up to an hour late as if cancelled": (
        lambda rows: rows.with_columns(
            pl.when(~(pl.col("arr_delay").is_between(16, 60) & EVERY_SECOND).fill_null(False)).then(pl.col(name))
            for name in OUTCOMES
        ),
        "rules",
    ),
    "half of the late flights are not delivered, nor counted": (
        lambda rows: rows.filter(~((pl.col("arr_delay") > 15) & EVERY_SECOND).fill_null(False)),
        "rules",
    ),
    "a fifth of the flights again as codeshares": (codeshares, "rules"),
    "a gap with the delay in it": (with_delay(pl.lit(True)), "association"),
    "cancelled flights are not delivered, nor counted": (
        lambda rows: rows.filter(pl.col("dep_delay").is_not_null()),
        "labels_known_of_airports",
    ),
    "cancelled flights are on time": (filled_in, "labels_known_of_airports"),
    "a day on which everybody is late": (
        arriving(pl.when(pl.col("day") == 10).then(30).otherwise("arr_delay")),
        "labels_highest_rate",
    ),
}


@pytest.mark.parametrize("name", ["2013-03-01", "2013-11-01"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_refused(error: str, name: str) -> None:
    change, gate = ERRORS[error]
    found = judged((gate,), name, change(month(name)))[gate]
    assert found.status == "failed" and found.blocking, found


@pytest.mark.parametrize("name", MONTHS[9:])
def test_ten_minutes_more_on_every_arrival_are_refused_with_the_batch(name: str) -> None:
    later = pl.col("arr_delay") + 10
    gates = ("rules", "distribution_of_arrivals", "distribution_of_outcomes")
    arrived, flown = judged(gates, name, arriving(later)(month(name))), judged(gates, name, flying(later)(month(name)))
    assert all(arrived[gate].status == "failed" for gate in gates)
    assert flown["distribution_of_outcomes"].status == "failed", "also where departures agree"


@pytest.mark.parametrize("name", MONTHS)
def test_no_month_as_it_was_raises_an_alarm(name: str) -> None:
    found = judged(NEW, name, month(name), month(name))
    assert {gate: verdict.reason for gate, verdict in found.items() if not verdict.passed} == {}


@pytest.mark.parametrize(
    ("change", "passes"),
    [(arriving(turned_round(EVERY_FIFTH)), False), (arriving(turned_round(pl.int_range(pl.len()) % 100 == 0)), True)],
    ids=["a fifth of the labels", "one in a hundred"],
)
def test_a_correction_of_labels(change: Callable[[pl.DataFrame], pl.DataFrame], passes: bool) -> None:
    found = judged(("correction",), MONTHS[3], change(month(MONTHS[3])), month(MONTHS[3]))["correction"]
    assert found.passed == passes, found


def test_gates_of_the_first_month_say_that_they_have_nothing_to_compare_with() -> None:
    alone = {gate for gate, verdict in judged(tuple(GATES), MONTHS[0], month(MONTHS[0])).items() if verdict.uncompared}
    assert {"volume", "distribution_psi", "association"} <= alone
    assert not {"schema", "coverage_of_airlines", "labels_change"} & alone, (
        "those hold its later half against its first"
    )


def test_what_changes_within_the_first_month_is_refused() -> None:
    later, united = pl.col("day") > 16, pl.col("carrier") == "UA"
    january = month(MONTHS[0])
    lost = judged(("coverage_of_airlines",), MONTHS[0], january.filter(~later | ~united))["coverage_of_airlines"]
    turned = judged(("labels_change",), MONTHS[0], flying(turned_round(later & (pl.col("origin") == "LGA")))(january))
    assert lost.status == turned["labels_change"].status == "failed"
