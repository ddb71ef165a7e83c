"""A dataset with short partitions has a first one without any past: that is no reason to refuse it for ever."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from ml_platform.features.build import build
from ml_platform.features.contract import HistoricalMean
from ml_platform.features.history import History, daily
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.features import FeatureEvidence
from ml_platform.gates.kind import kind_of

FIRST = date(2024, 1, 1)
RANGES, SINGLE = Gate(gate="ranges"), Gate(gate="single_feature", columns=("y",), max=0.9)


class Past:
    """One feature of the row and one from the past."""

    inputs = ("day", "shop", "amount")
    time = "day"
    key = ("shop",)
    columns = ("amount",)
    histories = (HistoricalMean("past_y", of="y", by=("shop",), prior=1.0),)
    labels = ("y",)
    slices = ()

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("y")


def rows(days: list[int], y: int | None = 1, amount: float | None = 2.0) -> pl.DataFrame:
    made = [{"day": FIRST + timedelta(days=day), "shop": "a", "amount": amount, "y": y} for day in days]
    return pl.DataFrame(made, schema={"day": pl.Date, "shop": pl.String, "amount": pl.Float64, "y": pl.Int64})


def judged(partition: pl.DataFrame, earlier: list[pl.DataFrame], gate: Gate = RANGES) -> Any:
    """What a gate measures for a partition after earlier ones."""
    function: Any = Past()

    class Evidence(FeatureEvidence):
        def __init__(self) -> None:
            self.function = function
            self.history = History.from_tables(function, [daily(function, one) for one in [*earlier, partition]], 1)
            self._rows = build(function, partition, self.history)

    return kind_of(gate.gate).measure(Evidence(), gate)


def test_past_averages_of_the_first_day_count_for_nothing() -> None:
    found = judged(rows([0]), [])
    assert (found.observed, "past_y have no past yet" in found.reason) == (0, True)
    assert judged(rows([0, 1]), []).observed == 0, "from the second day on there is one"


@pytest.mark.parametrize(
    ("partition", "earlier", "empty"),
    [
        pytest.param(rows([0], amount=None), [], "amount", id="a feature of the row in the first partition"),
        pytest.param(rows([1], amount=None), [rows([0])], "amount", id="and in a later one"),
    ],
)
def test_an_empty_feature_is_refused(partition: pl.DataFrame, earlier: list[pl.DataFrame], empty: str) -> None:
    found = judged(partition, earlier)
    assert (found.observed, found.reason) == (1, f"infinite or empty: {empty}")


def test_an_empty_past_average_is_refused_where_there_is_a_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "features", lambda self, frame, days: frame.select(past_y=pl.lit(None, pl.Float32)))
    assert judged(rows([1]), [rows([0])]).observed == 1
    assert judged(rows([0]), []).observed == 0


def test_outcomes_that_are_not_known_yet_tell_nothing_of_single_features() -> None:
    found = judged(rows([0, 1], y=None), [], SINGLE)
    assert (found.observed, found.reason) == (None, "no outcome is known yet (y), so nothing can be told")
    parted = pl.concat([rows([0], y=0, amount=1.0), rows([1], y=1, amount=5.0)])
    assert judged(parted, [], SINGLE).observed == 1.0
