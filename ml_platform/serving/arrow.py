"""Batches in Arrow's format of streams: looked at before they are read, then held to what a request may have.

What is looked at: compressed buffers and dictionaries can make of a small body more memory than the machine has, so a
stream with either is refused by its headers alone.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import strange
from ml_platform.serving.bounds import beyond
from ml_platform.serving.refusals import MISSING, UNKNOWN, BadValue
from ml_platform.serving.schema import (
    FLOAT32_MAX,
    MAX_COLUMN_ROWS,
    MAX_TEXT,
    RequestField,
    RequestSchema,
    complete,
    limits_of,
)

if TYPE_CHECKING:
    import polars as pl

ARROW_TYPE = "application/vnd.apache.arrow.stream"
#: Begins each message, and what a message may be (``MessageHeader`` in Arrow's Message.fbs).
_MARK, _SCHEMA, _DICTIONARY, _BATCH = 0xFFFFFFFF, 1, 2, 3
#: Days since 1970 at which the years 1 and 10000 begin, and the parts of a day by their unit.
_FIRST, _LAST = -719_162, 2_932_897
#: What a column should be one of.
_A = {
    **{"int": "a column of whole numbers", "float": "a column of numbers", "str": "a column of texts"},
    **{"bool": "a column of true and false", "date": "a column of days", "datetime": "a column of times"},
}
_A_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


class NoStream(PlatformError):
    """The bytes are no stream of Arrow's format."""


def to_frame(schema: RequestSchema, body: bytes) -> "pl.DataFrame":
    """The raw frame of a stream with the columns of a request, with the types that training saw.

    Raises NoStream for bytes that are none, and PlatformError, in one line, for what a request must not have.
    """
    import polars as pl
    import pyarrow as pa

    rows = sum(_rows(body))
    if not 1 <= rows <= MAX_COLUMN_ROWS:
        raise PlatformError(f"a stream has 1 to {MAX_COLUMN_ROWS} rows")
    try:
        # Arrow's own reader: that of polars ends the process where a header lies.
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except Exception as error:
        raise NoStream("body is not an Arrow stream that can be read") from error
    if table.num_rows != rows:
        raise NoStream("body is not an Arrow stream that can be read")
    _require_columns(schema, table.column_names)
    if table.num_columns > len(schema.asked):
        asked = {field.name for field in schema.asked}
        unknown = next((name for name in table.column_names if name not in asked), table.column_names[0])
        raise PlatformError(f"columns: {UNKNOWN}{strange(unknown)}")
    # Nothing else is taken over: each type that a request has is one that polars reads as it is.
    plain = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    for column in table.schema:
        if not any(is_one(column.type) for is_one in (*plain, pa.types.is_null)):
            raise PlatformError(f"columns.{column.name}: Input should be a column of numbers, texts, days or times")
    try:
        found = pl.DataFrame(pl.from_arrow(table)).rechunk()
    except (Exception, pl.exceptions.PanicException) as error:
        raise NoStream("body is not an Arrow stream that can be read") from error
    return checked(schema, found)


def checked(schema: RequestSchema, found: "pl.DataFrame") -> "pl.DataFrame":
    """The raw frame of a table with the columns of a request, as the feature function gets it; others are left out.

    Raises PlatformError, in one line, for what a request must not have.
    """
    import polars as pl

    _require_columns(schema, found.columns)
    return complete(schema, pl.DataFrame([_checked(schema, field, found[field.name]) for field in schema.asked]))


def _require_columns(schema: RequestSchema, names: Sequence[str]) -> None:
    if missing := [field.name for field in schema.asked if field.name not in names]:
        raise PlatformError(f"columns.{missing[0]}: Field required")


def to_stream(columns: Mapping[str, Any], rows: int) -> bytes:
    """An answer as a stream: its fields that have a value for each row. Raises PlatformError where another has one."""
    import polars as pl

    given = {name: values for name, values in columns.items() if values is not None}
    for name, values in given.items():
        if not isinstance(values, list) or len(values) != rows:
            raise PlatformError(f"the field {name} of an answer is not one value per row; ask in JSON")
    stream = BytesIO()
    # Types that every reader knows.
    pl.DataFrame(given).write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    return stream.getvalue()


def _rows(body: bytes) -> Iterator[int]:
    """Rows of each batch, as its header says. Raises NoStream, or PlatformError for what is not taken."""
    place, first = 0, True
    try:
        while place < len(body):
            mark, length = struct.unpack_from("<Ii", body, place)
            if mark != _MARK or length < 0:
                raise NoStream("body is not an Arrow stream")
            if length == 0:
                break
            message, place = _table(body, place + 8 + _unsigned(body, place + 8)), place + 8 + length
            kind = body[message(1)] if message(1) else 0
            if first != (kind == _SCHEMA):
                raise NoStream("body is not an Arrow stream: it has to begin with its one schema")
            first = False
            if kind == _DICTIONARY:
                raise PlatformError("a stream with dictionaries is not taken; send texts as they are")
            if kind == _BATCH:
                header = message(2)
                batch = _table(body, header + _unsigned(body, header))
                if batch(3):
                    raise PlatformError("a compressed stream is not taken; write it without compression")
                yield struct.unpack_from("<q", body, batch(0))[0] if batch(0) else 0
            size = struct.unpack_from("<q", body, message(3))[0] if message(3) else 0
            if size < 0:
                raise NoStream("body is not an Arrow stream")
            place += size
    except (struct.error, IndexError) as error:
        raise NoStream("body is not an Arrow stream") from error
    if first:
        raise NoStream("body is not an Arrow stream")


