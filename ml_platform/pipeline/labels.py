"""What came of predicted rows: their labels, from what is published, found by the key of a row or by its hash.

Outcomes are data: they are in the published partitions of a dataset, judged by its gates, come later, in part, and come
again corrected. A label is what is published now. By default that dataset is the one that the model is trained on.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.features import calls
from ml_platform.features.build import rows_of
from ml_platform.models.task import Task
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.serving.hashed_keys import hashed, secret_of
from ml_platform.serving.prediction_log import KEY_HASH

if TYPE_CHECKING:
    import polars as pl

#: Column of a label, and what begins those of slices: a key may have a column of the same name.
LABEL, SLICE = "(label)", "slice "
#: Frames of partitions that are kept while predictions are joined with them.
KEPT = 3


class Labels:
    """The labels of one model's rows."""

    def __init__(self, workspace: Workspace, context: ModelContext, task: Task, slices: Sequence[str]) -> None:
        self.workspace, self.context, self.task, self.slices = workspace, context, task, tuple(slices)
        self.dataset = context.outcomes
        self.published = {name: info.sha256 for name, info in published_batches(workspace, self.dataset.name).items()}
        self._frames: dict[tuple[str, str], pl.DataFrame] = {}

    @property
    def by(self) -> tuple[str, ...]:
        """Columns by which a prediction finds its row: the key, where that is personal its hash, or the request."""
        if self.dataset.by_request:
            return self.dataset.key
        key = self.context.function.key
        return (KEY_HASH,) if set(key) & self.context.dataset.private() else tuple(key)

    def contents(self, first: date, last: date) -> dict[str, str]:
        """Published partitions that hold events from one day to another, with their content.

        Of a dataset of its own also those until `split.label_delay` later, in which what came of them may be told.
        """
        partitions = self.dataset.partitions
        if self.context.labels is not None:
            last += timedelta(days=self.context.model.split.label_delay)
        if not partitions.timed:
            return dict(sorted(self.published.items()))
        # Days are those of the column's zone: an hour may belong to the day before or after it in UTC.
        beyond = timedelta(days=1 if partitions.hourly else 0)
        found: dict[str, str] = {}
        for name, sha256 in sorted(self.published.items()):
            begin, end = (date(one.year, one.month, one.day) for one in partitions.window(name))
            if begin <= last + beyond and end > first - beyond:
                found[name] = sha256
        return found

    def frame(self, contents: Mapping[str, str]) -> "pl.DataFrame":
        """Rows of these contents whose label is known: the columns of :attr:`by`, ``label``, and the slices."""
        import polars as pl

        frames = [self._of(name, sha256) for name, sha256 in contents.items()]
        # A key that came again in a later partition is what is known last.
        return pl.concat(frames).unique(self.by, keep="last", maintain_order=True)

    def _of(self, partition: str, sha256: str) -> "pl.DataFrame":
        if (partition, sha256) not in self._frames:
            while len(self._frames) >= KEPT:
                del self._frames[next(iter(self._frames))]
            self._frames[partition, sha256] = self._read(partition, sha256)
        return self._frames[partition, sha256]

    def _read(self, partition: str, sha256: str) -> "pl.DataFrame":
        import polars as pl

        function, target = self.context.function, self.context.model.target
        raw = batches.read_batch(self.workspace.store, self.dataset.name, partition, sha256)
        if self.context.labels is not None:
            # Its rows are told by people or another system, and are no rows of the feature function.
            rows = raw.select(pl.lit(None, pl.String).alias(f"{SLICE}{name}") for name in self.slices)
            given = raw.select(pl.col(target).alias(LABEL))
        else:
            rows = rows_of(function, raw).select(slices_of(self.slices))
            given = calls.targets(function, raw).select(pl.col(target).alias(LABEL))
        key = raw.select(self.dataset.key if self.dataset.by_request else function.key)
        if self.by == (KEY_HASH,):
            settings = self.workspace.settings
            secret = secret_of(settings.local, settings.hash_key)
            key = hashed(raw, function.key, secret).alias(KEY_HASH).to_frame()
        known, y = self.task.labels(pl.concat([key, rows, given], how="horizontal"), LABEL)
        return known.with_columns(pl.Series(LABEL, y, dtype=pl.Float64))


def slices_of(names: Sequence[str]) -> "list[pl.Expr]":
    """The slices of rows of a feature function, as text under names of their own."""
    import polars as pl

    return [pl.col(name).cast(pl.String).alias(f"{SLICE}{name}") for name in names]
