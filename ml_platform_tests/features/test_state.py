"""Histories that go on from a state: the same bits as from every day, whatever its size was."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_platform.features.contract import HistoricalMean
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.partitions import Partitions

START = date(2020, 2, 25)
#: Days of a partition.
EVERY = 7
WEEKS = Partitions(every="week", start=date(2020, 2, 24))


class Kinds:
    """Every kind of history over columns ``day, a, b, y``."""

    inputs = ("day", "a", "b")
    time = "day"
    key = ("day", "a", "b")
    columns = ()
    labels = ("y",)
    slices = ()
    histories = (
        HistoricalMean("all_days", of="y", by=("a",), prior=2.0),
        HistoricalMean("window", of="y", by=("a",), prior=1.0, window_days=9),
        HistoricalMean("window_pair", of="y", by=("b", "a"), prior=1.0, window_days=1),
        HistoricalMean("decayed", of="y", by=("a",), prior=1.0, half_life_days=2.5),
        HistoricalMean("decayed_pair", of="y", by=("a", "b"), prior=3.0, half_life_days=0.7),
    )

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("a", "b")

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y")


kinds = Kinds()
OUTCOMES = st.none() | st.integers(-9, 9)
ROWS = st.lists(
    st.tuples(st.integers(0, 4 * EVERY - 1), st.sampled_from([*"xyz", None]), st.integers(0, 2), OUTCOMES),
    max_size=40,
)


def frame(rows: list[tuple[int, str | None, int, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(WEEKS.start + timedelta(days=day), *rest) for day, *rest in rows],
        schema={"day": pl.Date, "a": pl.String, "b": pl.Int64, "y": pl.Int64},
        orient="row",
    )


def begins(number: int) -> date:
    return WEEKS.start + timedelta(days=EVERY * number)


def parts(raw: pl.DataFrame) -> list[pl.DataFrame]:
    return [raw.filter(pl.col("day").is_between(begins(n), begins(n + 1), closed="left")) for n in range(4)]


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(1, 12), st.booleans())
@example([(0, "x", 0, 3), (27, "x", 0, 1)], 1, False)
@example([], 1, True)
def test_a_row_sees_the_same_bits_from_a_state_as_from_every_day(rows: list, lag: int, by_week: bool) -> None:
    raw, refreshed = frame(rows), WEEKS if by_week else None
    weeks = parts(raw)
    tables = [daily(kinds, week) for week in weeks]
    state = History.from_tables(kinds, (), lag).carried(begins(0))
    for number, week in enumerate(weeks):
        through = begins(number + 1) - timedelta(days=1)
        whole = History.from_tables(kinds, tables[: number + 1], lag).as_refreshed(refreshed, through)
        held = History.resumed(kinds, state, lag, begins(number))
        own = History.from_tables(kinds, [tables[number]], lag, held).as_refreshed(refreshed, through)
        assert own.until == whole.until
        assert own.matrix(week, week["day"]).tobytes() == whole.matrix(week, week["day"]).tobytes()
        for row in week.head(3).to_dicts():
            one, other = own.row(row, row["day"]), whole.row(row, row["day"])
            assert one is not None and other is not None and one.tobytes() == other.tobytes()
            assert own.blind(row["day"]) == whole.blind(row["day"])
        # That of the whole says the same, so that either may be made of the other.
        state = own.carried(begins(number + 1))
        assert state.equals(whole.carried(begins(number + 1)))


@pytest.mark.parametrize("days", [30, 300])
def test_its_size_does_not_grow_with_the_days(days: int) -> None:
    raw = frame([(day, key, 0, 1) for day in range(days) for key in "xyz"])
    state = History.from_tables(kinds, [daily(kinds, raw)], 1).carried(WEEKS.start + timedelta(days=days))
    # One row for all that is older, and what lag and the longest window reach back to; first and last day.
    assert state.group_by("group", "key").len()["len"].max() == 1 + 1 + 9
    assert state.height == 2 + (1 + 3 + 3 + 3) * 11


def test_what_it_does_not_know_is_refused(tmp_path: Path) -> None:
    weeks = parts(frame([(day, "x", 0, 1) for day in range(4 * EVERY)]))
    state = History.from_tables(kinds, [daily(kinds, week) for week in weeks[:2]], 1).carried(begins(2))
    held = History.resumed(kinds, state, 1, begins(2))
    with pytest.raises(PlatformError, match="day 2020-03-02 comes before 2020-03-09"):
        History.from_tables(kinds, [daily(kinds, weeks[1])], 1, held)
    with pytest.raises(PlatformError, match="save a whole one"):
        held.save(tmp_path / "history.parquet")
