"""Comparison of a candidate with the champion on rows that neither has been trained on."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.evaluation.bootstrap import draws, weighted
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import comparable
from ml_platform.models.task import Task
from ml_platform.references.refs import SplitRef

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Level of the two-sided percentile interval.
LEVEL = 0.95


class Comparison(BaseModel):
    """A metric of two models on the same rows; ``difference`` is candidate minus champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    higher_is_better: bool
    candidate: float
    champion: float
    difference: float
    #: Bounds of the paired interval of the difference.
    lower: float
    upper: float
    level: float
    #: Replicates in which the metric was defined for both models.
    replicates: int
    clusters: int
    rows: int

    @property
    def gain(self) -> float:
        """The difference, turned so that positive means that the candidate is better."""
        return self.difference if self.higher_is_better else -self.difference

    @property
    def gain_lower(self) -> float:
        """The worse bound of the gain: what a margin is compared with."""
        return self.lower if self.higher_is_better else -self.upper

    @property
    def gain_upper(self) -> float:
        """The better bound of the gain."""
        return self.upper if self.higher_is_better else -self.lower


class Unseen(NamedTuple):
    """The rows of a holdout on which two models can be compared."""

    frame: "pl.DataFrame"
    #: Day of the last event that either model was trained on; None where rows are held out by their group.
    cutoff: date | None
    #: Rows of the holdout that were left out because a model had seen their time.
    excluded: int
    #: One sentence for the report.
    note: str


def compare(
    task: Task,
    y: "np.ndarray",
    candidate: "np.ndarray",
    champion: "np.ndarray",
    clusters: "np.ndarray | pl.Series",
    metric: str,
    replicates: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Paired cluster bootstrap of ``metric``; for method and source see :mod:`~ml_platform.evaluation.bootstrap`.

    All arrays have one entry per row: labels, the predictions of both models (of several classes rows x classes),
    and what rows to keep together (e.g. the day). Deterministic for a seed.

    Raises PlatformError for another metric, fewer than two clusters, or labels of one class only.
    """
    import numpy as np

    if not len(y) == len(candidate) == len(champion) == len(clusters):
        raise PlatformError("comparison: labels, predictions and clusters differ in length; give one per row")
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        raise PlatformError(f"comparison: {len(names)} cluster(s) give no interval; hold out two or more")
    weights = np.vstack([np.ones(len(names)), draws(len(names), replicates, seed)])
    ours = weighted(metric, task, y, candidate, codes, len(names))(weights)
    theirs = weighted(metric, task, y, champion, codes, len(names))(weights)
    if not np.isfinite(ours[0] - theirs[0]):
        raise PlatformError(f"comparison: {metric} is undefined on labels of one class; hold out more rows")
    replicated = (ours - theirs)[1:]
    replicated = replicated[np.isfinite(replicated)]
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(replicated, [tail, 1 - tail])
    return Comparison(
        metric=metric,
        higher_is_better=task.better[metric],
        candidate=float(ours[0]),
        champion=float(theirs[0]),
        difference=float(ours[0] - theirs[0]),
        lower=float(lower),
        upper=float(upper),
        level=LEVEL,
        replicates=len(replicated),
        clusters=len(names),
        rows=len(y),
    )


def training_cutoff(split: SplitRef) -> date:
    """Last day, or with hourly partitions last hour (a datetime), of the training part.

    Raises PlatformError where that part is empty.
    """
    if not split.train:
        raise PlatformError(f"split of {split.model}: the training part is empty; plan the split again")
    return max(ended(entry.last) for entry in split.train)


def ended(last: str) -> date:
    """What a manifest entry says of its last event: a day, or of an hourly partition the hour, in UTC."""
    if len(last) == len("2024-01-31T05"):
        return datetime.fromisoformat(last).replace(tzinfo=UTC)
    return date.fromisoformat(last[: len("2024-01-31")])


def groups_of(*splits: SplitRef | None) -> tuple[str, ...]:
    """Columns whose values say in which part of a split a row is; none where splits go by time."""
    parts = [entry.part for split in splits if split for entry in split.train if entry.part]
    return tuple(dict.fromkeys(name for part in parts for name in part.by))


def unseen(holdout: "pl.DataFrame", time: str, candidate: SplitRef, champion: SplitRef) -> Unseen:
    """The rows of ``holdout`` that neither model was trained on: by their time, or by the parts of the splits.

    ``time`` is the Date or Datetime column of the event, where splits go by it. Possibly none.
    """
    if any(entry.part for entry in candidate.train):
        return _in_both_holdouts(holdout, champion)
    if any(entry.part for entry in champion.train):
        note = "The champion was trained on groups of all times: no fair comparison is possible."
        return Unseen(holdout.clear(), None, holdout.height, note)
    ours, theirs = training_cutoff(candidate), training_cutoff(champion)
    if isinstance(ours, datetime) != isinstance(theirs, datetime):
        ours, theirs = date(ours.year, ours.month, ours.day), date(theirs.year, theirs.month, theirs.day)
    cutoff = max(ours, theirs)
    times = comparable(holdout[time], cutoff)
    frame = holdout.filter(times >= cutoff + timedelta(hours=1) if isinstance(cutoff, datetime) else times > cutoff)
    excluded = holdout.height - frame.height
    if not excluded:
        note = f"Neither model was trained on the holdout (cut-offs: candidate {ours}, champion {theirs})."
    elif not frame.height:
        note = f"The whole holdout lies before the training cut-off {cutoff}: no fair comparison is possible."
    else:
        seen = "champion" if theirs >= ours else "candidate"
        note = (
            f"The {seen} was trained up to {cutoff}: {excluded:,} rows of the holdout that it has seen "
            f"are left out, {frame.height:,} remain."
        )
    return Unseen(frame, date(cutoff.year, cutoff.month, cutoff.day), excluded, note)


def _in_both_holdouts(holdout: "pl.DataFrame", champion: SplitRef) -> Unseen:
    import numpy as np
    import polars as pl

    from ml_platform.features.parts import place

    free = np.ones(holdout.height, dtype=bool)
    for entry in champion.train:
        part = entry.part
        # Trained on a whole partition, from before the data was divided by groups: it may know every row.
        free &= place(holdout, part.by, part.salt) < part.share if part else False
    frame = holdout.filter(pl.Series(free))
    excluded = holdout.height - frame.height
    if not excluded:
        note = "Neither model was trained on a group of the holdout."
    else:
        note = (
            f"The champion was trained on the groups of {excluded:,} rows of the holdout, which are left out; "
            f"{frame.height:,} remain."
        )
    return Unseen(frame, None, excluded, note)
