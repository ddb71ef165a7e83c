"""What cannot work in a schema by itself: it is mended in the file where it stands, column by column."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.places import in_schema
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import listed
from ml_platform.foundation.objects import load_object

#: How pandera's checks of ranges and values are written as keys of a field.
_KEYS = {
    "greater_than_or_equal_to": ("ge",),
    "greater_than": ("gt",),
    "less_than_or_equal_to": ("le",),
    "less_than": ("lt",),
    "in_range": ("in_range",),
    "isin": ("isin",),
    "notin": ("notin",),
}


class BrokenSchema(DeclarationError):
    """A schema that cannot be used; ``reason`` knows its place in the code."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"schema: {reason}")
        self.reason = reason


def schema_columns(spec: DatasetSpec) -> list[str]:
    """The columns of a dataset's schema. Raises DeclarationError where its module or class is not there, BrokenSchema
    where it cannot be used."""
    from ml_platform.validation.schema import columns

    if first := next(broken_schema(spec), ""):
        raise BrokenSchema(first)
    return [column.name for column in columns(spec.load_schema())]


def broken_schema(spec: DatasetSpec) -> Iterator[str]:
    """A reason for each thing that cannot work in a dataset's schema, with its place. Raises DeclarationError where its
    module or class is not there."""
    from ml_platform.validation.schema import columns

    schema = load_object(spec.schema_, "schema")

    def placed(reason: str) -> str:
        return in_schema(spec.schema_, reason)

    try:
        columns(spec.load_schema())
    except DeclarationError as error:
        name = _culprit(schema) if hasattr(schema, "to_schema") else ""
        yield placed(f"{f'column {name!r}: ' if name else ''}{str(error).removeprefix('schema: ')}")
        return
    for name, column in schema.to_schema().columns.items():
        yield from map(placed, _impossible(str(name), column))


def _culprit(schema: Any) -> str:
    """The column whose declaration makes no schema by itself; empty where each does."""
    from pandera.polars import DataFrameModel

    about = {"__module__": schema.__module__}
    for name, kind in vars(schema).get("__annotations__", {}).items():
        given = {name: vars(schema)[name]} if name in vars(schema) else {}
        try:
            type(schema.__name__, (DataFrameModel,), {"__annotations__": {name: kind}, **given, **about}).to_schema()
        except Exception:
            return name
    return ""


def _impossible(name: str, column: Any) -> Iterator[str]:
    """Bounds and values that no value of the column's type can have."""
    from ml_platform.serving.bounds import bounds_of

    kind = _kind_of(column)
    for check in column.checks:
        told = getattr(check, "statistics", None) or {}
        keys = _KEYS.get(str(getattr(check, "name", "")), ())
        values = [told.get("min_value"), told.get("max_value")]
        values += [*(told.get("allowed_values") or ()), *(told.get("forbidden_values") or ())]
        odd = next((one for one in values if one is not None and kind and not isinstance(one, _TYPES[kind])), None)
        if keys and odd is not None:
            way = f"give it one, or the column another type; {kind} are {listed(_WRITTEN[kind])}"
            yield f"column {name!r}: {keys[0]} has {odd!r}, which is none of the {kind} that it holds; {way}"
            return
    bounds = bounds_of(column)
    low = max((bounds[side] for side in ("ge", "gt") if side in bounds), default=None)
    high = min((bounds[side] for side in ("le", "lt") if side in bounds), default=None)
    equal = low is not None and low == high and ("gt" in bounds or "lt" in bounds)
    if low is not None and high is not None and (low > high or equal):
        told = " and ".join(f"{side} {bounds[side]}" for side in bounds)
        yield f"column {name!r}: no value is {told}; correct a bound"


#: What values of a kind of column are in Python, and how they are written.
_TYPES: dict[str, tuple[type, ...]] = {"numbers": (int, float), "texts": (str,), "dates": (date,)}
_WRITTEN = {"numbers": ("7", "1.5"), "texts": ('"red"',), "dates": ("date(2024, 1, 31)",)}


def _kind_of(column: Any) -> str:
    """Of which kind the values of a column are; empty for one that bounds are not looked at of."""
    import polars as pl

    dtype = getattr(column.dtype, "type", None)
    if dtype is None:
        return ""
    if dtype.is_numeric() and not dtype.is_decimal():
        return "numbers"
    if dtype.is_temporal():
        return "dates" if dtype == pl.Date or isinstance(dtype, pl.Datetime) or dtype == pl.Datetime else ""
    return "texts" if dtype == pl.String else ""
