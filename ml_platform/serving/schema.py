"""The request of a service: which columns a row has, and the strict models that check it.

Imported inside the packaged service too, so it needs pydantic only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Len
from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field, create_model

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving.bounds import bounds_of, described, within
from ml_platform.serving.prediction_log import OWN

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.contract import FeatureFunction

Kind = Literal["int", "float", "str", "date", "datetime", "bool"]

FLOAT32_MAX = 3.4028234663852886e38
#: Most rows of ``predict``, and of ``predict_columns``.
MAX_ROWS = 1_000
MAX_COLUMN_ROWS = 100_000
#: What is said of a type that JSON has not.
UNCARRIED = "which a request cannot carry"
#: Longest text of one value, characters.
MAX_TEXT = 1_000

#: polars type → kind of JSON value. Text is compared as text, so categories are text too.
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"), "int"),
    **dict.fromkeys(("Float32", "Float64"), "float"),
    "String": "str",
    "Date": "date",
    "Datetime": "datetime",
    "Boolean": "bool",
}

#: How bodies are checked: other fields forbidden, no coercion, NaN or infinity, nothing of the input in messages.
STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class RequestField(BaseModel):
    """One column of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: Kind
    #: Name of the polars type that the feature function gets, e.g. ``Int64``.
    dtype: str
    nullable: bool = False
    #: The only accepted values; None accepts any.
    allowed: tuple[str, ...] | tuple[int, ...] | None = None
    #: Bounds of a number, as the schema's checks have them: a value beyond is one that no batch may have either.
    ge: int | float | None = None
    gt: int | float | None = None
    le: int | float | None = None
    lt: int | float | None = None
    #: Personal data: never written to the prediction log.
    pii: bool = False
    #: Column with the timestamp whose day this is, or nothing where nobody who asks can know it: then it is missing.
    #: Neither is asked for. None: it is part of a request.
    made_from: str | None = None
    #: What the schema says of it, for the service's documentation.
    description: str = ""


