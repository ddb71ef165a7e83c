"""Times of columns: the day on which something is, the instant at which it is."""

from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def days(values: "pl.Series") -> "pl.Series":
    """The day of each Date or Datetime, in the time zone of its column: a cast would give the day in UTC."""
    import polars as pl

    return values.dt.date() if isinstance(values.dtype, pl.Datetime) else values.cast(pl.Date)


def instants(values: "pl.Series") -> "pl.Series":
    """Each Date or Datetime in UTC, in microseconds. What has no time zone is taken for UTC."""
    import polars as pl

    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC")
    return values.cast(pl.Datetime("us", "UTC"))


def comparable(values: "pl.Series", bound: date) -> "pl.Series":
    """The values in the form of a bound: instants where it is a datetime, else days."""
    return instants(values) if isinstance(bound, datetime) else days(values)
