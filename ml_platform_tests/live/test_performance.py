"""What is said of a window: below, kept, or that too little is known; and which windows count."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from ml_platform.evaluation.intervals import Interval
from ml_platform.live.performance import WHOLE, LiveRule, Window, judge, newest, window_of
from ml_platform.sources.partitions import Partitions


def interval(value: float, half: float = 0.02, *, higher: bool = True) -> Interval:
    return Interval(
        value=value, lower=value - half, upper=value + half, level=0.95, clusters=30, higher_is_better=higher
    )


def window(live: float, holdout: dict[str, float], *, higher: bool = True, **changed: Any) -> Window:
    """A window of 30 days with a label for each of 3,000 predictions."""
    days = [{"day": str(day), "predictions": 100, "labelled": 100} for day in range(30)]
    # Of a partition the interval is no matter: it has few days.
    known = {"auc": {name: interval(value, 0.5, higher=higher) for name, value in holdout.items()}}
    known["auc"][WHOLE] = interval(sum(holdout.values()) / len(holdout), higher=higher)
    given = {
        "window": "2024-05-01", "version": 1, "predictions": 3000, "labelled": 3000, "days": days,
        "metrics": {"auc": interval(live, higher=higher)}, "usual": known,
    }  # fmt: skip
    return judge(Window.model_validate({**given, **changed}))


def test_below_is_worse_than_every_partition_of_the_holdout_beyond_both_intervals() -> None:
    assert window(0.7, {"a": 0.7}).status == "kept"
    assert window(0.673, {"a": 0.7}).status == "kept"
    assert window(0.671, {"a": 0.7}).status == "below"
    # One month of the holdout was as bad: no alarm.
    assert window(0.66, {"a": 0.7, "b": 0.67}).status == "kept"
    assert window(0.64, {"a": 0.7, "b": 0.67}).status == "below"
    assert window(0.9, {"a": 0.7}).status == "kept"
    assert window(25.0, {"a": 20.0}, higher=False).status == "below"
    assert window(15.0, {"a": 20.0}, higher=False).status == "kept"
    assert window(0.6, {"a": 0.7, "b": 0.72}).said == (
        "auc 0.600 [0.580, 0.620], on the holdout 0.700 to 0.720; 3,000 of 3,000 predictions have a label"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labelled": 0}, "no label is known yet of 3,000 predictions"),
        (
            {"labelled": 1400},
            "1,400 of 3,000 predictions have a label, on 30 days; 200 on 7 days and 50% are",
        ),
        ({"predictions": 150, "labelled": 150}, "150 of 150 predictions have a label, on 30 days; 200 on 7 days"),
        ({"days": [{"labelled": 3000}]}, "3,000 of 3,000 predictions have a label, on 1 days; 200 on 7 days"),
        ({"usual": {}}, "neither they nor the holdout give a metric to compare"),
        ({"metrics": {}}, "neither they nor the holdout give a metric to compare"),
    ],
)
def test_too_little_is_no_statement(changed: dict[str, Any], said: str) -> None:
    found = window(0.1, {"a": 0.7}, **changed)
    assert found.status == "unknown" and said in found.said


def test_windows_without_a_statement_do_not_count() -> None:
    statements = {"1": "below", "2": "kept", "3": "unknown", "4": "below", "5": "unknown"}
    assert newest(statements, LiveRule(below=2, windows=3)) == (("1", "2", "4"), ("1", "4"))
    assert newest(statements, LiveRule(below=1, windows=1)) == (("4",), ("4",))
    with pytest.raises(ValidationError, match="windows must not be smaller than below"):
        LiveRule(below=3, windows=2)


@pytest.mark.parametrize(
    ("partitions", "first"),
    [
        ({"every": "month", "start": "2024-01-01"}, "2024-05-01"),
        ({"every": "week", "start": "2024-01-03"}, "2024-05-15"),
        ({"every": "day", "start": "2024-01-01"}, "2024-05-13"),
        ({"every": "hour", "start": "2024-01-01T00"}, "2024-05-13"),
        ("none", "2024-05-01"),
    ],
)
def test_a_window_is_a_partition_or_long_enough_for_an_interval(partitions: Any, first: str) -> None:
    day = date(2024, 5, 16)
    assert window_of(Partitions.model_validate(partitions), day).isoformat() == first
