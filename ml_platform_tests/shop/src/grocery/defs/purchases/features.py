"""What is known of a purchase when it is made."""

import polars as pl

from grocery.made_up import CHANNELS, DEPOTS
from ml_platform.features.contract import HistoricalMean


class PurchaseFeatures:
    """See ml_platform.features.contract.FeatureFunction."""

    inputs = ("order_id", "line", "day", "product", "channel", "depot", "price", "quantity", "weight")
    time = "day"
    key = ("order_id", "line")
    columns = (
        "weekday", "price", "quantity", "weight", "value",
        *(f"by_{name}" for name in CHANNELS), *(f"from_{name}" for name in DEPOTS),
    )  # fmt: skip
    histories = (
        HistoricalMean("return_rate_product", of="returned", by=("product",), prior=20),
        HistoricalMean("return_rate_channel_recent", of="returned", by=("channel",), prior=20, half_life_days=7),
        HistoricalMean("hours_depot", of="hours", by=("depot",), prior=20, window_days=28),
    )
    labels = ("returned", "delivery_days")
    slices = ("channel", "depot", "product")

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Row-wise features, keys of the histories, slices."""
        return raw.with_columns(
            (pl.col("price") * pl.col("quantity")).alias("value"),
            pl.col("day").dt.weekday().alias("weekday"),
            *((pl.col("channel") == name).alias(f"by_{name}") for name in CHANNELS),
            *((pl.col("depot") == name).alias(f"from_{name}") for name in DEPOTS),
        )

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        """``returned`` (0 or 1) and ``hours`` until delivery; null where there was none."""
        return raw.select(
            pl.col("returned").cast(pl.Int64), hours=(pl.col("delivery_days") * 24).round().cast(pl.Int64)
        )

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        """``returned`` (0 or 1) and ``delivery_days``."""
        return raw.select(pl.col("returned").cast(pl.Int8), pl.col("delivery_days").cast(pl.Float32))


features = PurchaseFeatures()