class RequestSchema(BaseModel):
    """The columns of a request, in the order of the feature function's ``inputs``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[RequestField, ...]  # type: ignore[assignment]
    #: Column with the day of the event; empty for data without time.
    time: str
    #: Columns that identify a row.
    key: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def asked(self) -> tuple[RequestField, ...]:
        """The columns that a request has: those that are not made here."""
        return tuple(field for field in self.fields if field.made_from is None)

    @cached_property
    def types(self) -> "dict[str, Any]":
        """The polars type of each column."""
        return {field.name: _type(field.dtype) for field in self.fields}


def _dtype_name(dtype: object) -> str:
    """``Int64`` from ``pl.Int64``, from an instance, or from its text; with a time zone ``Datetime@Europe/Berlin``."""
    text = str(dtype)
    name = text.partition("(")[0]
    if zone := re.search(r"time_zone='([^']+)'", text):
        return f"{name}@{zone[1]}"
    return "String" if name in {"Categorical", "Enum", "Utf8"} else name


def _type(name: str) -> Any:
    """The polars type of such a name."""
    import polars as pl

    plain, _, zone = name.partition("@")
    return pl.Datetime("us", zone or None) if plain == "Datetime" else getattr(pl, plain)


def request_schema(function: "FeatureFunction", schema: Any, added: Mapping[str, str] | None = None) -> RequestSchema:
    """The request of a feature function, typed by the pandera schema of its raw columns.

    ``added`` are columns that the source adds: the day of a timestamp (its column), or the identity of a row ("").
    A service makes the first where the timestamp is an input too, and does without the second.

    ``schema`` is a pandera ``DataFrameSchema`` or ``DataFrameModel``, or a mapping of column name to
    an object with ``dtype``, ``nullable`` and optionally ``checks`` and ``metadata`` (``{"pii": True}``).
    Blocking ``isin`` checks become the allowed values, those on a number's range its bounds. Raises
    :class:`PlatformError` for an input without a column in the schema or with a type that JSON cannot carry.
    """
    columns: Mapping[str, Any]
    made = schema.to_schema() if hasattr(schema, "to_schema") else schema
    columns = schema if isinstance(schema, Mapping) else made.columns
    fields = []
    for name in function.inputs:
        if name not in columns:
            raise PlatformError(f"input {name!r} of the feature function is not in the schema; add the column there")
        column = columns[name]
        dtype = _dtype_name(getattr(column.dtype, "type", column.dtype))
        if (plain := dtype.partition("@")[0]) not in KINDS:
            raise PlatformError(f"input {name!r} is {dtype}, {UNCARRIED}; use one of {', '.join(KINDS)}")
        metadata = getattr(column, "metadata", None) or {}
        fields.append(
            RequestField(
                name=name,
                type=KINDS[plain],
                dtype=dtype,
                nullable=bool(column.nullable),
                allowed=_allowed(getattr(column, "checks", None) or (), KINDS[plain]),
                **(bounds_of(column) if KINDS[plain] in ("int", "float") else {}),
                pii=bool(metadata.get("pii")),
                made_from=_made_from(name, function.inputs, added or {}),
                description=described(column),
            )
        )
    taken = sorted(OWN & set(function.inputs))
    if taken:
        raise PlatformError(f"inputs {taken} have names of the prediction log's own columns; rename them in the source")
    if odd := [name for name in function.inputs if unservable(name)]:
        raise PlatformError(f"inputs {odd} have names that a request cannot carry; rename them in the source")
    identity = (*((function.time,) if function.time else ()), *function.key)
    missing = [name for name in identity if name not in function.inputs]
    if missing:
        raise PlatformError(f"feature function: time and key columns {missing} are not among its inputs; add them")
    return RequestSchema(fields=tuple(fields), time=function.time, key=tuple(function.key))


def _made_from(name: str, inputs: Sequence[str], added: Mapping[str, str]) -> str | None:
    of = added.get(name)
    return of if of is not None and (not of or of in inputs) else None


def unservable(name: str) -> bool:
    """Whether a request cannot carry a column of this name: pydantic or the prediction log keep it for themselves."""
    kept = name.startswith("_") or (name.startswith("model_") and hasattr(BaseModel, name))
    return kept or name in OWN


def _allowed(checks: Iterable[Any], kind: Kind) -> tuple[Any, ...] | None:
    for check in checks:
        values = (getattr(check, "statistics", None) or {}).get("allowed_values")
        if values is not None and kind in {"int", "str"} and not getattr(check, "raise_warning", False):
            return tuple(sorted(values))
    return None


def limits_of(field: RequestField) -> tuple[int, int]:
    """The least and the greatest value of a column of whole numbers."""
    bits = int(field.dtype.lstrip("UInt"))
    return (0, 2**bits - 1) if field.dtype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _annotation(field: RequestField) -> Any:
    """Type of one value. Float64 columns too are held to the float32 range: the matrix is float32."""
    kind: Any
    if field.allowed is not None:
        kind = Literal[tuple(field.allowed)]
    elif field.type in ("int", "float"):
        low, high = (-FLOAT32_MAX, FLOAT32_MAX) if field.type == "float" else limits_of(field)
        kind = Annotated[
            float if field.type == "float" else int,
            Field(
                ge=low if field.ge is None else max(low, field.ge),
                le=high if field.le is None else min(high, field.le),
                gt=field.gt,
                lt=field.lt,
            ),
        ]
    elif field.type == "str":
        kind = Annotated[str, Field(max_length=MAX_TEXT)]
    else:
        # A column without a time zone is in UTC; of a time without one nobody knows when it is in another zone.
        moment = AwareDatetime if "@" in field.dtype else datetime
        kind = {"date": date, "datetime": moment, "bool": bool}[field.type]
    return kind | None if field.nullable else kind


def _documented(field: RequestField) -> Any:
    """A required field, with what the schema says of it."""
    return Field(description=field.description or None)


def row_model(schema: RequestSchema, config: ConfigDict = STRICT) -> type[BaseModel]:
    """Pydantic model of one row: every field required, the rest as ``config`` says."""
    fields: dict[str, Any] = {field.name: (_annotation(field), _documented(field)) for field in schema.asked}
    return create_model("Row", __config__=config, **fields)


def rows_model(schema: RequestSchema, config: ConfigDict = STRICT) -> type[BaseModel]:
    """Model of the body ``{"rows": [{…}, …]}`` with 1 to 1,000 rows; stops at the first bad one."""
    rows: Any = Annotated[list[row_model(schema, config)], Len(1, MAX_ROWS), FailFast()]  # type: ignore[misc]
    return create_model("Rows", __config__=config, rows=(rows, ...))


def columns_model(schema: RequestSchema, config: ConfigDict = STRICT) -> type[BaseModel]:
    """Model of the body ``{"columns": {name: […], …}}`` with equally long columns, for batches."""
    fields: dict[str, Any] = {
        field.name: (
            Annotated[list[_annotation(field)], Len(1, MAX_COLUMN_ROWS), FailFast()],  # type: ignore[misc]
            _documented(field),
        )
        for field in schema.asked
    }
    columns: Any = create_model("Columns", __config__=config, **fields)
    return create_model("ColumnsBody", __config__=config, columns=(columns, ...))


def to_frame(schema: RequestSchema, columns: Mapping[str, list[Any]]) -> "pl.DataFrame":
    """Raw frame of validated columns, with the types that training saw.

    Raises :class:`PlatformError` when the columns are not equally long.
    """
    import polars as pl

    if len({len(values) for values in columns.values()}) > 1:
        raise PlatformError("columns: the lists are not equally long; send one value per row in each")
    types = schema.types
    # A series of times with offsets is in UTC, whatever type was asked for.
    made = [pl.Series(name, columns[name], dtype=types[name]).cast(types[name]) for name in columns]
    return complete(schema, pl.DataFrame(made))


def rows_to_frame(schema: RequestSchema, rows: Sequence[BaseModel]) -> "pl.DataFrame":
    """Raw frame of validated rows, as :func:`to_frame`; for one row in a quarter of its time."""
    return values_to_frame(schema, [row.__dict__ for row in rows])


def values_to_frame(schema: RequestSchema, rows: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    """Raw frame of the values of validated rows."""
    import polars as pl

    types = schema.types
    if len(schema.asked) < len(types):
        types = {field.name: types[field.name] for field in schema.asked}
    return complete(schema, pl.from_dicts(rows, schema=types))


def example_rows(schema: RequestSchema, example: Mapping[str, Any], most: int = 200) -> list[dict[str, Any]]:
    """A row of validated values, and others that differ from it in one value each, and then in many."""
    from itertools import cycle, islice

    plain: dict[Kind, tuple[Any, ...]] = {
        "int": (0, 1, 7, 59, 1234), "float": (0.0, -0.5, 1e-30, 98.6), "str": ("", "N1", "é"),
        "date": (date(2012, 2, 29), date(2023, 12, 31)), "bool": (True, False),
    }  # fmt: skip
    others = {
        field.name: [*(field.allowed or plain.get(field.type, ()))[:5], *([None] if field.nullable else [])]
        for field in schema.asked
    }
    single = [{**example, name: value} for name, values in others.items() for value in values]
    turns = {name: cycle(values or [example[name]]) for name, values in others.items()}
    many = [{name: next(values) for name, values in turns.items()} for _ in range(24)]
    return [dict(example), *islice([*many, *single], most - 1)]


def complete(schema: RequestSchema, asked: "pl.DataFrame") -> "pl.DataFrame":
    """The columns of a request with those that none has, in the order of the inputs."""
    if len(schema.asked) == len(schema.fields):
        return asked
    import polars as pl

    made = [
        (pl.col(field.made_from).dt.date() if field.made_from else pl.lit(None, schema.types[field.name])).alias(
            field.name
        )
        for field in schema.fields
        if field.made_from is not None
    ]
    return asked.with_columns(made).select(schema.names)


def to_rows(schema: RequestSchema, frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """JSON-ready rows of a raw frame: the request's columns only, days as ISO text."""
    dates = {field.name for field in schema.fields if field.type in {"date", "datetime"}}
    return [
        {name: value.isoformat() if name in dates and value is not None else value for name, value in row.items()}
        for row in frame.select(field.name for field in schema.asked).iter_rows(named=True)
    ]


def example_row(schema: RequestSchema, day: date) -> dict[str, Any]:
    """A valid row made from the schema alone: nulls where allowed, else the plainest value, on ``day``."""
    plain: dict[str, Any] = {"int": 1, "float": 1.0, "str": "", "date": day.isoformat(), "bool": False}
    plain["datetime"] = f"{day.isoformat()}T00:00:00"
    # At noon in UTC it is this day nearly everywhere.
    zoned = f"{day.isoformat()}T12:00:00Z"
    return {
        field.name: None
        if field.nullable and field.name != schema.time
        else (field.allowed[0] if field.allowed else zoned if "@" in field.dtype else within(field, plain[field.type]))
        for field in schema.asked
    }
