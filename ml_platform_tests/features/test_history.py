"""Histories against a plain reference, and the laws they must obey."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.defs.flights.features import FlightFeatures, flights
from ml_platform.features.contract import HistoricalMean
from ml_platform.features.history import History, daily, keys_of, of_hours, saved
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.partitions import Partitions

START = date(2020, 2, 25)


class Toy:
    """A feature function over columns ``day, a, b, y, z`` with every kind of history."""

    inputs = ("day", "a", "b")
    time = "day"
    key = ("day", "a", "b")
    columns = ()
    labels = ("y",)
    slices = ()
    histories = (
        HistoricalMean("all_days", of="y", by=("a",), prior=2.0),
        HistoricalMean("pair", of="z", by=("a", "b"), prior=0.5),
        HistoricalMean("window", of="y", by=("a",), prior=1.0, window_days=3),
        HistoricalMean("window_pair", of="z", by=("b", "a"), prior=1.0, window_days=1),
        HistoricalMean("decayed", of="y", by=("a",), prior=1.0, half_life_days=2.5),
        HistoricalMean("decayed_pair", of="z", by=("a", "b"), prior=3.0, half_life_days=0.7),
    )

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("a", "b")

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y", "z")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y")


toy = Toy()


def reference(raw: pl.DataFrame, lag: int) -> np.ndarray:
    """The definition in :class:`HistoricalMean`, row by row over the raw data."""
    rows = raw.to_dicts()
    result = []
    for row in rows:
        values = []
        for history in toy.histories:
            n = total = n_all = total_all = 0.0
            for past in rows:
                age = (row["day"] - past["day"]).days - lag
                if age < 0 or past[history.of] is None or (history.window_days and age >= history.window_days):
                    continue
                weight = 0.5 ** (age / history.half_life_days) if history.half_life_days else 1.0
                n_all, total_all = n_all + weight, total_all + weight * past[history.of]
                if all(row[c] == past[c] for c in history.by):
                    n, total = n + weight, total + weight * past[history.of]
            mean = total_all / n_all if n_all else float("nan")
            values.append((total + history.prior * mean) / (n + history.prior))
        result.append(values)
    return np.array(result)


def table(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(
        [(START + timedelta(days=day), *rest) for day, *rest in rows],
        schema={"day": pl.Date, "a": pl.String, "b": pl.Int64, "y": pl.Int64, "z": pl.Int32},
        orient="row",
    )


ROWS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["x", "y", None, "", "x\x1f1"]),
        st.one_of(st.none(), st.integers(0, 2)),
        st.one_of(st.none(), st.integers(0, 1)),
        st.one_of(st.none(), st.integers(-50, 1000)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4))
def test_history_equals_its_definition(rows: list[tuple], lag: int) -> None:
    raw = table(rows)
    got = History.from_tables(toy, [daily(toy, raw)], lag).matrix(toy.rows(raw), raw["day"])
    np.testing.assert_allclose(got, reference(raw, lag), rtol=1e-5, atol=1e-5, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_daily_sums_do_not_depend_on_the_order_of_rows(rows: list[tuple], random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert daily(toy, table(rows)).equals(daily(toy, table(shuffled)))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 12))
def test_splitting_the_past_into_partitions_changes_no_bit(rows: list[tuple], cut: int) -> None:
    raw = table(rows)
    border = START + timedelta(days=cut)
    parts = [part for part in (raw.filter(pl.col("day") < border), raw.filter(pl.col("day") >= border)) if part.height]
    whole = History.from_tables(toy, [daily(toy, raw)], 1)
    split = History.from_tables(toy, [daily(toy, part) for part in reversed(parts)], 1)
    keys = toy.rows(raw)
    assert whole.matrix(keys, raw["day"]).tobytes() == split.matrix(keys, raw["day"]).tobytes()


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 12), st.booleans())
def test_a_history_that_is_continued_has_the_bits_of_one_made_anew(
    rows: list[tuple], cut: int, late_first: bool
) -> None:
    raw = table(rows)
    border = START + timedelta(days=cut)
    tables = [daily(toy, raw.filter(pl.col("day") < border)), daily(toy, raw.filter(pl.col("day") >= border))]
    tables = tables[::-1] if late_first else tables
    first = History.from_tables(toy, tables[:1], 1)
    keys, before = toy.rows(raw), first.matrix(toy.rows(raw), raw["day"]).tobytes()
    continued = History.from_tables(toy, tables, 1, first)
    assert (
        continued.matrix(keys, raw["day"]).tobytes()
        == History.from_tables(toy, tables, 1).matrix(keys, raw["day"]).tobytes()
    )
    # The one that was continued is as it was, and tables that begin otherwise are read from the start.
    assert first.matrix(keys, raw["day"]).tobytes() == before
    other = [daily(toy, raw.filter(pl.col("day") != START))]
    assert (
        History.from_tables(toy, other, 1, continued).matrix(keys, raw["day"]).tobytes()
        == History.from_tables(toy, other, 1).matrix(keys, raw["day"]).tobytes()
    )


def test_the_same_keys_are_found_in_a_batch_and_one_by_one(january: pl.DataFrame) -> None:
    index = History.from_tables(flights, [daily(flights, january.head(5000))], 1)._indexes["carrier,flight"]
    keys = keys_of(flights, flights.rows(january.tail(2000)))["carrier,flight"]
    codes = index.codes_of(keys)
    assert (codes == len(index.codes)).any() and (codes < len(index.codes)).any()
    assert codes.tolist() == [index.codes_of(keys[row : row + 1])[0] for row in range(len(keys))]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 12), st.integers(1, 3))
def test_later_days_change_no_bit_of_earlier_features(rows: list[tuple], cut: int, lag: int) -> None:
    raw = table(rows)
    border = START + timedelta(days=cut)
    lied = raw.with_columns(
        pl.when(pl.col("day") >= border).then(pl.lit(7)).otherwise(c).alias(c) for c in ("y", "z")
    ).cast({"z": pl.Int32, "y": pl.Int64})
    seen = raw.filter(pl.col("day") < border + timedelta(days=lag))
    matrices = [
        History.from_tables(toy, [daily(toy, batch)], lag).matrix(toy.rows(seen), seen["day"]) for batch in (raw, lied)
    ]
    assert matrices[0].tobytes() == matrices[1].tobytes()


def test_one_row_gives_the_bits_of_the_batch(january: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january)], 1)
    keys = flights.rows(january)
    batch = history.matrix(keys, january["date"])
    for row in range(0, january.height, 271):
        single = history.matrix(keys[row], january["date"][row : row + 1])
        assert single.tobytes() == batch[row].tobytes()


def test_real_rates_equal_a_join_in_polars(january: pl.DataFrame) -> None:
    """The late rate of the carrier, computed the naive way for every flight of one day."""
    day = date(2013, 1, 20)
    past = january.filter(pl.col("date") <= day - timedelta(days=2), pl.col("arr_delay").is_not_null())
    mean = float(past.select((pl.col("arr_delay") > 15).mean()).item())
    rate = past.group_by("carrier").agg(rate=((pl.col("arr_delay") > 15).sum() + 200 * mean) / (pl.len() + 200))
    rows = january.filter(pl.col("date") == day)
    expected = rows.join(rate, on="carrier", how="left", maintain_order="left")["rate"].fill_null(mean)
    history = History.from_tables(flights, [daily(flights, january)], 2)
    got = history.features(flights.rows(rows), rows["date"])["late_rate_carrier"]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_first_day_has_no_past_and_a_new_key_has_the_mean_of_all() -> None:
    raw = table([(0, "x", 1, 1, 10), (0, "y", 1, 0, 30), (1, "new", 9, None, None)])
    history = History.from_tables(toy, [daily(toy, raw)], 1)
    features = history.features(toy.rows(raw), raw["day"])
    assert features[0].null_count().sum_horizontal().item() == len(toy.histories)
    assert features.row(2) == (0.5, 20.0, 0.5, 20.0, 0.5, 20.0)


def test_covers_says_whether_all_that_may_be_seen_is_known() -> None:
    raw = table([(0, "x", 1, 1, 1), (4, "x", 1, 1, 1)])
    history = History.from_tables(toy, [daily(toy, raw)], 2)
    assert history.until == START + timedelta(days=4)
    assert history.covers(START + timedelta(days=6))
    assert not history.covers(START + timedelta(days=7))
    assert not History.from_tables(toy, [], 2).covers(START)


def test_saved_history_gives_the_same_bits(fortnight: pl.DataFrame, tmp_path: Path) -> None:
    history = History.from_tables(flights, [daily(flights, fortnight)], 3)
    loaded = History.load(flights, history.save(tmp_path / "deep" / "history.parquet"))
    assert (loaded.lag_days, loaded.until) == (3, date(2013, 1, 14))
    keys = flights.rows(fortnight)
    assert loaded.matrix(keys, fortnight["date"]).tobytes() == history.matrix(keys, fortnight["date"]).tobytes()


def test_outcomes_that_are_not_whole_numbers_are_refused(fortnight: pl.DataFrame) -> None:
    class Real(FlightFeatures):
        def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().outcomes(raw).with_columns(pl.col("delay") / 60)

    with pytest.raises(PlatformError, match="'delay' is Float64"):
        daily(Real(), fortnight)


def test_keys_that_do_not_match_exactly_are_refused(fortnight: pl.DataFrame) -> None:
    class Real(FlightFeatures):
        histories = (HistoricalMean("by_heat", of="late", by=("temp",)),)

    with pytest.raises(PlatformError, match="'temp' is Float64"):
        daily(Real(), fortnight)


def test_a_day_in_two_tables_is_refused(fortnight: pl.DataFrame) -> None:
    sums = daily(flights, fortnight)
    with pytest.raises(PlatformError, match="2013-01-01 comes in two daily tables"):
        History.from_tables(flights, [sums, sums.head(0), sums], 1)


def test_a_lag_below_one_day_is_refused(fortnight: pl.DataFrame) -> None:
    with pytest.raises(PlatformError, match="history lag of 0 days"):
        History.from_tables(flights, [daily(flights, fortnight)], 0)


def test_tables_of_another_set_of_histories_are_refused(fortnight: pl.DataFrame) -> None:
    with pytest.raises(PlatformError, match="another version of the histories"):
        History.from_tables(toy, [daily(flights, fortnight)], 1)


def test_window_and_half_life_exclude_each_other() -> None:
    with pytest.raises(PlatformError, match="choose one"):
        HistoricalMean("both", of="y", by=("a",), window_days=3, half_life_days=3)
    with pytest.raises(PlatformError, match="prior is 0"):
        HistoricalMean("no_prior", of="y", by=("a",), prior=0)


def test_rows_need_a_day(january: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january)], 1)
    rows = flights.rows(january.head(3))
    with pytest.raises(PlatformError, match="1 rows have no 'date'"):
        history.matrix(rows, pl.Series("date", [date(2013, 1, 2), None, date(2013, 1, 3)]))
    with pytest.raises(PlatformError, match="make it a Date or a Datetime"):
        history.matrix(rows, january["hour"].head(3))
    noon = pl.Series("date", [datetime(2013, 1, day, 12) for day in (1, 2, 3)])
    assert history.matrix(rows, noon).tobytes() == history.matrix(rows, noon.cast(pl.Date)).tobytes()


def test_a_function_without_histories_has_none(fortnight: pl.DataFrame) -> None:
    class Timeless(FlightFeatures):
        histories = ()

    history = History.from_tables(Timeless(), [daily(Timeless(), fortnight)], 1)
    assert history.until == date(2013, 1, 14)
    assert history.matrix(fortnight, fortnight["date"]).shape == (fortnight.height, 0)


MONTHLY = Partitions(every="month", start=date(2020, 2, 10))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 4))
def test_a_history_that_is_refreshed_with_partitions_shows_no_outcome_of_the_own_one(
    rows: list[tuple], lag: int
) -> None:
    raw = table(rows)
    whole = History.from_tables(toy, [daily(toy, raw)], lag).as_refreshed(MONTHLY)
    keys = toy.rows(raw)
    got = whole.matrix(keys, raw["day"])
    for index, day in enumerate(raw["day"].to_list()):
        # As a service sees it whose last refresh was before the partition of the day.
        border = date(2020, 3, 1) if day >= date(2020, 3, 1) else date(2020, 2, 10)
        then = History.from_tables(toy, [daily(toy, raw.filter(pl.col("day") < border))], lag)
        then = then.as_refreshed(MONTHLY, border - timedelta(days=1))
        assert then.matrix(keys[index], raw["day"][index : index + 1]).tobytes() == got[index].tobytes()


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 9), st.integers(1, 3))
def test_what_is_too_old_is_as_on_the_last_day_that_it_is_not(rows: list[tuple], late: int, lag: int) -> None:
    raw = table(rows)
    history = History.from_tables(toy, [daily(toy, raw)], lag)
    assert history.until is not None
    fresh = history.until + timedelta(days=lag)
    assert (history.behind(fresh), history.behind(fresh + timedelta(days=late))) == (0, late)
    keys = toy.rows(raw)
    days = [pl.Series("day", [day] * raw.height) for day in (fresh, fresh + timedelta(days=late))]
    assert history.matrix(keys, days[0]).tobytes() == history.matrix(keys, days[1]).tobytes()


def test_a_refreshed_history_is_behind_when_a_partition_has_closed() -> None:
    raw = table([(0, "x", 1, 1, 1), (4, "x", 1, 1, 1)])  # until 29 February
    history = History.from_tables(toy, [daily(toy, raw)], 2).as_refreshed(MONTHLY)
    assert [history.behind(day) for day in (date(2020, 3, 31), date(2020, 4, 1), date(2020, 4, 5))] == [0, 30, 31]
    assert History.from_tables(toy, [], 2).behind(START) is None


def test_a_saved_history_says_when_it_is_refreshed(fortnight: pl.DataFrame, tmp_path: Path) -> None:
    history = History.from_tables(flights, [daily(flights, fortnight)], 3).as_refreshed(MONTHLY)
    file = history.save(tmp_path / "history.parquet", "1.abc")
    assert History.load(flights, file).refreshed == MONTHLY
    assert saved(file)["until"] == "2013-01-14" and saved(file)["code"] == "1.abc"


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from("pq"), st.integers(0, 2), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=40,
    ),
    hour=st.integers(0, 23),
)
def test_hours_of_a_day_are_one_day_that_counts_once_it_is_over(rows: list[tuple], hour: int) -> None:
    raw = table(rows)
    newest = raw["day"].max()
    assert isinstance(newest, date)
    parts = [raw[place::3] for place in range(3)]
    hours = History.from_tables(toy, of_hours(daily(toy, part) for part in parts), 1).opened()
    days = History.from_tables(toy, [daily(toy, raw.filter(pl.col("day") < newest))], 1)
    assert hours.until == newest - timedelta(days=1)
    asked = raw.with_columns(day=pl.lit(newest + timedelta(days=1)))
    known = days.as_refreshed(None, hours.until)
    if days.until is not None:
        assert hours.matrix(asked, asked["day"]).tobytes() == known.matrix(asked, asked["day"]).tobytes()
    else:
        assert np.isnan(hours.matrix(asked, asked["day"])).all()
    assert hours.behind(newest + timedelta(days=1)) == 1 and hours.behind(newest) == 0


def test_a_history_of_hours_is_read_as_it_was_saved(tmp_path: Path) -> None:
    raw = table([(0, "p", 1, 3, 4), (1, "q", 1, 5, 6)])
    made = History.from_tables(toy, of_hours([daily(toy, raw[:1]), daily(toy, raw[1:])]), 1).opened()
    read = History.load(toy, made.save(tmp_path / "history.parquet"))
    assert (read.open, read.until) == (True, made.until)
    days = raw["day"] + timedelta(days=1)
    assert read.matrix(raw, days).tobytes() == made.matrix(raw, days).tobytes()
