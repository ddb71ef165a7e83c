"""What a batch was joined with by time and place, such as the weather: found in the data, and made late."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext
from ml_platform.proving.doses import DAYS, HOURS

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.validation.evidence import ColumnInfo

#: Share of moments at which a column has one value to be an observation, and rows that a moment has on average.
AGREE, ROWS = 0.99, 2
#: A time that is late by more than this finds nothing.
WEEK = 7
MOMENT = "(moment)"


@dataclass(frozen=True)
class Observations:
    """Columns that the moment and the place say, and nothing else."""

    columns: tuple[str, ...]
    #: Column with the moment; of a Date, moments are days.
    time: str
    #: Columns of the place; none where it is the same everywhere.
    place: tuple[str, ...]
    unit: str
    doses: tuple[float, ...]


def observations(
    frame: "pl.DataFrame", columns: list[str], context: ModelContext, places: list[str]
) -> Observations | None:
    """The columns that are joined by time and one column of places; ``None`` where there are none.

    Such a column is a number that may be missing or is measured (a float), has one value at each moment and place, and
    is not said by the day of the week or the hour alone.
    """
    import polars as pl

    time = _moment(frame, context)
    nullable = {one.name for one in _schema(context) if one.nullable}
    candidates = [
        name
        for name in columns
        if frame.schema[name].is_numeric()
        and (name in nullable or frame.schema[name].is_float())
        and frame[name].drop_nulls().n_unique() > 2
    ]
    hourly = isinstance(frame.schema[time], pl.Datetime)
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for place in ((), *((name,) for name in dict.fromkeys(places))):
        moments = frame.with_columns(_truncated(frame, time).alias(MOMENT)).group_by(MOMENT, *place)
        table = moments.agg(pl.col(candidates).drop_nulls().n_unique(), pl.len().alias("(rows)"))
        if candidates and frame.height >= ROWS * table.height:
            found[place] = tuple(name for name in candidates if (table[name] <= 1).mean() >= AGREE)  # type: ignore[operator]
    place = max(found, key=lambda one: len(found[one]), default=())
    if not found.get(place):
        return None
    unit, doses = ("hours", HOURS) if hourly else ("days", tuple(days for days in DAYS if days <= WEEK))
    return Observations(found[place], time, place, unit, doses)


def late(frame: "pl.DataFrame", before: "pl.DataFrame", found: Observations, dose: float) -> "pl.DataFrame":
    """``frame`` with the observations of ``dose`` hours or days earlier: the last known then, at the same place."""
    import polars as pl

    step = pl.duration(hours=dose) if found.unit == "hours" else pl.duration(days=dose)
    known = pl.concat(
        [
            one.select(*found.place, *found.columns, _truncated(one, found.time).alias(MOMENT))
            for one in (before, frame)
        ],
        how="vertical_relaxed",
    )
    table = known.group_by(*found.place, MOMENT).agg(pl.col(found.columns).first()).sort(MOMENT)
    asked = frame.select(*found.place, _truncated(frame, found.time).alias(MOMENT)).with_row_index("(row)")
    asked = asked.with_columns((pl.col(MOMENT) - step).cast(asked.schema[MOMENT])).sort(MOMENT)
    moved = asked.join_asof(table, on=MOMENT, by=list(found.place) or None, check_sortedness=False).sort("(row)")
    return frame.with_columns(moved[name].cast(frame.schema[name]) for name in found.columns)


def _moment(frame: "pl.DataFrame", context: ModelContext) -> str:
    """The declared time, or a column with hours beside it."""
    import polars as pl

    time, outcomes = context.dataset.time, context.dataset.outcomes()
    if isinstance(frame.schema[time], pl.Datetime):
        return time
    timed = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime) and name not in outcomes]
    return timed[0] if timed else time


def _truncated(frame: "pl.DataFrame", time: str) -> "pl.Series":
    import polars as pl

    return frame[time].dt.truncate("1h") if isinstance(frame.schema[time], pl.Datetime) else frame[time]


def _schema(context: ModelContext) -> "list[ColumnInfo]":
    from ml_platform.validation.schema import columns

    return columns(context.dataset.load_schema())
