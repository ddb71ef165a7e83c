"""Past outcomes summed per key and day, in whole numbers, and the keys by which histories look them up."""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_platform.features import calls
from ml_platform.features.contract import FeatureFunction, HistoricalMean
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.times import days

if TYPE_CHECKING:
    import polars as pl

#: Joins the parts of a key, and stands for a null part: characters that no key contains.
JOINER = "\x1f"
NULL = "\x00"
EPOCH = date(1970, 1, 1)
#: Name of the group of all rows, whose mean is the prior of every key.
ALL = ""


def group_name(by: Iterable[str]) -> str:
    """Name of a key group in a daily table: its columns, e.g. ``origin,dest``."""
    return ",".join(by)


@lru_cache(maxsize=32)
def groups_of(histories: tuple[HistoricalMean, ...]) -> dict[str, tuple[str, ...]]:
    """Groups with their columns, each once, in order of appearance."""
    return {group_name(history.by): history.by for history in histories}


@lru_cache(maxsize=32)
def values_of(histories: tuple[HistoricalMean, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(history.of for history in histories))


@lru_cache(maxsize=32)
def key_expressions(histories: tuple[HistoricalMean, ...]) -> "tuple[pl.Expr, ...]":
    import polars as pl

    return tuple(
        pl.concat_str([pl.col(c).cast(pl.String).fill_null(NULL) for c in by], separator=JOINER).alias(name)
        for name, by in groups_of(histories).items()
    )


def keys_in(
    rows: "pl.DataFrame", histories: tuple[HistoricalMean, ...], expressions: "tuple[pl.Expr, ...]"
) -> "pl.DataFrame":
    """One text column per group; the only place where keys become text, for tables and for lookups."""

    schema = dict(zip(rows.columns, rows.dtypes, strict=True))
    for column in {c for history in histories for c in history.by}:
        if (wrong := wrong_key(column, schema.get(column))) is not None:
            raise PlatformError(wrong)
    return rows.select(expressions)


def wrong_key(column: str, dtype: "pl.DataType | None") -> str | None:
    """Why no history can be looked up by a column of ``rows``; ``None`` where one can."""
    import polars as pl

    if dtype is None:
        return f"rows() lacks the key column {column!r} that a history needs; add it there"
    if not (dtype.is_integer() or isinstance(dtype, pl.String | pl.Boolean | pl.Date | pl.Categorical | pl.Enum)):
        return f"history key {column!r} is {dtype}: use whole numbers, text, dates or booleans, which match exactly"
    return None


def keys_of(function: FeatureFunction, rows: "pl.DataFrame") -> "pl.DataFrame":
    """What histories look up for each of the ``rows``: one text column per group of keys."""
    return keys_in(rows, function.histories, key_expressions(function.histories))


def text_of(value: object) -> str | None:
    """A part of a key as :func:`_key_expressions` writes it; None for what is left to it."""
    kind = type(value)
    if value is None:
        return NULL
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is int:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    return value.isoformat() if kind is date else None  # type: ignore[attr-defined]


def wrong_days(column: str, dtype: "pl.DataType | None") -> str | None:
    """Why a column cannot say of which day a row is; ``None`` where it can, or where there is no such column."""
    import polars as pl

    if dtype is None or isinstance(dtype, pl.Date | pl.Datetime):
        return None
    return f"the time column {column!r} is {dtype}; make it a Date or a Datetime in the schema and at the source"


def check_days(days: "pl.Series") -> None:
    if (wrong := wrong_days(days.name, days.dtype)) is not None:
        raise PlatformError(wrong)
    if days.null_count():
        raise PlatformError(f"{days.null_count()} rows have no {days.name!r}, so no past; remove or date them")


def wrong_outcome(value: str, dtype: "pl.DataType | None") -> str | None:
    """Why a column of ``outcomes`` cannot be averaged; ``None`` where it can."""
    import polars as pl

    if dtype is None:
        return f"outcomes() lacks the column {value!r} that a history averages; add it there"
    if not (dtype.is_integer() or dtype == pl.Boolean):
        return f"outcome {value!r} is {dtype}: round it to a whole number (of a smaller unit), so that sums are exact"
    return None


def without_time(histories: tuple[HistoricalMean, ...]) -> str:
    """Why data without time has no histories."""
    return (
        f"history {histories[0].name!r} averages the past, but the data has no time; take it off `histories`, or "
        "declare `time` and partitions"
    )


def need_time(histories: tuple[HistoricalMean, ...]) -> None:
    """Raise PlatformError where data without time has histories."""
    if histories:
        raise PlatformError(without_time(histories))


def empty(histories: tuple[HistoricalMean, ...]) -> "pl.DataFrame":
    """A daily table without a day."""
    import polars as pl

    columns = {f"{part}_{value}": pl.Int64 for value in values_of(histories) for part in ("n", "sum")}
    return pl.DataFrame(schema={"group": pl.String, "key": pl.String, "day": pl.Date, **columns})


def daily(function: FeatureFunction, raw: "pl.DataFrame", rows: "pl.DataFrame | None" = None) -> "pl.DataFrame":
    """Sums of the outcomes of a batch per key and day, in long form and sorted.

    Columns: ``group`` (:func:`group_name`, or ``""`` for all rows), ``key`` (parts joined by ``\\x1f``, null as
    ``\\x00``), ``day``, and for each outcome ``n_<of>`` (rows where it is known) and ``sum_<of>``, all Int64. Whole
    numbers make the sums exact, whatever the order of the rows; other outcomes are refused with
    :class:`PlatformError`. Every day of the batch is present in the group ``""``. ``rows`` is what the function makes
    of the batch, where that is there already.
    """
    import polars as pl

    groups, values = groups_of(function.histories), values_of(function.histories)
    outcomes = calls.outcomes(function, raw)
    for value in values:
        if (wrong := wrong_outcome(value, outcomes.schema.get(value))) is not None:
            raise PlatformError(wrong)
    if not function.time:
        need_time(function.histories)
        return empty(function.histories)
    check_days(raw[function.time])
    keys = keys_in(
        calls.rows(function, raw) if rows is None else rows, function.histories, key_expressions(function.histories)
    )
    parts = pl.DataFrame(
        [
            days(raw[function.time]).alias("day"),
            *keys.get_columns(),
            *(outcomes[value].cast(pl.Int64).alias(f"\x1e{value}") for value in values),
        ]
    )
    sums = [
        expression
        for value in values
        for expression in (
            pl.col(f"\x1e{value}").count().cast(pl.Int64).alias(f"n_{value}"),
            pl.col(f"\x1e{value}").sum().alias(f"sum_{value}"),
        )
    ]
    tables = [parts.group_by("day").agg(*sums).with_columns(pl.lit(ALL).alias("group"), pl.lit(ALL).alias("key"))]
    for name in groups:
        tables.append(
            parts.group_by(pl.col(name).alias("key"), "day").agg(*sums).with_columns(pl.lit(name).alias("group"))
        )
    order = ["group", "key", "day", *(e for v in values for e in (f"n_{v}", f"sum_{v}"))]
    return pl.concat([table.select(order) for table in tables]).sort("group", "key", "day")


def of_hours(tables: Iterable["pl.DataFrame"]) -> "list[pl.DataFrame]":
    """One daily table from those of hours, in which the same day comes again and again."""
    import polars as pl

    given = [table for table in tables if table.height]
    return [pl.concat(given).group_by("group", "key", "day").sum().sort("group", "key", "day")] if given else []
