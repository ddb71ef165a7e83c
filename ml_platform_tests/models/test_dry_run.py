"""A task of one's own is tried on labels before anything is trained: each method that fails is one line."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from ml_platform.evaluation.bootstrap import weighted
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.dry_run import broken, paired_metrics
from ml_platform.models.regression import Regression
from ml_platform.models.task import TASKS, task_of

Y = np.arange(40.0)

#: A method that fails, and what is said of it.
WRONG: dict[str, tuple[Any, str]] = {
    "measure": (lambda self, y, p: {"mae": float("nan")}, "metric mae is nan; leave out what is undefined"),
    "losses": (lambda self, y, p: {"mae": lambda: np.zeros(3)}, "losses gave for mae float64 (3,); expected finite"),
    "cost": (lambda self, y, p: "much", "cost gave str 'much'; expected a finite number, or None"),
    "comparable": (
        lambda self, y, metrics: list(metrics),
        "comparable gave list ['mae', 'rmse', 'r2']; expected some",
    ),
    "baselines": (
        lambda self, y, rows: {"m": np.zeros(rows + 1)},
        "baselines gave for m float64 (8,); expected",
    ),
    "counts": (lambda self, y: "many", "counts gave str 'many'; expected polars expressions by name"),
    "by_group": (lambda self, y, p: {"mae": (y - p).abs()}, "by_group gave 40 values for a group; expected one"),
    "calibrated": (lambda self, y, p: y, "calibrated gave float64 (40,); expected actual and predicted values"),
    "curves": (lambda self, y, p: {"residuals": p}, "; expected lists of pairs of finite numbers, by name"),
    "answer": (lambda self, p: {"values": p.tolist()}, "answer gave values; expected the fields predictions"),
    "scores": (lambda self, p: p.mystery, "scores raises AttributeError: 'numpy.ndarray' object has no attribute"),
}


@pytest.mark.parametrize("method", [*WRONG])
def test_a_method_that_fails_is_named(method: str) -> None:
    change, said = WRONG[method]
    own: Any = type("Own", (Regression,), {method: change})
    (line,) = broken(own(), Y)
    assert line.startswith(f"task {__name__}:Own: ") and said in line


@pytest.mark.parametrize(
    ("method", "change", "said"),
    [
        ("curves", lambda self, y, p: {"residuals": [[1.0, 2.0, 3.0]]}, "expected lists of pairs of finite numbers"),
        (
            "curves",
            lambda self, y, p: {"residuals": [[1.0, float("inf")]]},
            "expected lists of pairs of finite numbers",
        ),
        ("baselines", lambda self, y, rows: {1: np.zeros(rows)}, "expected predictions by name"),
        ("losses", lambda self, y, p: {"mae": 1.0}, "losses gave dict {'mae': 1.0}; expected a function by metric"),
        ("losses", lambda self, y, p: {"mae": lambda: y, "auc": lambda: y}, "losses gave auc, not among those in"),
        ("measure", lambda self, y, p: [1.0], "measure gave list [1.0]; expected metrics by name"),
        ("measure", lambda self, y, p: {"mae": "small"}, "metric mae is str 'small'; expected a number"),
        ("answer", lambda self, p: {"predictions": 1.0}, "expected a list of 40 values, one for each row"),
    ],
)
def test_what_a_method_gives_is_looked_into(method: str, change: Any, said: str) -> None:
    own: Any = type("Own", (Regression,), {method: change})
    assert any(said in line for line in broken(own(), Y))


def test_a_compared_metric_has_a_better_side() -> None:
    own: Any = type("Own", (Regression,), {"compared": ("mae", "near")})
    assert next(broken(own(), Y)).endswith("compared names near; say in `better` which side is the better one")


def test_a_compared_metric_has_a_value_by_row() -> None:
    """Where the platform does not draw it itself: else no evaluation comes to an end."""
    names: Any = {"compared": ("near", "r2", "mae"), "better": {**Regression.better, "near": True}}
    own: Any = type("Own", (Regression,), {**names, "measured": ("near", *Regression.measured)})
    said = f"task {__name__}:Own: losses gave nothing for near, which `compared` names; expected the value of each row"
    assert [*broken(own(), Y)] == [said]


@pytest.mark.parametrize("name", [*TASKS])
def test_what_can_be_compared_is_what_the_bootstrap_takes(name: str) -> None:
    """Every other metric is refused there, with the task."""
    task = task_of(name, ("a", "b", "c") if name == "multiclass" else (), 0.5 if name == "binary" else None)
    y = Y if task.output == "value" else Y % max(2, len(task.classes))
    p = np.eye(3)[y.astype(int)] if task.output == "classes" else y
    taken = []
    for metric in task.measured:
        with suppress(PlatformError):
            taken.append(weighted(metric, task, y, p, np.arange(len(y)) % 4, 4) and metric)
    assert set(taken) == set(paired_metrics(task)) & set(task.measured)


@pytest.mark.parametrize("name", [*TASKS])
def test_sound_tasks_pass(name: str) -> None:
    classes = ("a", "b", "c") if name == "multiclass" else ()
    task = task_of(name, classes, 0.5 if name == "binary" else None)
    assert [*broken(task, Y if task.output == "value" else Y % max(2, len(classes)))] == []
