"""What a month of purchases must look like."""

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from grocery.made_up import CHANNELS, DEPOTS


class Purchases(pa.DataFrameModel):
    """One row per line of an order."""

    order_id: int = pa.Field(ge=0, metadata={"description": "Number of the order."})
    line: int = pa.Field(ge=1, le=3, metadata={"description": "Line of the order."})
    day: pl.Date = pa.Field(metadata={"description": "Day of the order."})
    customer: str = pa.Field(
        str_matches=r"^c\d{3}@example\.org$", metadata={"description": "Address of the customer.", "pii": True}
    )
    product: str = pa.Field(str_matches=r"^[a-z]+$", metadata={"description": "What was bought."})
    channel: str = pa.Field(isin=CHANNELS, metadata={"description": "Where it was ordered."})
    depot: str = pa.Field(isin=DEPOTS, metadata={"description": "Where it is sent from."})
    price: float = pa.Field(gt=0, le=1000, metadata={"description": "Price of one, euros."})
    quantity: int = pa.Field(ge=1, le=100, metadata={"description": "How many."})
    weight: float = pa.Field(
        nullable=True, gt=0, le=100, metadata={"description": "Weight of one, kilograms; null where not weighed."}
    )
    returned: int = pa.Field(
        nullable=True, isin=[0, 1], metadata={"description": "Whether it came back.", "outcome": True}
    )
    delivery_days: float = pa.Field(
        nullable=True, ge=0, le=60, metadata={"description": "Days until it was delivered.", "outcome": True}
    )

    @pa.dataframe_check(name="outcomes_together")
    def outcomes_together(cls, data: PolarsData) -> pl.LazyFrame:
        """What was not delivered cannot come back, and nothing else is without an outcome."""
        return data.lazyframe.select(pl.col("returned").is_null() == pl.col("delivery_days").is_null())

    class Config:
        """Unknown columns are an error."""

        strict = True
