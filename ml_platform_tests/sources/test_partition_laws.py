"""The laws of partitions: they cover time without gap or overlap, and key, bounds and moments agree."""

import json
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_platform.foundation.errors import DeclarationError
from ml_platform.orchestration.common import partitions_of
from ml_platform.sources.partitions import Partitions
from ml_platform_tests.sources.example import spec

SIZES = ("hour", "day", "week", "month", "year")
#: Partitions of each size that are looked at, in days.
SPAN = {"hour": 3, "day": 40, "week": 200, "month": 1_500, "year": 4_000}


@st.composite
def declared(draw: st.DrawFn) -> Partitions:
    """Partitions of any size from any start."""
    every: Any = draw(st.sampled_from(SIZES))
    start: Any = draw(st.dates(date(1990, 1, 1), date(2040, 1, 1)))
    if every == "year":
        start = start.replace(month=1, day=1)
    if every == "hour":
        start = datetime.combine(start, time(draw(st.integers(0, 23))), UTC)
    return Partitions(every=every, start=start)


def instant(moment: date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)


@settings(max_examples=150, deadline=None)
@given(partitions=declared(), rest=st.floats(0, 1))
def test_they_cover_time_without_gap_or_overlap(partitions: Partitions, rest: float) -> None:
    until = instant(partitions.start) + timedelta(days=SPAN[partitions.every])
    keys = partitions.keys(until)
    assert keys == sorted(set(keys)), "in the order of time, as texts too"
    windows = [partitions.window(key) for key in keys]
    assert windows[0][0] == partitions.start
    assert all(after == first for (_, after), (first, _) in pairwise(windows))
    assert all(first < after for first, after in windows)
    end = windows[-1][1]
    assert instant(end) <= until < instant(partitions.next(end)), "the last one has ended, the next has not"
    # Key -> bounds -> key, for the bounds and for whatever lies between them.
    for key, (first, after) in zip(keys, windows, strict=True):
        assert partitions.key(first) == key and partitions.next(first) == after
        inside = partitions.bound(instant(first) + rest * (instant(after) - instant(first) - timedelta(microseconds=1)))
        assert partitions.beginning(inside) == first
        assert partitions.holding(inside, until) == partitions.holding(inside, instant(after)) == key
        assert partitions.holding(inside, instant(after) - timedelta(microseconds=1)) == "", "it has not ended"
    before = until - timedelta(microseconds=1)
    assert partitions.under_way(before) in (None, *keys, partitions.key(end))
    assert partitions.to_come(before) == {*partitions.keys(before, complete=False)} - {*partitions.keys(before)}
    closed = partitions.model_copy(update={"end": end})
    assert closed.to_come(instant(closed.start)) == {*keys} and closed.to_come(until) == set()


@settings(max_examples=100, deadline=None)
@given(partitions=declared())
def test_they_are_read_as_they_were_written(partitions: Partitions) -> None:
    assert Partitions.model_validate_json(partitions.model_dump_json()) == partitions
    assert Partitions.model_validate(partitions.model_dump(mode="json")) == partitions
    key = partitions.key(partitions.start)
    assert Partitions.model_validate({"every": partitions.every, "start": key}) == partitions


def test_what_is_stored_of_days_is_as_it_was() -> None:
    days = Partitions(every="month", start=date(2013, 1, 1), end=date(2014, 1, 1))
    assert days.model_dump_json() == '{"every":"month","start":"2013-01-01","end":"2014-01-01"}'
    assert days.window("2013-02-01") == (date(2013, 2, 1), date(2013, 3, 1))
    assert json.loads(Partitions(every="day", start=date(2013, 1, 1)).model_dump_json())["end"] is None


@settings(max_examples=60, deadline=None)
@given(partitions=declared())
def test_dagster_has_the_same_partitions(partitions: Partitions) -> None:
    if partitions.every == "month" and partitions.start.day != 1:
        with pytest.raises(ValidationError, match="months begin on the 1st"):
            spec({"kind": "folder", "path": "x", "by": "time"}, partitions=partitions.model_dump(mode="json"))
        return
    until = instant(partitions.start) + timedelta(days=SPAN[partitions.every])
    dataset = spec({"kind": "folder", "path": "x", "by": "time"}, partitions=partitions.model_dump(mode="json"))
    made = partitions_of(dataset)
    assert isinstance(made, dg.TimeWindowPartitionsDefinition)
    assert made.get_partition_keys(current_time=until) == partitions.keys(until)


@pytest.mark.parametrize("key", ["2024-01-31", "2024-01-31T24", "2024-01-31T5", "2024-01-31 05", ""])
def test_another_form_of_an_hour_is_no_key(key: str) -> None:
    hours = Partitions.model_validate({"every": "hour", "start": "2024-01-31T03"})
    with pytest.raises(DeclarationError, match="2024-01-31T03"):
        hours.window(key)
    assert hours.shown == "every hour from 2024-01-31T03"
    with pytest.raises(DeclarationError, match="does not exist; partitions start on 2024-01-31T03, every hour"):
        hours.window("2024-01-31T02")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"every": "hour", "start": "2024-01-31T05:30"}, "start: '2024-01-31T05:30' is no whole hour; write it in UTC"),
        ({"every": "hour", "start": "soon"}, "start: 'soon' is no hour; write it in UTC: \"2024-01-31T05\""),
        ({"every": "day", "start": "2024-01-31T05"}, "start"),
        ({"every": "hour"}, "every hour needs a start"),
    ],
)
def test_a_start_that_is_none_is_told(declared: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Partitions.model_validate(declared)
    assert reason in str(error.value)
    assert Partitions.model_validate({"every": "hour", "start": "2024-01-31T05+02:00"}).start.isoformat()[:13] == (
        "2024-01-31T03"
    )


def test_hours_are_counted_by_the_hour() -> None:
    rule = {"kind": "folder", "path": "x", "by": "time"}
    hours = {"every": "hour", "start": "2024-01-31T05"}
    with pytest.raises(ValidationError, match="counts days, and partitions are hours; take every: hour"):
        spec(rule, partitions=hours, gates=[{"gate": "coverage", "every": "day", "max": 0.5}])
    with pytest.raises(DeclarationError, match="date_format needs the hour, %H"):
        spec({**rule, "by": "name", "date_format": "%Y%m%d"}, partitions=hours).load_source()