def _unsigned(body: bytes, place: int) -> int:
    return struct.unpack_from("<I", body, place)[0]


def _table(body: bytes, place: int) -> Callable[[int], int]:
    """Where each field of a FlatBuffers table lies, by its number; 0: it has its default."""
    fields = place - struct.unpack_from("<i", body, place)[0]
    if fields < 0:
        raise NoStream("body is not an Arrow stream")
    (size,) = struct.unpack_from("<H", body, fields)

    def at(number: int) -> int:
        offset = 4 + 2 * number
        if offset + 2 > size:
            return 0
        (found,) = struct.unpack_from("<H", body, fields + offset)
        return place + found if found else 0

    return at


def _checked(schema: RequestSchema, field: RequestField, values: "pl.Series") -> "pl.Series":
    """The column as the feature function gets it. Raises BadValue as the strict models of JSON would refuse."""
    import numpy as np
    import polars as pl

    refuse = partial(BadValue, field.name)
    wanted, given = schema.types[field.name], values.dtype
    if given == pl.Null:
        values = values.cast(wanted)
    elif not _fits(field, given):
        raise refuse(f"Input should be {_A[field.type]}", _unreadable(field, values))
    if values.null_count() and not field.nullable:
        raise refuse(MISSING, values.is_null())
    if field.type == "str" and given != pl.Null:
        # Bytes first: each is looked at in no time, however long it is.
        sizes = values.str.len_bytes().max()
        if sizes is not None and (sizes > 4 * MAX_TEXT or values.str.len_chars().max() > MAX_TEXT):  # type: ignore[operator]
            raise refuse(f"String should have at most {MAX_TEXT} characters", values.str.len_chars() > MAX_TEXT)
    if field.type == "float" and given.is_float():
        # By numpy, without nulls by Arrow: an expression of polars for each column costs as much as the prediction.
        known = values.to_arrow().drop_null().to_numpy() if values.null_count() else values.to_numpy()
        if len(known) and not np.abs(known).max() <= FLOAT32_MAX:  # NaN is not, either
            wrong = ~(values.abs() <= FLOAT32_MAX) | values.is_nan()
            raise refuse("Input should be a finite number within the range of float32", wrong)
    bounded = any(bound is not None for bound in (field.ge, field.gt, field.le, field.lt))
    if bounded and values.null_count() < len(values) and (broken := beyond(field, values.min(), values.max())):
        raise refuse(f"Input should be {broken}", _those(values, lambda value: bool(beyond(field, value, value))))
    if field.type == "int" and given.is_integer():
        (low, high), (least, greatest) = limits_of(field), (values.min(), values.max())
        if least is not None and not low <= least <= greatest <= high:  # type: ignore[operator]
            raise refuse(f"Input should be {low} to {high}", _those(values, lambda value: not low <= value <= high))
    if given.is_temporal():
        a_day = 1 if given == pl.Date else _A_DAY[given.time_unit]  # type: ignore[attr-defined]
        moments = values.to_physical()
        least, greatest = moments.min(), moments.max()
        if least is not None and not _FIRST * a_day <= least <= greatest < _LAST * a_day:  # type: ignore[operator]
            wrong = ~moments.is_between(_FIRST * a_day, _LAST * a_day, closed="left")
            raise refuse("Input should be in the years 1 to 9999", wrong)
    if field.type == "datetime" and isinstance(given, pl.Datetime):
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if _strips(field, given) else values
    if field.allowed is not None and not values.drop_nulls().is_in(list(field.allowed)).all():
        allowed = ", ".join(repr(value) for value in field.allowed)
        raise refuse(f"Input should be {allowed}", ~values.is_in(list(field.allowed)))
    return values if values.dtype == wanted else values.cast(wanted)


def _those(values: "pl.Series", wrong: Callable[[Any], bool]) -> "pl.Series":
    """Whether each value is one of those. By Python's numbers: a bound may be none of the column's type."""
    import polars as pl

    return pl.Series([value is not None and wrong(value) for value in values.to_list()], dtype=pl.Boolean)


def _unreadable(field: RequestField, values: "pl.Series") -> "pl.Series | None":
    """Which texts are none of what a field has, where others are: of a column of another type no row is to blame."""
    import polars as pl

    if values.dtype != pl.String or field.type not in ("int", "float"):
        return None
    read = values.str.strip_chars().cast(pl.Float64 if field.type == "float" else pl.Int64, strict=False)
    wrong = read.is_null() & values.is_not_null()
    return wrong if 0 < wrong.sum() < values.len() - values.null_count() else None


def _fits(field: RequestField, given: "pl.DataType") -> bool:
    """Whether a column's type is that of a field; a whole number is a number, and a moment needs its zone."""
    import polars as pl

    match field.type:
        case "int":
            return given.is_integer()
        case "float":
            return given.is_float() or given.is_integer()
        case "str":
            return given == pl.String
        case "bool":
            return given == pl.Boolean
        case "date":
            return given == pl.Date
        case _:
            return isinstance(given, pl.Datetime) and (given.time_zone is not None or "@" not in field.dtype)


def _strips(field: RequestField, given: Any) -> bool:
    """Whether a moment with a zone is asked for without one, which is UTC."""
    return given.time_zone is not None and "@" not in field.dtype
