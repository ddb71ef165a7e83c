"""The example's features: what each means on real rows."""

from datetime import date

import polars as pl
import pytest

from ml_platform.defs.flights.features import flights
from ml_platform.defs.flights.source import source


@pytest.fixture(scope="module")
def rows() -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = source.read("2013-11-01")
    return raw, flights.rows(raw)


def test_clock_times_become_minutes(rows: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    raw, got = rows
    assert got["departure_minute"].to_list() == [t // 100 * 60 + t % 100 for t in raw["sched_dep_time"]]
    assert got["block_minutes"].is_between(0, 1439).all()
    overnight = got.filter(pl.col("arrival_minute") < pl.col("departure_minute"))
    assert overnight.height > 0
    assert (overnight["block_minutes"] > 0).all()


def test_rows_do_not_depend_on_each_other(rows: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    raw, got = rows
    for row in range(0, raw.height, 1009):
        assert flights.rows(raw[row]).equals(got[row])


@pytest.mark.parametrize(
    ("day", "distance"),
    [
        (date(2013, 11, 28), 0),  # Thanksgiving: fourth Thursday
        (date(2013, 11, 27), 1),
        (date(2013, 5, 27), 0),  # Memorial Day: last Monday
        (date(2013, 1, 21), 0),  # Martin Luther King: third Monday
        (date(2013, 12, 30), 2),  # next year's first day counts
        (date(2014, 1, 2), 1),
        (date(2013, 8, 15), 7),
        (date(2021, 5, 31), 0),
    ],
)
def test_days_to_holiday(day: date, distance: int) -> None:
    raw = source.read("2013-11-01").head(1).with_columns(date=pl.lit(day))
    assert flights.rows(raw)["days_to_holiday"].to_list() == [distance]


def test_labels_are_unknown_exactly_where_the_flight_did_not_arrive(rows: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    raw, _ = rows
    targets = flights.targets(raw)
    assert targets["late"].is_null().to_list() == raw["arr_delay"].is_null().to_list()
    assert targets.filter(raw["arr_delay"] == 15)["late"].unique().to_list() == [0]
    assert targets.filter(raw["arr_delay"] == 16)["late"].unique().to_list() == [1]
    assert flights.outcomes(raw)["delay"].drop_nulls().is_between(-30, 180).all()
