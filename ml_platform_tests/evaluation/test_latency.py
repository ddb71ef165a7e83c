"""The time of one row, on a clock that the test turns."""

from typing import Any

import numpy as np
import pytest

from ml_platform.evaluation import latency
from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform_tests.evaluation.fitted import SPLIT, fitted
from ml_platform_tests.training.synthetic import NAMES, frames


class Clock:
    """Seconds that pass only where a prediction takes them."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Slow:
    """Takes as many milliseconds as the row says, and on some calls much longer, like any process that waits."""

    def __init__(self, clock: Clock, every: int) -> None:
        self.clock, self.every, self.calls = clock, every, 0

    def predict(self, row: np.ndarray) -> None:
        assert row.shape == (1, 1)
        self.calls += 1
        self.clock.now += float(row[0, 0]) / 1000 + (5.0 if self.calls % self.every == 0 else 0.0)


def timed(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch, every: int = 7) -> tuple[latency.OneRow, Slow]:
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    booster: Any = Slow(clock, every)
    return latency.one_row(booster, rows), booster


def test_slow_rows_count_and_a_busy_machine_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((200, 1))
    rows[::50] = 9  # four of two hundred
    found, booster = timed(rows, monkeypatch)
    assert (found.rows, found.p50, found.p95) == (200, pytest.approx(1), pytest.approx(1))
    assert (found.p99, found.max) == (pytest.approx(9), pytest.approx(9))
    assert booster.calls == latency.WARM_UP + latency.REPEATS * 200


def test_rows_are_limited_and_few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(np.ones((latency.ROWS + 100, 1)), monkeypatch)[0].rows == latency.ROWS
    assert timed(np.full((1, 1), 2.0), monkeypatch)[0] == pytest.approx((1, 2, 2, 2, 2))
    with pytest.raises(PlatformError, match="no row"):
        timed(np.ones((0, 1)), monkeypatch)


def test_a_real_model_is_timed() -> None:
    booster = fitted(SPLIT).predictor
    found = latency.one_row(booster, matrix(frames(SPLIT.holdout)[0], NAMES)[:20])
    assert found.rows == 20 and 0 < found.p50 <= found.p95 <= found.p99 <= found.max
