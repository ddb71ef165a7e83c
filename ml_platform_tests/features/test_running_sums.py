"""Running sums grow table by table, and are the same bits as when they are made at once, or by hand."""

from datetime import date, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.features.running_sums import DAY_BITS, RunningSums

HALF_LIFE = 3.0
FIRST = date(2024, 1, 1)

#: Rows of key and day, each pair once, and which of the tables each comes with.
ROWS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(0, 12)),
    st.tuples(st.integers(0, 3), st.integers(-50, 50), st.integers(0, 2)),
    min_size=1,
    max_size=30,
)


def table(rows: list[tuple[str, int, int, int]]) -> pl.DataFrame:
    days = [FIRST + timedelta(days=day) for _, day, _, _ in rows]
    return pl.DataFrame(
        {
            "group": ["key"] * len(rows),
            "key": [key for key, _, _, _ in rows],
            "day": days,
            "n_late": [n for _, _, n, _ in rows],
            "sum_late": [total for _, _, _, total in rows],
        },
        schema={"group": pl.String, "key": pl.String, "day": pl.Date, "n_late": pl.Int64, "sum_late": pl.Int64},
    )


@given(ROWS)
def test_sums_that_grew_in_any_order_are_those_that_were_made_at_once(
    rows: dict[tuple[str, int], tuple[int, int, int]],
) -> None:
    parts = [[(key, day, n, total) for (key, day), (n, total, part) in rows.items() if part == one] for one in range(3)]
    grown = RunningSums.empty([HALF_LIFE], 2)
    for part in parts:
        grown = grown.extended(table(part))
    once = RunningSums.empty([HALF_LIFE], 2).extended(table([row for part in parts for row in part]))
    assert grown.codes == once.codes
    assert grown.places.tolist() == once.places.tolist()
    assert grown.totals.tolist() == once.totals.tolist()
    assert grown.decayed[HALF_LIFE].tobytes() == once.decayed[HALF_LIFE].tobytes()


@given(ROWS)
def test_decayed_sums_are_those_that_are_added_day_by_day(rows: dict[tuple[str, int], tuple[int, int, int]]) -> None:
    made = RunningSums.empty([HALF_LIFE], 2).extended(table([(*key, n, total) for key, (n, total, _) in rows.items()]))
    names = {code: key for key, code in made.codes.items()}
    first = FIRST.toordinal()
    for place, found in zip(made.places.tolist(), made.decayed[HALF_LIFE][1:], strict=True):
        key, day = names[place >> DAY_BITS], (place & ((1 << DAY_BITS) - 1)) - first
        earlier = {one: values for (name, one), values in rows.items() if name == key and one <= day}
        wanted = [
            sum(values[part] * 0.5 ** ((day - one) / HALF_LIFE) for one, values in earlier.items()) for part in (0, 1)
        ]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@given(ROWS, st.sampled_from([date(1, 1, 20), date(1931, 5, 1), date(1969, 12, 27), date(9998, 1, 1)]))
def test_sums_are_those_of_days_however_long_ago(
    rows: dict[tuple[str, int], tuple[int, int, int]], first: date
) -> None:
    given = table([(*key, n, total) for key, (n, total, _) in rows.items()])
    moved = given.with_columns(pl.col("day") + pl.duration(days=(first - FIRST).days))
    now, then = (RunningSums.empty([HALF_LIFE], 2).extended(one) for one in (given, moved))
    for key, last in ((key, last) for key in "abcd" for last in (-20, -1, 0, 3, 12, 30)):
        for window, half_life in ((None, None), (4, None), (None, HALF_LIFE)):
            asked = [(made, (start - date(1970, 1, 1)).days + last) for made, start in ((now, FIRST), (then, first))]
            assert len({tuple(made.sums_of_row(key, day, window, half_life)) for made, day in asked}) == 1
            sums = [
                made.sums(made.codes_of(pl.Series([key])), np.array([day]), window, half_life).ravel().tolist()
                for made, day in asked
            ]
            assert sums[0] == sums[1] == list(now.sums_of_row(key, asked[0][1], window, half_life))
