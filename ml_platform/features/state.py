"""Histories as running state: what later rows need of all days before, of a size that does not grow with these.

A table with a row per key and day, as :meth:`RunningSums.carried` gives it, for each ``group`` of keys; the first and
the last day of all are a group of their own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ml_platform.features.daily import ALL, EPOCH
from ml_platform.features.running_sums import RunningSums

if TYPE_CHECKING:
    import polars as pl

#: What the table looks like: part of what a state is found by, so that one of another number is made anew.
FORMAT = 1
#: Group of the first and the last day: no group of keys is called so.
_DAYS = "\x1d"


def packed(days: "pl.Series", indexes: Mapping[str, RunningSums], first: int) -> "pl.DataFrame":
    """The state for lookups of days from ``first`` (an ordinal) on."""
    import polars as pl

    ends = days.unique().sort()
    ends = ends.gather([0, len(ends) - 1]).to_physical().cast(pl.Int64) + EPOCH.toordinal() if len(ends) else []
    span = pl.DataFrame({"day": pl.Series(ends, dtype=pl.Int64)}).with_columns(group=pl.lit(_DAYS), key=pl.lit(ALL))
    parts = [index.carried(first).with_columns(group=pl.lit(name)) for name, index in indexes.items()]
    return pl.concat([span, *parts], how="diagonal").sort("group", "key", "day")


def unpacked(table: "pl.DataFrame", empty: Mapping[str, RunningSums]) -> "tuple[pl.Series, dict[str, RunningSums]]":
    """The first and the last day, and the indexes by group; ``empty`` are those of no day."""
    import polars as pl

    parts = {str(name): rows for (name,), rows in table.partition_by("group", as_dict=True).items()}
    span = parts.get(_DAYS, table.clear())["day"] - EPOCH.toordinal()
    days = span.cast(pl.Int32).cast(pl.Date).unique().sort()
    return days, {name: index.resumed(parts.get(name, table.clear())) for name, index in empty.items()}
