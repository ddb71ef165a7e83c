"""One row takes a way of its own through Python's numbers: it gives the bits of the batch, or leaves the row to it."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.defs.flights.features import FlightFeatures
from ml_platform.features import build
from ml_platform.features.build import featurize
from ml_platform.features.contract import HistoricalMean
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError

DAYS = (date(2020, 2, 27), date(2020, 3, 9))


def _numbers(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(low, high), st.sampled_from([low, high]))


#: Every type that a key may have, and numbers at the edges of what Float32 and Float64 hold.
COLUMNS: dict[str, tuple[pl.DataType | type[pl.DataType], st.SearchStrategy]] = {
    "day": (pl.Date, st.dates(*DAYS)),
    "text": (pl.String, st.one_of(st.none(), st.sampled_from(["", "x", "é", "1", "true", "\x1f"]))),
    "whole": (pl.Int64, _numbers(-(2**63), 2**63 - 1)),
    "small": (pl.UInt8, _numbers(0, 255)),
    "large": (pl.UInt64, _numbers(0, 2**64 - 1)),
    "yes": (pl.Boolean, st.one_of(st.none(), st.booleans())),
    "when": (pl.Date, st.one_of(st.none(), st.dates(date(1, 1, 1), date(9999, 12, 31)))),
    "kind": (pl.Enum(["a", "b"]), st.sampled_from(["a", "b", None])),
    "real": (pl.Float64, st.one_of(st.none(), st.floats(width=64))),
    "half": (pl.Float32, st.one_of(st.none(), st.floats(width=32))),
    "late": (pl.Int8, st.one_of(st.none(), st.integers(0, 1))),
    "cost": (pl.Int64, st.one_of(st.none(), st.integers(-(10**9), 10**9))),
}


class Every:
    """Histories over every type of key and every way of weighing; numbers as they come."""

    inputs = tuple(name for name in COLUMNS if name not in ("late", "cost"))
    time = "day"
    key = ("day", "text")
    columns = ("whole", "small", "large", "yes", "real", "half")
    histories = (
        *(HistoricalMean(f"h_{name}", of="late", by=(name,), prior=1.5) for name in inputs[1:8]),
        HistoricalMean("pair", of="cost", by=("text", "small"), prior=1.0),
        HistoricalMean("window", of="cost", by=("yes",), prior=1.0, window_days=2),
        HistoricalMean("decayed", of="late", by=("kind", "when"), prior=1.0, half_life_days=1.5),
        HistoricalMean("short", of="cost", by=("text",), prior=1.0, half_life_days=0.01),
    )
    labels = ("late",)
    slices = ()

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(self.inputs)

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("late", "cost")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("late")


every = Every()
ROWS = st.lists(st.tuples(*(values for _, values in COLUMNS.values())), min_size=1, max_size=25)


def table(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: dtype for name, (dtype, _) in COLUMNS.items()}, orient="row")


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(1, 3), st.integers(0, 12))
def test_one_row_gives_the_bits_of_its_batch(rows: list[tuple], lag: int, later: int) -> None:
    past = table(rows)
    history = History.from_tables(every, [daily(every, past)], lag)
    # Also rows after the history, and keys that it does not know.
    asked = pl.concat([past, past.with_columns(pl.col("day") + timedelta(days=later), text=pl.lit("new"))])
    inputs = asked.select(every.inputs)
    batch = build.bits(featurize(every, pl.concat([inputs, inputs]), history))
    for row in range(inputs.height):
        assert build.bits(featurize(every, inputs[row], history)).tobytes() == batch[row].tobytes()


def test_a_row_is_left_to_the_batch_only_where_its_numbers_are_not_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (date(2020, 3, 1), "x", 5, 1, 7, True, date(2020, 1, 1), "a", 0.5, 0.25, 1, 3)
    past = table([values])
    history = History.from_tables(every, [daily(every, past)], 1)
    left = []
    whole = History.matrix
    monkeypatch.setattr(History, "matrix", lambda *given: left.append(given) or whole(*given))
    featurize(every, past, history)
    assert not left
    featurize(every, past.with_columns(whole=pl.lit(2**53 + 1)), history)
    assert len(left) == 1


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (datetime(2020, 1, 1), ""),
        (timedelta(seconds=3), ""),
        (Decimal("1.50"), ""),
        ("12", ""),
        ("no number", "conversion"),
    ],
)
def test_what_polars_converts_by_its_own_rules_is_left_to_it(value: object, error: str) -> None:
    class Odd(Every):
        columns = ("odd",)

        def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().rows(raw).with_columns(pl.Series("odd", [value] * raw.height))

    row = table([(date(2020, 3, 1), *[None] * (len(COLUMNS) - 1))])
    history = History.from_tables(every, [], 1)
    if error:
        with pytest.raises(pl.exceptions.InvalidOperationError, match=error):
            featurize(Odd(), row, history)
        return
    batch = featurize(Odd(), pl.concat([row, row]), history)
    assert featurize(Odd(), row, history).tobytes() == batch[0].tobytes()


def test_one_row_is_refused_as_a_batch_is(january: pl.DataFrame) -> None:
    class Keyless(FlightFeatures):
        def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().rows(raw).drop("tailnum")

    class Real(FlightFeatures):
        histories = (HistoricalMean("by_heat", of="late", by=("temp",)),)

    row = january.head(1)
    with pytest.raises(PlatformError, match="key column 'tailnum'"):
        featurize(Keyless(), row, History.from_tables(FlightFeatures(), [daily(FlightFeatures(), january)], 1))
    with pytest.raises(PlatformError, match="'temp' is Float64"):
        featurize(Real(), row, History.from_tables(Real(), [], 1))
    with pytest.raises(PlatformError, match="1 rows have no 'date'"):
        history = History.from_tables(FlightFeatures(), [], 1)
        featurize(FlightFeatures(), row.with_columns(pl.lit(None, pl.Date).alias("date")), history)
