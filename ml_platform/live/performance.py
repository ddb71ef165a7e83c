"""How good a version was in use, window by window, held against what its evaluation showed."""

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_platform.evaluation.intervals import Interval
from ml_platform.models.task import Output, Task
from ml_platform.sources.partitions import Partitions

#: Fewest labelled rows and days, and the smallest share of predictions with a label, for a statement on a window.
LEAST_ROWS, LEAST_DAYS, LEAST_SHARE = 200, 7, 0.5
#: What is held against the evaluation, by what a task predicts: what a base rate or a season moves is not among them.
JUDGED: Mapping[Output, tuple[str, ...]] = {
    "probability": ("auc", "brier_skill"),
    "classes": ("auc_macro",),
    "value": ("r2",),
}

#: Name of the whole holdout among its partitions.
WHOLE = "whole"

Status = Literal["kept", "below", "unknown"]


class LiveRule(BaseModel):
    """When live performance leads to a training: so many of the newest windows with a statement are below."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    below: int = Field(default=2, ge=1, description="That many of the newest windows are below the evaluation.")
    windows: int = Field(default=3, ge=1, description="How many of the newest windows count.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.below > self.windows:
            raise ValueError("windows must not be smaller than below")
        return self


class Window(BaseModel):
    """What one version was worth in one stretch of time, by the days of the events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: First day of the window.
    window: str
    version: int
    #: Rows that were predicted, and those of them whose label is known.
    predictions: int
    labelled: int
    #: Over all labelled rows, clustered by day.
    metrics: dict[str, Interval] = {}
    #: Records of days: ``day``, ``predictions``, ``labelled``, and the metrics of the day.
    days: list[dict[str, Any]] = []
    #: By column: records with ``group``, ``rows``, the group's metrics, and the bounds of the first judged one.
    slices: dict[str, list[dict[str, Any]]] = {}
    #: What is judged, on each partition of the version's holdout and on the :data:`WHOLE` of it.
    usual: dict[str, dict[str, Interval]] = {}
    status: Status = "unknown"
    #: Why, in a sentence without an end.
    said: str = ""

    @property
    def share(self) -> float:
        """Share of the predictions whose label is known."""
        return self.labelled / self.predictions if self.predictions else 0.0


class Newest(NamedTuple):
    """What the newest windows of a version come to."""

    #: Windows with a statement that count, the oldest first, and those of them that are below.
    windows: tuple[str, ...]
    below: tuple[str, ...]


def judged_metrics(task: Task) -> tuple[str, ...]:
    """What of a task is held against its evaluation."""
    return tuple(name for name in JUDGED[task.output] if name in task.better)


def window_of(partitions: Partitions, day: date) -> date:
    """First day of the window that a day belongs to: the partition, or of shorter ones the week from Monday on; of
    data without time the month."""
    if not partitions.timed:
        return day.replace(day=1)
    if partitions.every in ("hour", "day"):
        return day - timedelta(days=day.weekday())
    return partitions.beginning(day)


def judge(window: Window) -> Window:
    """``window`` with its statement: ``below`` where a metric is worse than on every partition of the holdout, by more
    than its interval and that of the whole holdout together allow; ``unknown`` where there are too few labels."""
    known = f"{window.labelled:,} of {window.predictions:,} predictions have a label"
    if not window.labelled:
        return _with(window, "unknown", f"no label is known yet of {window.predictions:,} predictions")
    days = sum(1 for one in window.days if one["labelled"])
    if window.labelled < LEAST_ROWS or days < LEAST_DAYS or window.share < LEAST_SHARE:
        least = f"{LEAST_ROWS} on {LEAST_DAYS} days and {LEAST_SHARE:.0%} are the least for a statement"
        return _with(window, "unknown", f"{known}, on {days} days; {least}")
    compared = {
        name: window.metrics[name] for name in window.usual if name in window.metrics and WHOLE in window.usual[name]
    }
    if not compared:
        return _with(window, "unknown", f"{known}; neither they nor the holdout give a metric to compare")
    lacking = {name: _shortfall(live, window.usual[name]) for name, live in compared.items()}
    worse = [name for name, short in lacking.items() if short > 0]
    said = "; ".join(_compared(name, compared[name], window.usual[name]) for name in worse or compared)
    return _with(window, "below" if worse else "kept", f"{said}; {known}")


def newest(statements: Mapping[str, str], rule: LiveRule) -> Newest:
    """The newest windows of a version that say something; ``statements``: window to status."""
    told = sorted((window, status) for window, status in statements.items() if status != "unknown")[-rule.windows :]
    return Newest(tuple(name for name, _ in told), tuple(name for name, status in told if status == "below"))


def _with(window: Window, status: Status, said: str) -> Window:
    return window.model_copy(update={"status": status, "said": said})


def _shortfall(live: Interval, usual: Mapping[str, Interval]) -> float:
    """How much worse than on the worst partition of the holdout, beyond what both intervals allow.

    The worst one, since months differ; but not its own interval, which is wide where it has few days.
    """
    sign = 1 if live.higher_is_better else -1
    better = live.upper - live.value if live.higher_is_better else live.value - live.lower
    worst = min(sign * one.value for one in _partitions(usual).values())
    whole = usual[WHOLE]
    return worst - sign * live.value - math.hypot(better, sign * (whole.value - whole.worse))


def _partitions(usual: Mapping[str, Interval]) -> dict[str, Interval]:
    """Without the whole, where it is more than one partition."""
    return {name: one for name, one in usual.items() if name != WHOLE} or dict(usual)


def _compared(name: str, live: Interval, usual: Mapping[str, Interval]) -> str:
    values = [one.value for one in _partitions(usual).values()]
    seen = f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"
    return f"{name} {live.value:.3f} [{live.lower:.3f}, {live.upper:.3f}], on the holdout {seen}"
