"""The one path from raw rows to features."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.defs.flights.features import FlightFeatures, flights
from ml_platform.features.build import build, featurize, matrix
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.dry_run import broken
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError

OUTCOMES = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")


@pytest.fixture(scope="module")
def history(january: pl.DataFrame, february: pl.DataFrame) -> History:
    return History.from_tables(flights, [daily(flights, january), daily(flights, february)], 1)


def test_the_example_meets_the_contract() -> None:
    assert isinstance(flights, FeatureFunction)
    assert flights.time in flights.inputs
    assert set(flights.key) <= set(flights.inputs)
    assert not set(OUTCOMES) & set(flights.inputs)
    names = feature_names(flights)
    assert len(names) == len(set(names))


def test_build_keeps_rows_and_declares_its_columns(february: pl.DataFrame, history: History) -> None:
    built = build(flights, february, history)
    names = feature_names(flights)
    assert built.select(flights.key).equals(february.select(flights.key))
    assert built.columns == [*flights.key, "dest", "part_of_day", *names, *flights.labels]
    assert set(built.select(names).dtypes) == {pl.Float32}
    assert built["late"].null_count() == february["arr_delay"].null_count() > 0
    assert built["late"].drop_nulls().to_list() == (february["arr_delay"].drop_nulls() > 15).cast(pl.Int8).to_list()


def test_matrix_is_c_ordered_float32_with_nan_for_missing(february: pl.DataFrame, history: History) -> None:
    values = matrix(build(flights, february, history), feature_names(flights))
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    gust = feature_names(flights).index("wind_gust")
    assert np.isnan(values[:, gust]).sum() == february["wind_gust"].null_count() > 0


class Rewriting(FlightFeatures):
    """Changes the rows that it is given, so that more flights were late, or fewer."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        made = super().rows(raw)
        if "arr_delay" in raw.columns:
            raw.replace_column(raw.get_column_index("arr_delay"), raw["arr_delay"] * 0 + 60)
        raw.replace_column(raw.get_column_index("dest"), raw["dest"].reverse())
        return made


def test_what_a_function_does_to_its_frame_changes_no_label_and_no_past(
    february: pl.DataFrame, history: History
) -> None:
    given = february.clone()
    assert build(Rewriting(), given, history).equals(build(flights, february, history))
    assert daily(Rewriting(), given).equals(daily(flights, february))
    assert given.equals(february)


def test_a_function_that_changes_its_frame_is_a_mistake(february: pl.DataFrame) -> None:
    assert [one for one in broken(Rewriting(), february.head(50)) if "changes" in one] == [
        "rows() changes the frame that it is given; make another one of it"
    ]
    assert not list(broken(flights, february.head(50)))


def test_serving_gives_the_bits_of_training(february: pl.DataFrame, history: History) -> None:
    batch = matrix(build(flights, february, history), feature_names(flights))
    inputs = february.select(flights.inputs)
    assert featurize(flights, inputs, history).tobytes() == batch.tobytes()
    for row in range(0, february.height, 311):
        assert featurize(flights, inputs[row], history).tobytes() == batch[row].tobytes()


def test_serving_reads_nothing_but_inputs(february: pl.DataFrame, history: History) -> None:
    class Leaky(FlightFeatures):
        def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().rows(raw).with_columns(weekday=raw["dep_delay"])

    with pytest.raises(PlatformError, match="reads 'dep_delay', which is not among inputs"):
        featurize(Leaky(), february, history)
    with pytest.raises(PlatformError, match=r"lacks the columns \['temp'\]"):
        featurize(flights, february.drop("temp"), history)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 14), st.integers(-500, 2000), st.integers(1, 3))
def test_corrupting_outcomes_from_a_day_on_changes_no_earlier_feature(
    fortnight: pl.DataFrame, day: int, lie: int, lag: int
) -> None:
    later = pl.col("day") >= day
    lied = fortnight.with_columns(pl.when(later).then(pl.lit(lie)).otherwise(c).alias(c) for c in OUTCOMES)
    border = fortnight["date"][0] + timedelta(days=day - 1 + lag)
    rows = fortnight["date"] < border
    matrices = []
    for batch in (fortnight, lied):
        past = History.from_tables(flights, [daily(flights, batch)], lag)
        matrices.append(matrix(build(flights, batch, past).filter(rows), feature_names(flights)))
    assert matrices[0].tobytes() == matrices[1].tobytes()


def test_a_function_that_loses_rows_or_columns_is_refused(february: pl.DataFrame, history: History) -> None:
    class Loses(FlightFeatures):
        def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().rows(raw).drop_nulls("tailnum")

    class Forgets(FlightFeatures):
        def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
            return super().rows(raw).drop("plane_age")

    with pytest.raises(PlatformError, match="must keep every row"):
        build(Loses(), february, history)
    with pytest.raises(PlatformError, match="plane_age"):
        build(Forgets(), february, history)
