"""Rows made from a schema alone: plain values that its rules for single columns allow."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

#: Rows that are made at least; more where a column may have more values, up to the most.
FEWEST, MOST = 8, 1_000
DAY = date(2024, 1, 1)


def made_up(schema: "type[pa.DataFrameModel]") -> "pl.DataFrame":
    """Rows in which every value that a rule ``isin`` names occurs; numbers are in their range.

    Nothing is missing. Texts may break a pattern, and rules across columns are not looked at. A column of a type of
    which no value can be made is null.
    """
    import polars as pl

    columns = schema.to_schema().columns
    allowed = {name: allowed_values(column) for name, column in columns.items()}
    rows = min(MOST, max([FEWEST, *(len(values) for values in allowed.values() if values)]))
    made = {}
    for name, column in columns.items():
        dtype = column.dtype.type if column.dtype is not None else pl.String()
        values = allowed[name] or _plain(dtype, _limits(column.checks or ()))
        series = pl.Series(str(name), [values[row % len(values)] for row in range(rows)], strict=False)
        try:
            made[str(name)] = series.cast(dtype)
        except pl.exceptions.PolarsError:
            made[str(name)] = pl.Series(str(name), [None] * rows, dtype)
    return pl.DataFrame(list(made.values()))


def allowed_values(column: Any) -> list[Any]:
    """The values that a rule ``isin`` of a column of a schema names; empty where there is none."""
    for check in column.checks or ():
        if values := (getattr(check, "statistics", None) or {}).get("allowed_values"):
            return list(values)
    return []


def _limits(checks: Iterable[Any]) -> tuple[float | None, float | None]:
    """Smallest and largest value by the rules ``ge``, ``gt``, ``le``, ``lt``, ``in_range`` and ``eq``."""
    low, high = None, None
    for check in checks:
        known: Mapping[str, Any] = getattr(check, "statistics", None) or {}
        if str(getattr(check, "name", "")).startswith("str_"):
            continue
        for value in (known.get("min_value"), known.get("value")):
            low = value if isinstance(value, int | float) else low
        for value in (known.get("max_value"), known.get("value")):
            high = value if isinstance(value, int | float) else high
    return low, high


def _plain(dtype: Any, limits: tuple[float | None, float | None]) -> list[Any]:
    import polars as pl

    low, high = limits
    if dtype == pl.Boolean:
        return [False, True]
    if dtype.is_numeric():
        first = low if low is not None else 0 if high is None else high - 1
        last = high if high is not None else first + 1
        # The middle is inside whether the ends belong to the range or not.
        middle = (first + last) / 2
        return [middle] if dtype.is_float() else [int(middle), min(int(middle) + 1, int(last))]
    if dtype == pl.Date:
        return [DAY]
    if isinstance(dtype, pl.Datetime) or dtype == pl.Datetime:
        return [datetime(DAY.year, DAY.month, DAY.day, 12)]
    if isinstance(dtype, pl.Enum):
        return dtype.categories.to_list() or [None]
    return ["a", "b"] if dtype in (pl.String, pl.Categorical) else [None]
