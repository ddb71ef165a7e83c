"""From raw rows to features: the one path that training, evaluation and serving share."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ml_platform.features import calls
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.daily import check_days
from ml_platform.features.history import History
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant
from ml_platform.foundation.times import days as day_of_each

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def days_of(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.Series | None":
    """The day of each row, in the time zone of its column; None for data without time.

    Raises PlatformError where the column holds no times, or a row has none.
    """
    if not function.time:
        return None
    check_days(raw[function.time])
    return day_of_each(raw[function.time])


@lru_cache(maxsize=32)
def _float32(columns: tuple[str, ...]) -> "list[pl.Expr]":
    import polars as pl

    return [pl.col(column).cast(pl.Float32) for column in columns]


def rows_of(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.DataFrame":
    """``function.rows(raw)``, checked against the contract. Raises PlatformError where it is broken."""
    rows = calls.rows(function, raw)
    if rows.height != raw.height:
        raise PlatformError(f"rows() returned {rows.height} rows for {raw.height}: it must keep every row, in order")
    for mistake in lacking_columns(function, rows):
        raise PlatformError(mistake)
    return rows


def lacking_columns(function: FeatureFunction, rows: "pl.DataFrame") -> Iterator[str]:
    """What is declared and not in what the function made of the rows, in one line with what there is."""
    there = set(rows.columns)
    if lacking := [name for name in (*function.columns, *function.slices) if name not in there]:
        near = meant(lacking[0], rows.columns)
        yield f"rows() lacks the declared columns {lacking}; add them or take them off the declaration{near}"


def _same_height(name: str, frame: "pl.DataFrame", raw: "pl.DataFrame") -> "pl.DataFrame":
    if frame.height != raw.height:
        raise PlatformError(f"{name}() returned {frame.height} rows for {raw.height}: it must keep every row, in order")
    return frame


def build(
    function: FeatureFunction, raw: "pl.DataFrame", history: History, rows: "pl.DataFrame | None" = None
) -> "pl.DataFrame":
    """Features of a batch, in the order of ``raw``.

    Columns: key, time, slices, then the features (Float32, in the order of
    :func:`~ml_platform.features.contract.feature_names`), then the labels. Missing features are null. ``rows`` are
    those of :func:`rows_of`, where they are made already. Raises :class:`PlatformError` where the function breaks its
    contract.
    """
    import polars as pl

    lacking = [c for c in function.inputs if c not in raw.columns]
    if lacking:
        raise PlatformError(f"the raw rows lack the input columns {lacking}")
    rows = rows_of(function, raw) if rows is None else rows
    targets = _same_height("targets", calls.targets(function, raw), raw)
    lacking = [label for label in function.labels if label not in targets.columns]
    if lacking:
        raise PlatformError(f"targets() lacks the labels {lacking}; add them or take them off the declaration")
    first = list(dict.fromkeys((*function.key, *((function.time,) if function.time else ()))))
    slices = [c for c in function.slices if c not in first and c not in feature_names(function)]
    return pl.concat(
        [
            raw.select(first),
            rows.select(slices),
            rows.select(_float32(function.columns)),
            history.features(rows, days_of(function, raw)),
            targets.select(function.labels),
        ],
        how="horizontal",
    )


def matrix(frame: "pl.DataFrame", names: Sequence[str], *, finite: bool = True) -> "np.ndarray":
    """The features of a built frame as a C-ordered float32 array (rows x names); a null becomes NaN.

    Raises PlatformError for a missing column, a column that is not numeric, and, unless ``finite`` is False (for
    evidence about features that are not judged yet), for an infinite value.
    """
    import numpy as np
    import polars as pl

    # Asked once: a frame makes it anew each time, which takes longer the wider it is.
    types = frame.schema
    if missing := [name for name in names if name not in types]:
        raise PlatformError(f"features {', '.join(missing)} are not in the frame; materialize the features again")
    for name in names:
        if not (types[name].is_numeric() or types[name] == pl.Boolean):
            raise PlatformError(f"feature {name} is {types[name]}, not numeric; encode it in the feature function")
    values = frame.select(_float32(tuple(names))).to_numpy(order="c")
    if finite and (infinite := [names[int(i)] for i in np.flatnonzero(np.isinf(values).any(axis=0))]):
        raise PlatformError(
            f"features {', '.join(infinite)} hold infinite values; make them null in the feature function"
        )
    return values


def featurize(function: FeatureFunction, raw_inputs: "pl.DataFrame", history: History) -> "np.ndarray":
    """Features for serving: :func:`matrix` of :func:`build`, bit for bit, from the ``inputs`` columns alone.

    Other columns are dropped first, so that a function which reads an outcome fails here instead of drifting.
    """
    import numpy as np

    there = raw_inputs.columns
    lacking = [c for c in function.inputs if c not in there]
    if lacking:
        raise PlatformError(f"the request lacks the columns {lacking}")
    # What a request brings is often nothing else; a selection costs as much as the rest of a single row.
    inputs = raw_inputs if there == list(function.inputs) else raw_inputs.select(function.inputs)
    rows = rows_of(function, inputs)
    days = days_of(function, inputs)
    if rows.height == 1 and (single := _row(function, rows, days, history)) is not None:
        return single
    result = np.empty((rows.height, len(function.columns) + len(function.histories)), dtype=np.float32)
    result[:, : len(function.columns)] = rows.select(_float32(function.columns)).to_numpy()
    result[:, len(function.columns) :] = history.matrix(rows, days)
    return result


#: Whole numbers up to here are exact as Float64, so that only one step of the way to Float32 rounds.
EXACT = 2**53


def _row(
    function: FeatureFunction, rows: "pl.DataFrame", days: "pl.Series | None", history: History
) -> "np.ndarray | None":
    """The features of one row from Python's numbers: each collection of polars would cost more than all of this.

    None for what polars converts by rules of its own (text, times, decimals, very large numbers).
    """
    day = days.item() if days is not None else None
    if type(day) is not date and (days is not None or function.histories):
        return None
    return numbers_of_row(function, dict(zip(rows.columns, rows.row(0), strict=True)), day, history)


def numbers_of_row(
    function: FeatureFunction, values: Mapping[str, Any], day: Any, history: History
) -> "np.ndarray | None":
    """The features of a row whose :func:`rows_of` has these values; None as :func:`_row`."""
    import numpy as np

    given = [values[name] for name in function.columns]
    for value in given:
        kind = type(value)
        if (
            kind is not float
            and value is not None
            and kind is not bool
            and not (kind is int and -EXACT <= value <= EXACT)
        ):
            return None
    past: Any = history.row(values, day) if isinstance(day, date) and function.histories else None
    if past is None and function.histories:
        return None
    result = np.empty((1, len(given) + len(function.histories)), dtype=np.float32)
    with np.errstate(over="ignore"):
        result[0, : len(given)] = np.array(given, dtype=np.float64)
    if past is not None:
        result[0, len(given) :] = past[0]
    return result


def bits(values: "np.ndarray") -> "np.ndarray":
    """Float32 values as bits, with one bit pattern for every NaN (missing is missing)."""
    import numpy as np

    return np.where(np.isnan(values), np.float32(np.nan).view(np.uint32), values.view(np.uint32))
