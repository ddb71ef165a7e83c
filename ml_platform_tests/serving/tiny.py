"""The smallest feature function that has everything: texts, nulls, a day, a history."""

from typing import ClassVar, NamedTuple

import polars as pl

from ml_platform.features.contract import HistoricalMean


class Tiny:
    """Two row-wise features and one from past outcomes."""

    inputs: tuple[str, ...] = ("day", "shop", "amount", "items", "member")
    time: str = "day"
    key: tuple[str, ...] = ("day", "shop")
    columns: tuple[str, ...] = ("log_amount", "items", "member", "weekday")
    histories: tuple[HistoricalMean, ...] = (HistoricalMean("late_rate_shop", of="late", by=("shop",), prior=10.0),)
    labels: tuple[str, ...] = ("late",)
    slices: tuple[str, ...] = ("shop",)

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(
            pl.col("shop"),
            pl.col("amount").log1p().alias("log_amount"),
            pl.col("items"),
            pl.col("member").cast(pl.Int8),
            pl.col("day").dt.weekday().alias("weekday"),
        )

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(pl.col("late").cast(pl.Int8))

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("late")


class Check(NamedTuple):
    """What a pandera check shows of itself."""

    statistics: dict
    name: str
    raise_warning: bool = False


class Column(NamedTuple):
    """What a pandera column shows of itself."""

    dtype: object
    nullable: bool = False
    checks: tuple[Check, ...] = ()
    metadata: dict | None = None
    description: str = ""


class Schema:
    """What a pandera schema shows of itself."""

    columns: ClassVar[dict[str, Column]] = {
        "day": Column(pl.Date),
        "shop": Column(pl.String, checks=(Check({"allowed_values": ["north", "south", "west"]}, "isin"),)),
        "amount": Column(pl.Float64, nullable=True),
        "items": Column(
            pl.Int16,
            checks=(
                Check({"min_value": 0}, "greater_than_or_equal_to"),
                Check({"max_value": 300}, "less_than_or_equal_to"),
            ),
            description="Pieces in the basket.",
        ),
        "member": Column(pl.Boolean, metadata={"pii": True}),
        "late": Column(pl.Int8),
    }
