"""Real flights for the feature tests: two months, and a small slice of them."""

import polars as pl
import pytest

from ml_platform.defs.flights.source import source


@pytest.fixture(scope="session")
def january() -> pl.DataFrame:
    return source.read("2013-01-01")


@pytest.fixture(scope="session")
def february() -> pl.DataFrame:
    return source.read("2013-02-01")


@pytest.fixture(scope="session")
def fortnight(january: pl.DataFrame) -> pl.DataFrame:
    """Fourteen days of two airlines: about 3,000 flights, fast enough for property tests."""
    return january.filter(pl.col("day") <= 14, pl.col("carrier").is_in(["DL", "MQ"]))
