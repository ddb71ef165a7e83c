"""Features of the example with a target of three classes: how a flight arrives."""

import polars as pl

from ml_platform.defs.flights.features import LATE_MINUTES, FlightFeatures

CLASSES = ("early", "on time", "late")


class ArrivalFeatures(FlightFeatures):
    """``arrival``: early (before the timetable), on time, late (by more than :data:`LATE_MINUTES` minutes)."""

    labels = (*FlightFeatures.labels, "arrival")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The labels of the example and the class; null where the flight did not arrive."""
        delay = pl.col("arr_delay")
        late = pl.when(delay > LATE_MINUTES).then(pl.lit("late"))
        return (
            super()
            .targets(raw)
            .with_columns(
                raw.select(
                    arrival=late.when(delay < 0).then(pl.lit("early")).when(delay.is_not_null()).then(pl.lit("on time"))
                )
            )
        )


arrivals = ArrivalFeatures()
