"""The evidence of the feature gates: what values are like, and whether serving gives the same."""

import polars as pl
import pytest

from ml_platform.defs.flights.features import FlightFeatures, flights
from ml_platform.features import checks
from ml_platform.features.build import build
from ml_platform.features.contract import feature_names
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError


class OwnDelay(FlightFeatures):
    """Reads the departure delay of the very flight."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return super().rows(raw).with_columns(weekday=raw["dep_delay"])


def test_parity_holds_and_its_breach_is_named(january: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january)], 1)
    names = feature_names(flights)
    built = build(flights, january, history)
    evidence = checks.parity(flights, january, history, names, built, sample=60)
    assert (evidence.equal, evidence.rows, evidence.largest) == (True, 60, 0.0)

    # One unit in the last place is a difference.
    nudged = built.with_columns((pl.col("distance") * (1 + 2**-23)).cast(pl.Float32))
    evidence = checks.parity(flights, january, history, names, nudged, sample=60)
    assert set(evidence.different) == {"distance"}
    assert 0 < evidence.largest < 0.001

    staler = History.from_tables(flights, [daily(flights, january.filter(pl.col("day") < 20))], 1)
    evidence = checks.parity(flights, january, staler, names, built, sample=60)
    assert "late_rate_carrier_recent" in evidence.different


def test_parity_of_a_function_that_needs_outcomes_is_an_error_of_serving(january: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january)], 1)
    built = build(OwnDelay(), january, history)
    evidence = checks.parity(OwnDelay(), january, history, feature_names(flights), built, sample=5)
    assert not evidence.equal
    assert "dep_delay" in evidence.error


def test_parity_of_other_rows_is_refused(january: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january)], 1)
    built = build(flights, january, history).reverse()
    with pytest.raises(PlatformError, match="order of the raw rows"):
        checks.parity(flights, january, history, feature_names(flights), built)


def test_ranges_tell_null_nan_infinite_and_constant_apart() -> None:
    frame = pl.DataFrame(
        {
            "a": [1.0, None, float("nan"), float("inf")],
            "b": [2.0] * 4,
            "c": [None, None, None, None],
            "d": [None, 0.0, float("nan"), 0.0],
        },
        schema=dict.fromkeys("abcd", pl.Float32),
    )
    a, b, c, d = checks.range_evidence(frame, list("abcd")).values()
    assert (a.missing, a.nan, a.infinite, a.min, a.max, a.constant) == (0.5, 1, 1, 1.0, 1.0, False)
    assert (b.missing, b.infinite, b.min, b.max, b.constant) == (0.0, 0, 2.0, 2.0, True)
    assert (c.missing, c.min, c.max, c.constant) == (1.0, None, None, True)
    # What is not known is no second value.
    assert (d.missing, d.constant) == (0.5, True)
    with pytest.raises(PlatformError, match="without rows"):
        checks.range_evidence(frame.clear(), ["a"])


def test_real_features_are_finite_and_vary(january: pl.DataFrame, february: pl.DataFrame) -> None:
    history = History.from_tables(flights, [daily(flights, january), daily(flights, february)], 1)
    evidence = checks.range_evidence(build(flights, february, history), feature_names(flights))
    assert {name for name, found in evidence.items() if found.infinite or found.nan or found.constant} == set()
    assert all(evidence[history.name].missing == 0 for history in flights.histories)
