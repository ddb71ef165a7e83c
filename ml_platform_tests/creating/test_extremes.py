"""A few values far from all others: named with their rows, and never taken for a target that is noise."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.cli.new import _lines
from ml_platform.creating.columns import look
from ml_platform.creating.extremes import Extreme, carrying, far_away
from ml_platform.creating.roles import Roles
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import hourly, noise

ROWS = 1_500


def houses(**wrong: tuple[int, float]) -> pl.DataFrame:
    """Prices by size and rooms; of the columns named, the value at a place is so many times what it was."""
    random = np.random.default_rng(1)
    size, rooms = random.normal(100, 20, ROWS).round(1), random.integers(1, 6, ROWS)
    days = np.sort(random.integers(0, 240, ROWS))
    frame = pl.DataFrame(
        {
            "id": range(ROWS),
            "day": [date(2024, 1, 1) + timedelta(days=int(one)) for one in days],
            "size": size,
            "rooms": rooms,
            "price": (1_000 * size + 20_000 * rooms + random.normal(0, 15_000, ROWS)).round(),
        }
    )
    for name, (at, times) in wrong.items():
        there = pl.int_range(ROWS) == at
        frame = frame.with_columns(pl.when(there).then(pl.col(name) * times).otherwise(pl.col(name)))
    return frame


def roles(values: pl.Series) -> Roles:
    frame = pl.DataFrame({"id": range(values.len()), "x": values})
    rest: dict[str, Any] = dict.fromkeys(("positive", "classes", "time", "timestamp", "row_id", "group", "later"), ())
    return Roles(frame, look(frame), target="x", label="x", task="regression", key=("id",), **rest)


@pytest.mark.parametrize("at", [700, 1_499])
@pytest.mark.parametrize("timed", [True, False], ids=["with time", "without"])
def test_one_price_in_another_unit_is_named_and_the_target_is_not_called_noise(
    mine: Mine, at: int, timed: bool
) -> None:
    table = houses(price=(at, 1_000.0))
    before = mine.files()
    made = mine.new(mine.table(table if timed else table.drop("day"), "houses.csv"), "price")
    assert mine.files() == before
    told = _lines(made)[-1]
    price = f"{table['price'][at]:,.0f}"
    assert f"'price': {price} (id {at}), where the other rows have" in told
    assert "1 row decides every metric" in told and "says nothing of 'price'" not in told
    assert "Correct what is a mistake, or take those rows out" in told


def test_one_size_in_another_unit_is_told_beside_the_model(mine: Mine) -> None:
    made = mine.new(mine.table(houses(size=(700, 1_000.0)), "houses.csv"), "price")
    assert not made.noise
    (note,) = [one for one in made.notes if "'size'" in one]
    assert "(id 700), where the other rows have" in note and "correct what is a mistake" in note


def test_a_table_without_extremes_says_nothing_of_them(mine: Mine) -> None:
    made = mine.new(mine.table(houses(), "houses.csv"), "price")
    assert not made.noise and not [one for one in made.notes if "other rows" in one or "others" in one]


def test_noise_is_still_noise(mine: Mine) -> None:
    random = np.random.default_rng(4)
    made = mine.new(mine.table(noise().with_columns(won=random.normal(size=2_000)), "noise.csv"), "won")
    assert made.noise and made.extreme is None
    assert "says nothing of 'won'" in _lines(made)[-1]


def test_many_rows_with_one_value_far_away_have_a_code_for_a_missing_one(mine: Mine) -> None:
    codes = hourly().with_columns(temperature=pl.col("temperature").fill_null(-9_999.0))
    made = mine.new(mine.table(codes, "sold.csv"), "sold", time="none")
    (note,) = [one for one in made.notes if "'temperature'" in one]
    assert "is -9,999 in" in note and "leave it empty in the table" in note


@given(st.integers(0, 199), st.sampled_from([-1_000.0, 1_000.0, 1e6]), st.integers(0, 5))
def test_what_is_far_is_found_wherever_it_stands(at: int, times: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(10, 1, 200)
    values[at] *= times
    found = far_away(roles(pl.Series(values)), "x")
    assert found and (found.named, found.values) == ((f"id {at}",), (values[at],))
    carried = carrying(roles(pl.Series(values)), "x")
    assert carried and carried.named == (f"id {at}",) and carried.carried > 0.99


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).lognormal(0, 1.5, 5_000),
        np.random.default_rng(1).normal(size=5_000),
        np.where(np.arange(5_000) % 400 == 0, np.arange(5_000) * 100.0, 0.0),
        np.arange(50.0),
        np.array([np.nan, np.inf, *range(60)]),
        np.zeros(60),
        np.repeat([0.0, 1.0], 40),
    ],
    ids=["long tail", "normal", "mostly none", "few rows", "not finite", "constant", "two values"],
)
def test_what_is_only_wide_is_not_far(values: np.ndarray) -> None:
    found: Extreme | None = far_away(roles(pl.Series(values)), "x")
    assert found is None
