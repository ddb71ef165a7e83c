"""What kinds of sources share: declared types for their columns, values from the environment."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import days as days_of

if TYPE_CHECKING:
    import polars as pl


#: A number with a decimal comma, or without fraction: points stand between thousands.
COMMA_NUMBER = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"


def environment(name: str, what: str) -> str:
    """The value of an environment variable. Raises PlatformError naming it where it is not set."""
    value = os.environ.get(name, "")
    if not value:
        raise PlatformError(f"{what}: the environment variable {name} is not set")
    return value


def expanded(text: str, what: str) -> str:
    """``text`` with ``$NAME`` and ``${NAME}`` replaced from the environment."""
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda match: environment(match.group(1) or match.group(2), what), text)


#: What polars says of a file to what it means for its people; its own words speak of its parameters, and show data.
_SAID = (
    (r"found more fields than defined", "a line has more fields than its first line; check separator and quotes"),
    (r"empty CSV|no data", "it is empty"),
    (r"invalid utf-?8", "it is no text in UTF-8; save it so"),
    (r"parquet|thrift|out of spec|magic", "it is no whole Parquet file"),
    (r"duplicate", "two of its columns have one name"),
    (r"not found", "it lacks a column that is asked for"),
)


def plainly_read(error: Exception) -> str:
    """Why a file could not be read, in words of a file; of what is unknown its name alone."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    said = str(error)
    return next((plain for pattern, plain in _SAID if re.search(pattern, said, re.IGNORECASE)), type(error).__name__)


def conform(
    frame: "pl.DataFrame",
    types: Mapping[str, Any],
    formats: Mapping[str, str] | None = None,
    decimal: str = ".",
) -> "pl.DataFrame":
    """``frame`` with the declared types, for sources that know none (CSV) or few (SQL).

    ``formats`` says of columns how their dates stand in the text, as for ``strptime``, where that is not ISO.
    With the ``decimal`` ``,`` numbers in text are written as ``1.234,5``.

    A column with a value that its type cannot hold stays as it came, so that the gates refuse it by name; no value
    is ever changed into a missing one.
    """
    formats = formats or {}
    known = [name for name in frame.columns if name in types]
    if not frame.height:
        return frame.cast({name: types[name] for name in known})
    return frame.with_columns(_converted(frame[name], types[name], formats.get(name, ""), decimal) for name in known)


def with_days(frame: "pl.DataFrame", days: Mapping[str, str]) -> "pl.DataFrame":
    """``frame`` with columns of the days of timestamps; of what holds no times the column itself, so that the gates
    refuse it by name."""
    return frame.with_columns(
        (days_of(frame[of]) if frame[of].dtype.is_temporal() else frame[of]).alias(column)
        for column, of in days.items()
        if of in frame.columns
    )


def with_point(column: "pl.Series") -> "pl.Series":
    """Numbers with decimal commas as text with decimal points."""
    return column.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)


def _converted(column: "pl.Series", wanted: Any, form: str, decimal: str) -> "pl.Series":
    import polars as pl

    try:
        if column.dtype == wanted:
            return column
        if column.dtype == pl.String and wanted == pl.Boolean:
            return column.str.to_lowercase().replace_strict({"true": True, "false": False, "1": True, "0": False})
        if column.dtype == pl.String and wanted.is_numeric() and decimal == ",":
            if not column.str.contains(COMMA_NUMBER).all():
                return column
            return with_point(column).cast(wanted, strict=True)
        if column.dtype == pl.String and form and wanted.is_temporal():
            return column.str.strptime(wanted, form, strict=True)
        # Only ISO: of 01/02/2024 nobody can tell which is the month.
        if column.dtype == pl.String and isinstance(wanted, pl.Datetime):
            if not column.str.contains(r"^\d{4}-\d{2}-\d{2}[T ]").all():
                return column
            # With an offset it is an instant; without one it is what clocks show in the declared time zone.
            zoned = column.str.to_datetime(time_unit=wanted.time_unit, time_zone=wanted.time_zone, strict=True)
            return zoned.cast(wanted)
        if column.dtype == pl.String and wanted == pl.Date:
            # A day may come with midnight behind it; anything else behind it is no day.
            return (
                column.str.strip_suffix(" 00:00:00").str.strip_suffix("T00:00:00").str.to_date("%Y-%m-%d", strict=True)
            )
        if isinstance(column.dtype, pl.Datetime) and wanted == pl.Date:
            return days_of(column)
        if isinstance(column.dtype, pl.Datetime) and isinstance(wanted, pl.Datetime):
            if wanted.time_zone is not None and column.dtype.time_zone is None:
                column = column.dt.replace_time_zone(wanted.time_zone)
            return column.cast(wanted, strict=True)
        if column.dtype.is_float() and wanted.is_integer():
            whole = column.cast(wanted, strict=True)
            return whole if whole.cast(column.dtype).equals(column) else column
        return column.cast(wanted, strict=True)
    except pl.exceptions.PolarsError:
        return column
