"""Measures of drift: their laws, and what they say about data that changed."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from ml_platform.foundation.errors import PlatformError
from ml_platform.validation.drift import FLOOR, MEASURES, drifted_columns, jensen_shannon, kolmogorov_smirnov, psi

FLOATS = st.floats(-1e6, 1e6, allow_nan=False) | st.none() | st.just(float("nan")) | st.just(float("inf"))
KINDS = (
    st.lists(FLOATS, min_size=1, max_size=60).map(lambda values: pl.Series("x", values, dtype=pl.Float64)),
    st.lists(st.integers(-50, 50) | st.none(), min_size=1, max_size=60).map(
        lambda values: pl.Series("x", values, dtype=pl.Int64)
    ),
    st.lists(st.sampled_from("abcdef") | st.none(), min_size=1, max_size=60).map(
        lambda values: pl.Series("x", values, dtype=pl.String)
    ),
    st.lists(st.booleans() | st.none(), min_size=1, max_size=60).map(
        lambda values: pl.Series("x", values, dtype=pl.Boolean)
    ),
)
COLUMNS = st.one_of(*KINDS)


@settings(max_examples=60, deadline=None)
@given(reference=COLUMNS, seed=st.integers(0, 99))
def test_the_same_rows_in_another_order_have_no_drift(reference: pl.Series, seed: int) -> None:
    again = reference.sample(fraction=1.0, shuffle=True, seed=seed)
    assert psi(reference, again) == pytest.approx(0, abs=1e-9)
    assert jensen_shannon(reference, again) == pytest.approx(0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(pair=st.one_of(*(st.tuples(kind, kind) for kind in KINDS)))
def test_never_negative_and_finite_whatever_is_missing(pair: tuple[pl.Series, pl.Series]) -> None:
    reference, current = pair
    value = psi(reference, current)
    assert np.isfinite(value)
    assert value >= 0
    assert 0 <= jensen_shannon(reference, current) <= 1


@settings(max_examples=60, deadline=None)
@given(
    reference=st.lists(st.floats(-100, 100), min_size=1, max_size=40),
    current=st.lists(st.floats(-100, 100), min_size=1, max_size=40),
)
def test_the_kolmogorov_smirnov_statistic_is_that_of_scipy(reference: list[float], current: list[float]) -> None:
    expected = stats.ks_2samp(reference, current)[0]
    with_gaps = pl.Series("x", [None, float("nan"), *current], dtype=pl.Float64)
    assert kolmogorov_smirnov(pl.Series("x", reference), with_gaps) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_the_jensen_shannon_distance_is_that_of_scipy(counts: list[tuple[int, int]]) -> None:
    ours, theirs = ["a", *(str(place) for place, (count, _) in enumerate(counts) for _ in range(count))], ["a"]
    theirs += [str(place) for place, (_, count) in enumerate(counts) for _ in range(count)]
    names = sorted({*ours, *theirs})
    shares = [[rows.count(name) / len(rows) for name in names] for rows in (ours, theirs)]
    # What the reference does not have shares one bin.
    known = [name for name in names if name in ours]
    other = 1 - sum(shares[1][names.index(name)] for name in known)
    binned = [[shares[side][names.index(name)] for name in known] for side in (0, 1)]
    expected = distance.jensenshannon([*binned[0], 0], [*binned[1], max(0, other)], base=2)
    assert jensen_shannon(pl.Series("x", ours), pl.Series("x", theirs)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_tells_what_moved_from_what_did_not(measure: str) -> None:
    random = np.random.default_rng(2)
    reference = pl.DataFrame({"still": random.normal(size=4000), "moved": random.normal(size=4000)})
    current = pl.DataFrame({"still": random.normal(size=4000), "moved": random.normal(0.7, size=4000)})
    found = drifted_columns(reference, current, ["still", "moved"], measure)
    assert list(found) == ["moved", "still"] and found["moved"] > 5 * found["still"]


def test_a_statistic_of_numbers_is_refused_for_words() -> None:
    with pytest.raises(PlatformError, match="kolmogorov_smirnov is for numbers, not for String"):
        kolmogorov_smirnov(pl.Series("x", ["a"]), pl.Series("x", ["a"]))
    with pytest.raises(PlatformError, match="0 values to compare 1 with"):
        kolmogorov_smirnov(pl.Series("x", [None], dtype=pl.Float64), pl.Series("x", [1.0]))


def test_value_of_a_known_shift() -> None:
    # Two values: shares .5/.5 against .9/.1 give (.4 ln 1.8) + (-.4 ln .2).
    reference = pl.Series("x", ["a"] * 50 + ["b"] * 50)
    current = pl.Series("x", ["a"] * 90 + ["b"] * 10)
    expected = 0.4 * np.log(0.9 / 0.5) - 0.4 * np.log(0.1 / 0.5)
    assert psi(reference, current) == pytest.approx(expected, abs=1e-9)


def test_numbers_that_moved_by_a_standard_deviation_are_far_beyond_the_usual_alarm() -> None:
    random = np.random.default_rng(1)
    reference = pl.Series("x", random.normal(size=5000))
    assert psi(reference, pl.Series("x", random.normal(size=5000))) < 0.02
    assert psi(reference, pl.Series("x", random.normal(1.0, size=5000))) > 0.5


def test_values_that_went_missing_are_drift() -> None:
    reference = pl.Series("x", np.arange(1000.0))
    gone = pl.Series("x", [None] * 300 + list(np.arange(700.0)), dtype=pl.Float64)
    nan = pl.Series("x", [float("nan")] * 300 + list(np.arange(700.0)))
    assert psi(reference, gone) > 0.3 * np.log(0.3 / FLOOR) * 0.9
    assert psi(reference, nan) == pytest.approx(psi(reference, gone))


def test_a_category_that_was_never_seen_is_drift() -> None:
    reference = pl.Series("x", ["a", "b"] * 100)
    assert psi(reference, pl.Series("x", ["a", "b"] * 80 + ["new"] * 40)) > 0.2


def test_columns_come_with_the_largest_first() -> None:
    reference = pl.DataFrame({"still": np.arange(500.0), "moved": np.arange(500.0)})
    current = pl.DataFrame({"still": np.arange(500.0), "moved": np.arange(500.0) + 250})
    found = drifted_columns(reference, current, ["still", "moved"])
    assert list(found) == ["moved", "still"]
    assert found["still"] == pytest.approx(0, abs=1e-9)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(PlatformError, match="0 current rows"):
        psi(pl.Series("x", [1.0]), pl.Series("x", [], dtype=pl.Float64))
