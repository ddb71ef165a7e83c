"""Declarations of the user with one thing exchanged: where batches come from, or what the feature function does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.features.contract import FeatureFunction, HistoricalMean

if TYPE_CHECKING:
    import polars as pl


class GivenSource:
    """Serves frames from memory."""

    def __init__(self, frames: "dict[str, pl.DataFrame]") -> None:
        self.frames = frames

    def partitions(self) -> dict[str, str]:
        """Partition to a fingerprint that nobody compares."""
        return dict.fromkeys(self.frames, "")

    def read(self, partition: str) -> "pl.DataFrame":
        """The frame of a partition."""
        return self.frames[partition]


class GivenDataset(DatasetSpec):
    """A declared dataset whose batches are given; key, schema and gates are those declared."""

    _frames: "dict[str, pl.DataFrame]" = PrivateAttr(default_factory=dict)

    def load_source(self) -> Any:
        """The given batches."""
        return GivenSource(self._frames)


class ChangedFeatures(FeatureSpec):
    """A declared feature set with a changed function; lag and gates are those declared."""

    _change: "Callable[[FeatureFunction], FeatureFunction]" = PrivateAttr()
    _name: str = PrivateAttr()

    def load_function(self) -> FeatureFunction:
        """The changed function."""
        return self._change(super().load_function())

    def code_version(self) -> str:
        """Changed code has a version of its own, so that no features are adopted that the sound code made."""
        return f"{super().code_version()} {self._name}"


def given(spec: DatasetSpec, frames: "dict[str, pl.DataFrame]") -> GivenDataset:
    """``spec`` with the batches ``frames``."""
    made = GivenDataset.model_construct(**_fields(spec))
    made._frames = frames
    return made


def changed(spec: FeatureSpec, change: "Callable[[FeatureFunction], FeatureFunction]", name: str) -> ChangedFeatures:
    """``spec`` with its function changed; ``name`` tells changes from each other."""
    made = ChangedFeatures.model_construct(**_fields(spec))
    made._change, made._name = change, name
    return made


def _fields(spec: DatasetSpec | FeatureSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in type(spec).model_fields}


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
