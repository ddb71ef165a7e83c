"""Small errors of single columns in rising doses, in all rows or in those of a slice."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ml_platform.proving import batches
from ml_platform.proving.batches import mixed
from ml_platform.proving.doses import DEVIATIONS, SHARES, Dosed, Slice, number, of_frame
from ml_platform.proving.newest import SLICE_ROWS, Batch, Error

if TYPE_CHECKING:
    import polars as pl

#: Miles to kilometres: a unit that is easily mistaken, and near enough to stay within most limits.
OTHER_UNIT = 1.609
#: From this correlation on columns are taken to be measured together.
TOGETHER = 0.85


def of_columns(batch: Batch, places: list[Slice]) -> Iterator[Dosed]:
    """Numbers in another unit, values that are missing, numbers that are shifted."""
    hits = batch.hits
    for where in places:
        for name in batch.numeric:
            yield of_frame(
                Error.UNIT,
                "rows",
                SHARES,
                lambda frame, dose, name=name, where=where: mixed(
                    frame, batches.rescaled(frame, name, OTHER_UNIT, 0.0), hits.share(dose, f"unit {where}", where)
                ),
                column=name,
                where=where,
            )
    for where in places:
        for name in batch.columns:
            yield of_frame(
                Error.MISSING,
                "rows",
                SHARES,
                lambda frame, dose, name=name, where=where: mixed(
                    frame, batches.nulled(frame, name), hits.share(dose, f"missing {where}", where)
                ),
                column=name,
                where=where,
            )
    for where in places:
        groups = [(name,) for name in batch.numeric] + ([] if where.column else together(batch))
        for group in groups:
            if deviation := batch.deviation(group[0]):
                yield of_frame(
                    Error.SHIFTED,
                    "sd",
                    DEVIATIONS,
                    partial(_shifted, batch, group, _signs(batch, group), where),
                    column=", ".join(group),
                    where=where,
                    deviation=deviation,
                )


def of_whole_columns(batch: Batch) -> Iterator[Dosed]:
    """Columns that stand still, or belong to other rows, or are spelt in another way."""
    hits = batch.hits
    for name in batch.columns:
        yield of_frame(
            Error.STUCK,
            "days",
            hits.days,
            lambda frame, dose, name=name: _stuck(frame, name, hits.last(dose), batch.context.dataset.time),
            column=name,
        )
    for name in batch.columns:
        yield of_frame(
            Error.ELSEWHERE,
            "rows",
            SHARES,
            lambda frame, dose, name=name: elsewhere(frame, [name], hits.share(dose, f"other {name}"), batch.seed),
            column=name,
        )
    for name in batch.context.function.inputs:
        if str(batch.frame.schema.get(name)) in ("String", "Categorical"):
            yield of_frame(
                Error.SPELLING,
                "rows",
                SHARES,
                lambda frame, dose, name=name: mixed(
                    frame, batches.respelt(frame, name), hits.share(dose, f"spelling {name}")
                ),
                column=name,
            )


def together(batch: Batch) -> list[tuple[str, ...]]:
    """Columns that rise and fall together: what shifts one of them often shifts all."""
    import numpy as np
    import polars as pl

    names = [name for name in batch.numeric if batch.frame.schema[name].is_float()]
    rows = (
        pl.concat([frame.select(names) for frame in batch.earlier], how="vertical_relaxed").fill_nan(None).drop_nulls()
    )
    if len(names) < 2 or rows.height < SLICE_ROWS:
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        strong = np.abs(np.nan_to_num(np.corrcoef(rows.to_numpy(), rowvar=False))) >= TOGETHER
    groups: list[set[str]] = []
    for place, name in enumerate(names):
        linked = {names[other] for other in np.flatnonzero(strong[place])} | {name}
        touching = [group for group in groups if group & linked]
        groups = [*(group for group in groups if group not in touching), linked.union(*touching)]
    return [tuple(name for name in names if name in group) for group in groups if len(group) > 1]


def _shifted(
    batch: Batch, group: tuple[str, ...], signs: list[int], where: Slice, frame: "pl.DataFrame", dose: float
) -> "pl.DataFrame":
    """Columns that are all shifted in the rows of a slice, each by its own deviation."""
    broken = frame
    for name, sign in zip(group, signs, strict=True):
        broken = batches.rescaled(broken, name, 1.0, sign * dose * batch.deviation(name))
    return mixed(frame, broken, where.rows(frame))


def _signs(batch: Batch, group: tuple[str, ...]) -> list[int]:
    """Whether each column rises with the first."""
    import polars as pl

    rows = batch.frame.select(pl.corr(group[0], name).alias(f"{place}") for place, name in enumerate(group)).row(0)
    return [-1 if value is not None and value < 0 else 1 for value in rows]


def _stuck(frame: "pl.DataFrame", column: str, hit: "pl.Series", time: str) -> "pl.DataFrame":
    """The last known value before the rows that are hit, in all of them."""
    import polars as pl

    before = frame.filter(~hit).sort(time, maintain_order=True)[column].drop_nulls()
    known = before if len(before) else frame[column].drop_nulls()
    if not len(known):
        return frame
    value = pl.lit(known[-1], dtype=frame.schema[column])
    return frame.with_columns(pl.when(pl.lit(hit)).then(value).otherwise(pl.col(column)).alias(column))


def elsewhere(frame: "pl.DataFrame", columns: list[str], hit: "pl.Series", seed: int) -> "pl.DataFrame":
    """The rows that are hit have exchanged what they have in these columns, together."""
    import numpy as np
    import polars as pl

    places = np.arange(frame.height)
    chosen = np.flatnonzero(hit.to_numpy())
    places[chosen] = np.random.default_rng(number(seed, "elsewhere")).permutation(chosen)
    moved = frame.select(columns)[pl.Series(places)]
    return frame.with_columns(moved.get_columns())
