"""Broken batches, generated from what a dataset declares: its schema, key, time and the features' inputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext

if TYPE_CHECKING:
    import polars as pl

Change = "Callable[[pl.DataFrame], pl.DataFrame]"
#: One row in so many is hit where a break concerns some rows.
EVERY = 100
#: Changes of unit: factor and offset. The last three are °F to °C, mph to m/s, and inches to centimetres.
UNITS = {
    "times 1000": (1000.0, 0.0),
    "°F to °C": (5 / 9, -160 / 9),
    "mph to m/s": (0.44704, 0.0),
    "inches to cm": (2.54, 0.0),
}


@dataclass(frozen=True)
class BatchBreak:
    """One thing that happens to the rows of a batch before they arrive."""

    #: What happened; equal for all columns that it happens to.
    name: str
    #: Column, or pair of columns; empty for what concerns the whole batch.
    case: str
    change: "Callable[[pl.DataFrame], pl.DataFrame]"


def batch_breaks(context: ModelContext, frame: "pl.DataFrame", before: "pl.DataFrame | None") -> Iterator[BatchBreak]:
    """Every break of ``frame``, the newest batch; ``before`` are the rows of the batch before it, where there is one.

    Broken are the columns that matter to the model: the inputs of the feature function, and the outcomes. A change
    that leaves the rows as they are is no break and left out.
    """
    for candidate in (*_rows(context, before), *_columns(context, frame)):
        changed = candidate.change(frame)
        if not (changed.columns == frame.columns and changed.equals(frame, null_equal=True)):
            yield candidate


def sent_twice(frame: "pl.DataFrame", every: int = EVERY) -> "pl.DataFrame":
    """One row in so many comes a second time, at the end."""
    import polars as pl

    return pl.concat([frame, frame.gather_every(every)])


def first_half(frame: "pl.DataFrame", time: str) -> "pl.DataFrame":
    """The batch breaks off in the middle."""
    return frame.sort(time, maintain_order=True).head(frame.height // 2)


def every_second(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Half of the rows get lost, all over the batch."""
    return frame.gather_every(2)


def with_rows_of(frame: "pl.DataFrame", other: "pl.DataFrame", every: int = EVERY) -> "pl.DataFrame":
    """Rows of another batch come at the end."""
    import polars as pl

    return pl.concat([frame, other.gather_every(every)], how="vertical_relaxed")


def shuffled(frame: "pl.DataFrame", columns: list[str], seed: int = 7) -> "pl.DataFrame":
    """The given columns, together, belong to other rows."""
    there = [name for name in columns if name in frame.columns]
    moved = frame.select(there).sample(fraction=1.0, shuffle=True, seed=seed)
    return frame.with_columns(moved.get_columns())


def swapped(frame: "pl.DataFrame", left: str, right: str) -> "pl.DataFrame":
    """Two columns have changed places."""
    return frame.with_columns(frame[right].alias(left), frame[left].alias(right))


def nulled(frame: "pl.DataFrame", column: str) -> "pl.DataFrame":
    """A column without values, of the type it had."""
    import polars as pl

    return frame.with_columns(pl.lit(None, dtype=frame.schema[column]).alias(column))


def rescaled(frame: "pl.DataFrame", column: str, factor: float, offset: float) -> "pl.DataFrame":
    """A column in another unit. Whole numbers are rounded to such, so that the type says nothing."""
    import polars as pl

    dtype = frame.schema[column]
    values = pl.col(column).cast(pl.Float64) * factor + offset
    return frame.with_columns((values.round() if dtype.is_integer() else values).cast(dtype, strict=False))


def poisoned(frame: "pl.DataFrame", column: str, value: float, every: int = EVERY) -> "pl.DataFrame":
    """A value that is no number in one row of so many."""
    import polars as pl

    hit = pl.int_range(pl.len()) % every == 0
    return frame.with_columns(pl.when(hit).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


def respelt(frame: "pl.DataFrame", column: str) -> "pl.DataFrame":
    """Texts in small letters (or in capitals, where they are small already)."""
    import polars as pl

    lower = frame[column].str.to_lowercase()
    other = frame[column].str.to_uppercase() if lower.equals(frame[column], null_equal=True) else lower
    return frame.with_columns(
        other.cast(frame.schema[column], strict=False).alias(column) if other.len() else pl.col(column)
    )


def mixed(frame: "pl.DataFrame", broken: "pl.DataFrame", hit: "pl.Series") -> "pl.DataFrame":
    """``broken`` in the rows that are hit, ``frame`` in the others; both have the same rows and columns."""
    import polars as pl

    changed = [name for name in frame.columns if not frame[name].equals(broken[name], null_equal=True)]
    return frame.with_columns(
        pl.select(pl.when(hit).then(broken[name]).otherwise(frame[name])).to_series().alias(name) for name in changed
    )


def _rows(context: ModelContext, before: "pl.DataFrame | None") -> Iterator[BatchBreak]:
    yield BatchBreak("rows come twice", "", sent_twice)
    if time := context.dataset.time:
        yield BatchBreak("the batch breaks off in the middle", "", lambda rows: first_half(rows, time))
    yield BatchBreak("every second row is lost", "", every_second)
    yield BatchBreak("no rows", "", lambda rows: rows.clear())
    if before is not None:
        yield BatchBreak("the batch before arrives again (stale)", "", lambda rows: before)
        yield BatchBreak("rows of the batch before are mixed in", "", lambda rows: with_rows_of(rows, before))
    if found := context.dataset.outcomes():
        yield BatchBreak("outcomes belong to other rows", "", lambda rows: shuffled(rows, found))


def _columns(context: ModelContext, frame: "pl.DataFrame") -> Iterator[BatchBreak]:
    inputs = [name for name in context.function.inputs if name in frame.columns]
    relevant = [*inputs, *(name for name in context.dataset.outcomes() if name in frame.columns and name not in inputs)]
    numeric = [name for name in relevant if frame.schema[name].is_numeric()]
    floats = [name for name in relevant if frame.schema[name].is_float()]
    for name in relevant:
        yield BatchBreak("a column is missing", name, lambda rows, name=name: rows.drop(name))
    for name in relevant:
        yield BatchBreak("a column is empty", name, lambda rows, name=name: nulled(rows, name))
    for unit, (factor, offset) in UNITS.items():
        for name in numeric:
            change = lambda rows, name=name, f=factor, o=offset: rescaled(rows, name, f, o)  # noqa: E731
            yield BatchBreak(f"other unit: {unit}", name, change)
    for name in floats:
        for label, value in (("NaN", float("nan")), ("infinite", float("inf"))):
            change = lambda rows, name=name, value=value: poisoned(rows, name, value)  # noqa: E731
            yield BatchBreak(f"{label} values", name, change)
    for name in relevant:
        if str(frame.schema[name]) in ("String", "Categorical"):
            yield BatchBreak("texts in another spelling", name, lambda rows, name=name: respelt(rows, name))
    for left, right in pairwise(numeric):
        if frame.schema[left] == frame.schema[right]:
            yield BatchBreak(
                "two columns change places",
                f"{left}, {right}",
                lambda rows, left=left, right=right: swapped(rows, left, right),
            )
