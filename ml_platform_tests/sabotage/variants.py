"""Feature functions as somebody might change them, wrong and right, and a schema that forgets something."""

from typing import Annotated

import pandera.polars as pa
import polars as pl

from ml_platform.defs.flights.features import FlightFeatures
from ml_platform.defs.flights.schema import Flights


class WithDepartureDelay(FlightFeatures):
    """The departure delay among the features: it is known when the flight has left, not two hours before."""

    inputs = (*FlightFeatures.inputs, "dep_delay")
    columns = (*FlightFeatures.columns, "dep_delay")


class WithCongestion(FlightFeatures):
    """One feature more, from what the timetable says of each flight by itself."""

    columns = (*FlightFeatures.columns, "airline_share")

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The airline's share of the flights in the hour, as the source counted them."""
        share = pl.col("carrier_hour_flights") / pl.col("origin_hour_flights")
        return super().rows(raw).with_columns(airline_share=share)


class WithCongestionOfTheBatch(WithCongestion):
    """The same, counted among the rows at hand: a month in training, a single flight in serving."""

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The airline's share of the hour's flights in ``raw``."""
        hour = ["origin", "date", "hour"]
        share = pl.len().over("carrier", *hour) / pl.len().over(hour)
        return FlightFeatures.rows(self, raw).with_columns(airline_share=share)


class WithArrivalDelayFromDay20(FlightFeatures):
    """The arrival delay among the features, in the last days of each month."""

    columns = (*FlightFeatures.columns, "delay_so_far")

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        """0 up to the 19th."""
        return super().rows(raw).with_columns(delay_so_far=pl.when(pl.col("day") >= 20).then("arr_delay").otherwise(0))


with_arrival_delay_from_day_20 = WithArrivalDelayFromDay20()
with_departure_delay = WithDepartureDelay()
with_congestion = WithCongestion()
with_congestion_of_the_batch = WithCongestionOfTheBatch()


class ForgetfulFlights(Flights):
    """The schema of the flights, without the mark that departure delays are known only afterwards."""

    dep_delay: int = pa.Field(nullable=True, ge=-120, le=2880)


class ObservedFlights(Flights):
    """The schema of flights that come with the time of their weather observation."""

    observed: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(nullable=True)
