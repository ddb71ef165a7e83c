"""Experiments with corrupted outcomes: silent on honest features, loud on each kind of leak."""

from datetime import date
from math import isnan

import polars as pl
import pytest

from ml_platform.defs.flights.features import FlightFeatures, flights
from ml_platform.features import leakage
from ml_platform.features.build import build
from ml_platform.features.contract import FeatureFunction
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError

OUTCOMES = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]


class OwnDelay(FlightFeatures):
    """Reads the departure delay of the very flight."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return super().rows(raw).with_columns(weekday=raw["dep_delay"])


class Cancelled(FlightFeatures):
    """Reads only whether the flight departed."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return super().rows(raw).with_columns(weekday=raw["dep_time"].is_null())


class WholeBatch(FlightFeatures):
    """Averages over the batch, later days included."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        late = raw.select((pl.col("arr_delay") > 15).mean().over("carrier")).to_series()
        return super().rows(raw).with_columns(weekday=late)


class OwnDelayFromDay20(FlightFeatures):
    """Reads the arrival delay of the very flight, in the last days of the month alone."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return super().rows(raw).with_columns(weekday=pl.when(pl.col("day") >= 20).then("arr_delay").otherwise(0))


@pytest.fixture(scope="module")
def before(january: pl.DataFrame) -> History:
    return History.from_tables(flights, [daily(flights, january)], 1)


def test_honest_features_do_not_travel_in_time(february: pl.DataFrame, before: History) -> None:
    evidence = leakage.time_travel(flights, february, before, OUTCOMES)
    assert not evidence.leaks, evidence.sample
    assert evidence.cut == date(2013, 2, 15)
    assert evidence.corrupted == february.filter(pl.col("day") >= 15).height
    assert evidence.compared == february.filter(pl.col("day") <= 15).height


@pytest.mark.parametrize("function", [OwnDelay(), Cancelled(), WholeBatch()], ids=lambda f: type(f).__name__)
def test_a_leak_is_named(function: FeatureFunction, february: pl.DataFrame, before: History) -> None:
    evidence = leakage.time_travel(function, february, before, OUTCOMES)
    assert set(evidence.changed) == {"weekday"}
    assert {"date", "carrier", "before", "after"} <= set(evidence.sample["weekday"][0])


def leaks(
    function: FeatureFunction, raw: pl.DataFrame, before: History, **changes: History
) -> list[leakage.LeakEvidence]:
    history = History.from_tables(function, [*before.tables, daily(function, raw)], 1)
    built = build(function, raw, changes.get("built_with", history))
    return leakage.leaks(function, raw, before, history, OUTCOMES, built)


def test_honest_features_have_no_leak_at_any_time(february: pl.DataFrame, before: History) -> None:
    found = leaks(flights, february, before)
    assert not any(one.leaks for one in found), found
    assert [one.cut for one in found] == [date(2013, 2, 28), None, date(2013, 2, 10), date(2013, 2, 19)]
    last, own, *_ = found
    assert last.compared == own.compared == own.corrupted == february.height


@pytest.mark.parametrize(
    "function", [OwnDelay(), Cancelled(), WholeBatch(), OwnDelayFromDay20()], ids=lambda f: type(f).__name__
)
def test_a_leak_at_any_time_is_named(function: FeatureFunction, february: pl.DataFrame, before: History) -> None:
    _, own, *_ = leaks(function, february, before)
    assert set(own.changed) == {"weekday"}


def test_a_leak_of_the_last_days_is_seen_by_no_cut_in_the_middle(february: pl.DataFrame, before: History) -> None:
    function = OwnDelayFromDay20()
    assert not leakage.time_travel(function, february, before, OUTCOMES).leaks
    _, own, *_ = leaks(function, february, before)
    assert own.changed == {"weekday": february.filter(pl.col("day") >= 20).height}


def test_stored_features_of_a_younger_history_are_caught(february: pl.DataFrame, before: History) -> None:
    tables = [
        table.with_columns(pl.col("day") - pl.duration(days=1)) for table in [*before.tables, daily(flights, february)]
    ]
    last, *_ = leaks(flights, february, before, built_with=History.from_tables(flights, tables, 1))
    assert set(last.changed) == {history.name for history in flights.histories}


def test_one_day_alone_is_checked_too(february: pl.DataFrame, before: History) -> None:
    day = february.filter(pl.col("day") == 1)
    assert not any(one.leaks for one in leaks(flights, day, before))
    assert any(one.leaks for one in leaks(OwnDelay(), day, before))


def test_a_history_without_its_lag_is_caught(
    february: pl.DataFrame, before: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = History.matrix

    def no_lag(self: History, rows: pl.DataFrame, days: pl.Series):
        return honest(self, rows, days.dt.offset_by(f"{self.lag_days}d"))

    monkeypatch.setattr(History, "matrix", no_lag)
    evidence = leakage.time_travel(flights, february, before, OUTCOMES)
    assert set(evidence.changed) == {history.name for history in flights.histories}
    last, own, *cuts = leaks(flights, february, before)
    assert not own.leaks
    for one in (last, *cuts):
        assert set(one.changed) == set(evidence.changed), one.cut


def test_corruption_changes_every_value_of_every_type() -> None:
    raw = pl.DataFrame(
        {
            "whole": [1, None, 3], "real": [0.5, None, float("nan")], "text": ["a", None, "c"],
            "flag": [True, None, False], "day": [date(2013, 1, 1), None, date(2013, 1, 3)], "kept": [1, 2, 3],
        }
    )  # fmt: skip
    raw = raw.with_columns(small=pl.Series([100, None, -5], dtype=pl.Int8))
    columns = ["small", "whole", "real", "text", "flag", "day"]
    for seed in range(20):
        lied = leakage.corrupt(raw, columns, pl.Series([True, True, True]), seed)
        assert lied.schema == raw.schema
        assert lied["kept"].equals(raw["kept"])
        for name in columns:
            pairs = list(zip(raw[name], lied[name], strict=True))
            assert not [old for old, new in pairs if old is new or old == new], (seed, name, pairs)
            assert not any(isinstance(new, float) and isnan(new) for _, new in pairs)
        untouched = leakage.corrupt(raw, columns, pl.Series([False, False, False]), seed)
        assert untouched.equals(raw)


def test_a_leak_check_without_subject_is_an_error(february: pl.DataFrame, before: History) -> None:
    with pytest.raises(PlatformError, match="marks no column as outcome"):
        leakage.time_travel(flights, february, before, [])
    with pytest.raises(PlatformError, match="days before and after"):
        leakage.time_travel(flights, february, before, OUTCOMES, cut=date(2014, 1, 1))


class DayOfDelay(FlightFeatures):
    """Looks for the airline's past under another key where the flight was late."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        late = pl.when(pl.col("arr_delay") > 15).then(pl.lit("late")).otherwise("carrier")
        return super().rows(raw).with_columns(carrier=late)


def test_an_outcome_in_the_key_of_a_history_is_a_leak(february: pl.DataFrame, january: pl.DataFrame) -> None:
    function = DayOfDelay()
    _, own, *_ = leaks(function, february, History.from_tables(function, [daily(function, january)], 1))
    assert {"late_rate_carrier", "delay_carrier_route"} <= set(own.changed)
    assert "late_rate_tail" not in own.changed
