"""A small dataset for the tests of sources: sales by day."""

from datetime import date
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl

from ml_platform.declarations.dataset import DatasetSpec


class Sales(pa.DataFrameModel):
    """One row per sale."""

    day: pl.Date
    number: int = pa.Field(ge=0)
    price: float = pa.Field(nullable=True)
    paid: bool
    shop: str = pa.Field(nullable=True)


class Stamped(Sales):
    """Sales whose day is that of a timestamp."""

    at: Annotated[pl.Datetime, "us", None]


def spec(source: Any, **more: Any) -> DatasetSpec:
    """The declaration of the dataset ``sales`` with this source."""
    return DatasetSpec.model_validate(
        {
            "name": "sales",
            "source": source,
            "schema": f"{__name__}:Sales",
            "partitions": {"every": "month", "start": "2024-01-01"},
            "key": ["day", "number"],
            "time": "day",
            **more,
        }
    )


def sales(month: int, rows: int = 3, first: int = 0) -> pl.DataFrame:
    """Some sales of a month of 2024."""
    return pl.DataFrame(
        {
            "day": [date(2024, month, 1 + number % 28) for number in range(first, first + rows)],
            "number": list(range(first, first + rows)),
            "price": [None if number % 3 == 2 else number + 0.5 for number in range(first, first + rows)],
            "paid": [number % 2 == 0 for number in range(first, first + rows)],
            "shop": ["NA" if number % 2 else None for number in range(first, first + rows)],
        },
        schema={"day": pl.Date, "number": pl.Int64, "price": pl.Float64, "paid": pl.Boolean, "shop": pl.String},
    )


def between(start: date, end: date) -> pl.DataFrame:
    """A source as a plain function."""
    return sales(start.month)


def broken(start: date, end: date) -> str:
    """A source that returns something else."""
    return f"{start} {end}"


def revision(start: date, end: date) -> str:
    """A fingerprint as a plain function."""
    return f"revision of {start:%B}"
