"""From raw rows to features: the one path that training, evaluation and serving share."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.history import History
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@lru_cache(maxsize=32)
def _float32(columns: tuple[str, ...]) -> "list[pl.Expr]":
    import polars as pl

    return [pl.col(column).cast(pl.Float32) for column in columns]


def _rows(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.DataFrame":
    """``function.rows(raw)``, checked against the contract."""
    rows = function.rows(raw)
    if rows.height != raw.height:
        raise PlatformError(f"rows() returned {rows.height} rows for {raw.height}: it must keep every row, in order")
    there = set(rows.columns)
    lacking = [c for c in (*function.columns, *function.slices) if c not in there]
    if lacking:
        raise PlatformError(f"rows() lacks the declared columns {lacking}; add them or take them off the declaration")
    return rows


def _same_height(name: str, frame: "pl.DataFrame", raw: "pl.DataFrame") -> "pl.DataFrame":
    if frame.height != raw.height:
        raise PlatformError(f"{name}() returned {frame.height} rows for {raw.height}: it must keep every row, in order")
    return frame


def build(function: FeatureFunction, raw: "pl.DataFrame", history: History) -> "pl.DataFrame":
    """Features of a batch, in the order of ``raw``.

    Columns: key, time, slices, then the features (Float32, in the order of
    :func:`~ml_platform.features.contract.feature_names`), then the labels. Missing features are null. Raises
    :class:`PlatformError` where the function breaks its contract.
    """
    import polars as pl

    lacking = [c for c in function.inputs if c not in raw.columns]
    if lacking:
        raise PlatformError(f"the raw rows lack the input columns {lacking}")
    rows = _rows(function, raw)
    targets = _same_height("targets", function.targets(raw), raw)
    lacking = [label for label in function.labels if label not in targets.columns]
    if lacking:
        raise PlatformError(f"targets() lacks the labels {lacking}; add them or take them off the declaration")
    first = list(dict.fromkeys((*function.key, function.time)))
    slices = [c for c in function.slices if c not in first and c not in feature_names(function)]
    return pl.concat(
        [
            raw.select(first),
            rows.select(slices),
            rows.select(_float32(function.columns)),
            history.features(rows, raw[function.time]),
            targets.select(function.labels),
        ],
        how="horizontal",
    )


def matrix(function_or_names: FeatureFunction | Sequence[str], frame: "pl.DataFrame") -> "np.ndarray":
    """The feature columns of a built frame as float32, C order, shape (rows, features); missing is NaN."""
    import numpy as np

    names = function_or_names if isinstance(function_or_names, Sequence) else feature_names(function_or_names)
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise PlatformError(f"the feature frame lacks {lacking}; rebuild the features of this partition")
    return np.ascontiguousarray(frame.select(_float32(tuple(names))).to_numpy(), dtype=np.float32)


def featurize(function: FeatureFunction, raw_inputs: "pl.DataFrame", history: History) -> "np.ndarray":
    """Features for serving: :func:`matrix` of :func:`build`, bit for bit, from the ``inputs`` columns alone.

    Other columns are dropped first, so that a function which reads an outcome fails here instead of drifting.
    """
    import numpy as np

    there = set(raw_inputs.columns)
    lacking = [c for c in function.inputs if c not in there]
    if lacking:
        raise PlatformError(f"the request lacks the columns {lacking}")
    inputs = raw_inputs.select(function.inputs)
    rows = _rows(function, inputs)
    result = np.empty((rows.height, len(function.columns) + len(function.histories)), dtype=np.float32)
    result[:, : len(function.columns)] = rows.select(_float32(function.columns)).to_numpy()
    result[:, len(function.columns) :] = history.matrix(rows, inputs[function.time])
    return result
