"""A month that is delivered before it is over: what the gate ``correction`` makes of the rows that come later."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from ml_platform.gates.gate import Verdict
from ml_platform_tests.gates.batches import batch

CORRECTION = {"gate": "correction", "max": 0.05}
DAYS = pl.date_range(date(2013, 3, 1), date(2013, 3, 31), "1d", eager=True)
#: Two hundred rows a day; each tenth label is not known yet.
NOW = (
    pl.DataFrame({"day": DAYS})
    .join(pl.DataFrame({"row": range(200)}), how="cross")
    .with_columns(label=pl.when(pl.col("row") % 10 != 9).then((pl.col("row") // 2 % 4 == 0).cast(pl.Int64)))
)
HALF = NOW.filter(pl.col("day") <= date(2013, 3, 12))


def growing(frame: pl.DataFrame, *published: pl.DataFrame, **evidence: Any) -> Verdict:
    """The gate on a batch of a month of which these were published, the first one first."""
    first, *later = published
    names = [f"{place:x}" * 64 for place in range(11, 16)]
    contents = list(zip(names, later, strict=False))
    return batch(
        CORRECTION, frame, key=("day", "row"), replaced=lambda: ("b" * 64, first),
        published_later=lambda: iter([(sha[:64], rows) for sha, rows in contents]), **evidence,
    )  # fmt: skip


def until(day: int) -> pl.DataFrame:
    return NOW.filter(pl.col("day") <= date(2013, 3, day))


def turned(frame: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    """Labels turned round on these days."""
    there = pl.col("day").is_between(date(2013, 3, first), date(2013, 3, last))
    return frame.with_columns(label=pl.when(there).then(1 - pl.col("label")).otherwise("label"))


def test_the_rest_of_a_month_is_no_correction_of_its_beginning() -> None:
    found = growing(NOW, HALF)
    assert found.passed and found.observed == 0 and "3800 later ones" in found.reason
    # The last day was not over.
    assert growing(NOW, HALF.filter((pl.col("day") < date(2013, 3, 12)) | (pl.col("row") < 50))).observed == 0


def test_rows_between_those_that_are_published_are_one() -> None:
    gap = HALF.filter(pl.col("day") != date(2013, 3, 5))
    found = growing(NOW, gap)
    assert found.status == "failed" and found.observed == pytest.approx(1 / 12, abs=1e-3)
    assert "rows that are new" in found.reason
    # A month that was over may have no more rows of its last day.
    less = NOW.filter((pl.col("day") < date(2013, 3, 31)) | (pl.col("row") < 2))
    assert growing(NOW, less).observed == pytest.approx(198 / NOW.height, abs=1e-3)


def test_what_else_a_longer_delivery_changes_counts_as_before() -> None:
    assert growing(turned(NOW, 1, 2), HALF).observed == pytest.approx(0.15, abs=1e-3)
    assert growing(NOW.filter(pl.col("row") >= 20), HALF).observed == pytest.approx(0.1, abs=1e-3)


def test_what_was_published_later_is_held_to_as_well() -> None:
    found = growing(turned(NOW, 13, 31), HALF, NOW)
    assert found.status == "failed" and found.observed == pytest.approx(19 / 31 * 0.9, abs=1e-3)
    assert found.compared["replaced"] == "b" * 64 and "b" * 64 in found.compared.values()
    # Many small corrections of what came later are one large one, too: the first content of each stretch counts.
    small = [turned(NOW, 13, last) for last in (13, 14)]
    assert growing(turned(NOW, 13, 15), HALF, NOW, *small).observed == pytest.approx(3 / 31 * 0.9, abs=1e-3)
    assert growing(NOW, HALF, until(20), NOW).observed == 0


def test_hours_grow_as_days_do() -> None:
    at = NOW.with_columns(at=pl.col("day").cast(pl.Datetime("us", "UTC")) + pl.duration(minutes=pl.col("row")))
    half = at.filter(pl.col("at") < datetime(2013, 3, 12, 1, tzinfo=UTC))
    hours = {"time": "at", "window": (datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))}
    assert growing(at, half, **hours).observed == 0
    gap = half.filter(pl.col("row") % 10 > 0)
    assert growing(at, gap, **hours).status == "failed"


def test_without_a_time_every_new_row_counts() -> None:
    assert growing(NOW, HALF, time="", window=None).observed == pytest.approx(19 / 31, abs=1e-3)
