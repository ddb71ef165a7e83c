"""A Python function as a source."""

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform_tests.sources.example import sales, spec

WINDOW = {"every": "month", "start": "2024-01-01", "end": "2024-03-01"}


def declared(**rule: str) -> Any:
    named = {name: f"ml_platform_tests.sources.example:{item}" for name, item in rule.items()}
    return spec({"kind": "function", **named}, partitions=WINDOW).load_source()


def test_every_partition_is_asked_from_the_function() -> None:
    source = declared(function="between")
    offered = source.partitions()
    assert list(offered) == ["2024-01-01", "2024-02-01"] and len(set(offered.values())) == 2
    assert_frame_equal(source.read("2024-02-01"), sales(2))
    with pytest.raises(MissingReference, match="2024-03-01 has not ended or does not exist"):
        source.read("2024-03-01")
    assert declared(function="between", fingerprint="revision").partitions() != offered


def test_another_result_than_a_frame_is_refused() -> None:
    with pytest.raises(PlatformError, match="returned str, not a polars DataFrame"):
        declared(function="broken").read("2024-01-01")


def whole() -> pl.DataFrame:
    """A source of data without partitions."""
    return sales(1)


def test_without_partitions_it_is_called_without_days() -> None:
    source: Any = spec({"kind": "function", "function": f"{__name__}:whole"}, partitions="none").load_source()
    assert list(source.partitions()) == ["all"] and source.read("all").equals(sales(1))
