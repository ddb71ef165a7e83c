"""Gates that ask when, on hours and on days of 23 and 25 hours."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ml_platform.sources.partitions import Partitions
from ml_platform.training.split import SplitRule
from ml_platform_tests.gates.batches import batch

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
FIVE = datetime(2024, 3, 5, 5, tzinfo=UTC)


def times(first: datetime, after: datetime, every: str = "1m", zone: str = "Europe/Berlin") -> pl.DataFrame:
    """Rows from one instant to before another."""
    at = pl.datetime_range(first, after, every, closed="left", eager=True, time_unit="us", time_zone="UTC")
    return pl.DataFrame({"at": at.dt.convert_time_zone(zone)})


def day_of(day: date, every: str = "1m") -> pl.DataFrame:
    """Rows of a day in Berlin."""
    begin = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
    end = day + timedelta(days=1)
    return times(begin.astimezone(UTC), datetime(end.year, end.month, end.day, tzinfo=BERLIN).astimezone(UTC), every)


def judged(gate: dict[str, Any], frame: pl.DataFrame, window: Any, *earlier: pl.DataFrame, **more: Any) -> Any:
    names = {f"2024-01-0{place}": one for place, one in enumerate(earlier, 1)}
    return batch(
        gate, frame, time="at", window=window, earlier_rows={name: one.height for name, one in names.items()},
        earlier=lambda wanted, columns: pl.concat(names[name].select(columns) for name in wanted), **more,
    )  # fmt: skip


def test_the_window_of_an_hour_is_one_of_instants() -> None:
    window = (FIVE, FIVE + HOUR)
    frame = times(FIVE, FIVE + HOUR)
    for zone in ("Europe/Berlin", "America/New_York", "UTC"):
        assert judged({"gate": "window"}, frame.with_columns(pl.col("at").dt.convert_time_zone(zone)), window).passed
    plain = frame.with_columns(pl.col("at").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    assert judged({"gate": "window"}, plain, window).passed, "without a zone it is UTC"
    late = judged({"gate": "window"}, times(FIVE - HOUR, FIVE + HOUR), window)
    assert (late.status, late.observed) == ("failed", 60)
    assert "60 rows are not of 2024-03-05 05:00:00+00:00" in late.reason


def test_the_window_of_a_day_is_that_of_the_zone() -> None:
    for day in (date(2024, 3, 31), date(2024, 10, 27)):
        window = (day, day + timedelta(days=1))
        assert judged({"gate": "window"}, day_of(day), window).observed == 0
        universal = day_of(day).with_columns(pl.col("at").dt.convert_time_zone("UTC"))
        assert judged({"gate": "window"}, universal, window).observed > 0, "days in UTC are others"


def test_freshness_of_an_hour_is_in_hours() -> None:
    window = (FIVE, FIVE + HOUR)
    found = judged({"gate": "freshness", "max": 0.25}, times(FIVE, FIVE + HOUR / 2), window, now=FIVE + 5 * HOUR)
    assert found.status == "failed" and found.observed == pytest.approx(31 / 60)
    assert judged({"gate": "freshness", "max": 0.25}, times(FIVE, FIVE + HOUR), window, now=FIVE + 5 * HOUR).passed


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 31), 23), (date(2024, 10, 27), 25), (date(2024, 6, 2), 24)])
def test_a_change_of_clocks_is_no_gap_and_no_surplus(day: date, hours: int) -> None:
    gate = {"gate": "coverage", "every": "hour", "columns": ["at"], "max": 0.1}
    earlier = [day_of(day - timedelta(days=days)) for days in (14, 7)]
    window = (day, day + timedelta(days=1))
    found = judged(gate, day_of(day), window, *earlier)
    assert (found.status, found.observed, found.support) == ("passed", 0, hours)
    # An hour that is missing is found on such days as well: the one after the change.
    three = pl.col("at").dt.hour() == 3
    found = judged(gate, day_of(day).filter(~three), window, *earlier)
    assert (found.status, found.observed) == ("failed", 1)
    assert found.reason == f"{day} 3:00 has 0 rows, 60 are usual"


def test_hours_are_compared_with_the_same_hour_of_other_days() -> None:
    gate = {"gate": "coverage", "every": "hour", "max": 0.5}
    window, full = (FIVE, FIVE + HOUR), times(FIVE, FIVE + HOUR, zone="UTC")
    assert judged(gate, full, window).observed is None, "the first batch has nothing to compare with"
    other = times(FIVE - HOUR, FIVE, "10s", "UTC")
    found = judged(gate, full, window, other)
    assert (found.observed, found.reason) == (None, "no earlier batch is of this hour of a day")
    days = [times(FIVE - days * 24 * HOUR, FIVE - (days * 24 - 1) * HOUR, zone="UTC") for days in (1, 2)]
    assert judged(gate, full, window, other, *days).observed == 0
    found = judged(gate, full[:15], window, other, *days)
    assert (found.status, found.observed) == ("failed", 0.75)
    assert found.reason == "2024-03-05 5:00 has 15 rows, 60 are usual"


def test_labels_come_late_by_days_and_a_split_reaches_back_by_hours() -> None:
    hours = Partitions.model_validate({"every": "hour", "start": "2024-03-01T00"})
    rule = SplitRule(holdout=6, gap=1, label_delay=2)
    assert rule.back(hours) == 6 + 1 + 48
    last = FIVE
    assert rule.labelled(hours, hours.keys(last), last)[-1] == "2024-03-03T04"
