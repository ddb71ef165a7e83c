"""One row without a frame has the features of the frame, to the last bit, or is left to it."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_platform.features.build import bits, featurize
from ml_platform.features.contract import HistoricalMean
from ml_platform.features.history import History, daily
from ml_platform.features.single import Undecided, computed, single

TYPES = {"day": "Date", "n": "Int64", "m": "Int64", "x": "Float64", "y": "Float64", "s": "String", "b": "Boolean"}
SCHEMA: dict[str, Any] = {name: getattr(pl, dtype) for name, dtype in TYPES.items()}
VALUES = st.fixed_dictionaries(
    {
        "day": st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
        **dict.fromkeys(("n", "m"), st.none() | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)),
        **dict.fromkeys(
            ("x", "y"),
            st.none() | st.floats(-1e38, 1e38) | st.integers(-4, 4).map(float) | st.sampled_from([0.1, -0.0]),
        ),
        "s": st.none() | st.sampled_from(["", "a", "b", "é"]),
        "b": st.none() | st.booleans(),
    }
)
LEAVES = st.sampled_from([*map(pl.col, TYPES)]) | st.builds(
    pl.lit, st.integers(-200, 2_000) | st.sampled_from([0.5, -2.0, 1e300, 2**40, "a", True])
)
DATES = [lambda e: e.dt.weekday(), lambda e: e.dt.year(), lambda e: e.dt.month(), lambda e: e.dt.day()]
PAIRS = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a // b, lambda a, b: a % b,
    lambda a, b: a / b, lambda a, b: a == b, lambda a, b: a != b, lambda a, b: a < b, lambda a, b: a <= b,
    lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a & b,
]  # fmt: skip
EXPRESSIONS = st.recursive(
    LEAVES | st.sampled_from(DATES).map(lambda part: part(pl.col("day"))),
    lambda inner: (
        st.builds(lambda f, a, b: f(a, b), st.sampled_from(PAIRS), inner, inner)
        | st.builds(lambda p, a, b: pl.when(p).then(a).otherwise(b), inner, inner, inner)
        | inner.map(lambda e: e.alias("other"))
        | inner.map(lambda e: e.abs())
    ),
    max_leaves=6,
)


@settings(max_examples=1_500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSIONS, st.lists(VALUES, min_size=1, max_size=4))
def test_what_is_computed_is_what_polars_computes(expression: pl.Expr, rows: list[dict]) -> None:
    try:
        found = computed(expression, TYPES)
    except Undecided:
        return
    for row in rows:
        try:
            value = found.value(row)
        except Undecided:
            continue
        # Polars refuses nothing that is computed here.
        (expected,) = pl.DataFrame([row], schema=SCHEMA).select(expression.alias("result"))["result"].to_list()
        assert type(value) is type(expected) and value == expected, (value, expected)
        assert not isinstance(value, float) or np.float64(value).tobytes() == np.float64(expected).tobytes()


@pytest.mark.parametrize(
    ("expression", "row", "expected"),
    [
        (pl.col("n") // 100 * 60 + pl.col("n") % 100, {"n": 1435}, 875),
        ((pl.col("n") - pl.col("m")) % 1440, {"n": 10, "m": 20}, 1430),
        (pl.col("day").dt.year() - pl.col("n"), {"day": date(2013, 1, 1), "n": 1999}, 14),
        (pl.col("n") / pl.col("m"), {"n": 1, "m": 3}, 1 / 3),
        (pl.when(pl.col("n") < 1100).then(pl.lit("a")).otherwise(pl.lit("b")), {"n": None}, "b"),
        (pl.col("s") == "a", {"s": None}, None),
    ],
)
def test_usual_expressions_are_computed(expression: pl.Expr, row: dict, expected: Any) -> None:
    assert computed(expression, TYPES).value(row) == expected


_KEPT = (
    (pl.col("n") % 7).alias("week"),
    (pl.col("x") * 2 + pl.col("y")).alias("sum"),
    (pl.col("s") == "a").alias("is_a"),
    pl.when(pl.col("n") < 3).then(pl.lit("few")).otherwise(pl.lit("many")).alias("size"),
)


class Shop:
    """A function of the usual kind."""

    inputs = tuple(TYPES)
    time, key, labels, slices = "day", ("day", "s"), (), ("size",)
    columns = ("n", "week", "sum", "is_a", "length", "x")
    histories = (
        HistoricalMean("rate", of="late", by=("s",), prior=5.0),
        HistoricalMean("recent", of="late", by=("size", "s"), half_life_days=3.0),
    )

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        lengths = [None if text is None else len(text) for text in raw["s"].to_list()]
        return raw.with_columns(*_KEPT, pl.Series("length", lengths, dtype=pl.Int64))

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(late=(pl.col("n") % 2).cast(pl.Int8))

    targets = outcomes


class Anew(Shop):
    """Makes its expressions for each row."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return super().rows(raw).with_columns((pl.col("n") + 1).alias("week"))


