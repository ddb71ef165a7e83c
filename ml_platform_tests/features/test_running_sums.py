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
    first = (FIRST - date(1970, 1, 1)).days
    for place, found in zip(made.places.tolist(), made.decayed[HALF_LIFE][1:], strict=True):
        key, day = names[place >> DAY_BITS], (place & ((1 << DAY_BITS) - 1)) - first
        earlier = {one: values for (name, one), values in rows.items() if name == key and one <= day}
        wanted = [
            sum(values[part] * 0.5 ** ((day - one) / HALF_LIFE) for one, values in earlier.items()) for part in (0, 1)
        ]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
