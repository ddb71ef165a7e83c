"""A user's project with one thing exchanged: the source, the feature function, or what the registry says."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_platform.features.contract import FeatureFunction, HistoricalMean
from ml_platform.references.refs import ModelRef, VersionRef

if TYPE_CHECKING:
    import polars as pl


class FrameSource:
    """Serves frames from memory."""

    def __init__(self, frames: "dict[str, pl.DataFrame]") -> None:
        self.frames = frames

    def partitions(self) -> dict[str, str]:
        """Partition to a fingerprint that nobody compares."""
        return dict.fromkeys(self.frames, "")

    def read(self, partition: str) -> "pl.DataFrame":
        """The frame of a partition."""
        return self.frames[partition]


class ChangedFunction:
    """A feature function with a further or another row-wise feature.

    ``rows`` gets the raw rows and what the original function makes of them.
    """

    def __init__(
        self,
        original: FeatureFunction,
        rows: "Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]",
        inputs: tuple[str, ...] = (),
        columns: tuple[str, ...] = (),
    ) -> None:
        self.original, self._rows = original, rows
        self.inputs: tuple[str, ...] = (*original.inputs, *(name for name in inputs if name not in original.inputs))
        self.columns: tuple[str, ...] = (*original.columns, *columns)
        self.time: str = original.time
        self.key: tuple[str, ...] = tuple(original.key)
        self.histories: tuple[HistoricalMean, ...] = tuple(original.histories)
        self.labels: tuple[str, ...] = tuple(original.labels)
        self.slices: tuple[str, ...] = tuple(original.slices)

    def rows(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """The original's rows, changed."""
        return self._rows(raw, self.original.rows(raw))

    def outcomes(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """As the original."""
        return self.original.outcomes(raw)

    def targets(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """As the original."""
        return self.original.targets(raw)


class OneChampion:
    """A registry in which a model has one version, the champion, or none."""

    def __init__(self, champion: ModelRef | None) -> None:
        self.reference = champion

    def champion(self, model: str) -> VersionRef | None:
        """The champion."""
        if self.reference is None:
            return None
        one = self.reference
        return VersionRef(
            run_id=one.run_id,
            provenance=one.provenance,
            model=model,
            version=1,
            sha256=one.sha256,
            mlflow_run_id=one.mlflow_run_id,
            approval="approved",
            ledger_head="",
            model_ref=one,
        )

    def previous(self, _: str) -> None:
        """There was none before."""