class Replacing(Shop):
    """Gives a column of the request another type."""

    _replaced = (pl.Series("n", [200], dtype=pl.UInt8),)
    _added = ((pl.col("n") + 100).alias("week"),)

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        if raw.height == 1:
            return super().rows(raw).with_columns(*self._replaced).with_columns(*self._added)
        return super().rows(raw)


class Joining(Shop):
    """Uses what one row does not have."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([super().rows(raw), raw.select(z="n")], how="horizontal")


class Lying(Shop):
    """Says of one row something else than of more."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        rows = super().rows(raw)
        return rows if hasattr(raw, "lazy") else rows.with_columns(*_LIE)


_LIE = (pl.lit(0.5).alias("sum"),)


def some(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(count)
    return [
        {
            "day": date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 40))),
            "n": int(rng.integers(0, 9)), "m": None if rng.random() < 0.2 else int(rng.integers(-5, 5)),
            "x": None if rng.random() < 0.2 else float(rng.normal()), "y": float(rng.normal()),
            "s": str(rng.choice(["a", "b", "c"])), "b": bool(rng.random() < 0.5),
        }
        for _ in range(count)
    ]  # fmt: skip


def history_of(function: Any) -> History:
    table = daily(function, pl.DataFrame(some(400), schema=SCHEMA))
    return History.from_tables(function, [table], 1)


def test_a_row_has_the_features_of_the_batch_bit_for_bit() -> None:
    function, rows = Shop(), some(300)
    history = history_of(function)
    frame = pl.DataFrame(rows, schema=SCHEMA)
    made = single(function, TYPES, history, rows[:20], frame[:20])
    assert made is not None
    expected = featurize(function, frame, history)
    for row, one in zip(rows, expected, strict=True):
        found = made.matrix(row, history)
        assert found is not None and np.array_equal(bits(found[0]), bits(one))
    # What polars would convert, or the function cannot do, is left to them.
    for changed in ({"n": 1.0}, {"n": True}, {"x": 1}, {"s": 1}, {"day": None}, {"n": 2**62}):
        assert made.matrix({**rows[0], **changed}, history) is None


@pytest.mark.parametrize("kind", [Anew, Replacing, Joining, Lying])
def test_other_functions_are_left_to_polars(kind: type[Shop]) -> None:
    function, rows = kind(), some(20)
    history = history_of(Shop())
    assert single(function, TYPES, history, rows, pl.DataFrame(rows, schema=SCHEMA)) is None


def test_columns_of_other_types_are_left_to_polars() -> None:
    function, rows = Shop(), some(20)
    frame = pl.DataFrame(rows, schema={**SCHEMA, "x": pl.Float32})
    assert single(function, {**TYPES, "x": "Float32"}, history_of(function), rows, frame) is None


def test_the_flights_of_the_example_are_featurized_without_a_frame() -> None:
    from ml_platform.defs.flights.features import flights
    from ml_platform.defs.flights.schema import Flights
    from ml_platform.defs.flights.source import source
    from ml_platform.serving.schema import request_schema

    january = source.read("2013-01-01").drop_nulls("arr_delay")
    history = History.from_tables(flights, [daily(flights, january)], 1)
    types = {field.name: field.dtype for field in request_schema(flights, Flights).fields}
    chosen = january.select(flights.inputs).gather_every(70)
    rows = chosen.to_dicts()
    made = single(flights, types, history, rows[:50], chosen[:50])
    assert made is not None
    for row, one in zip(rows, featurize(flights, chosen, history), strict=True):
        found = made.matrix(row, history)
        assert found is not None and np.array_equal(bits(found[0]), bits(one))
