"""Small errors of rows and outcomes in rising doses, made from what a project declares: key, time, outcomes, slices."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from ml_platform.proving.batches import mixed
from ml_platform.proving.columns import elsewhere, of_columns, of_whole_columns
from ml_platform.proving.doses import DEVIATIONS, SHARES, Dosed, Hits, Slice, of_frame
from ml_platform.proving.newest import Batch, Error
from ml_platform.proving.observations import late, observations

if TYPE_CHECKING:
    import polars as pl

#: Values of an outcome from which on it is a number and not a class.
NUMBERS = 10


def small_errors(batch: Batch) -> Iterator[Dosed]:
    """Errors of rows and of outcomes (those also by slice), and of whole columns."""
    yield from _lost(batch, [Slice(), *batch.slices()])
    yield from _rows(batch)
    yield from _outcomes(batch)
    yield from late_observations(batch)
    yield from of_columns(batch, [Slice()])
    yield from of_whole_columns(batch)


def errors_of_slices(batch: Batch) -> Iterator[Dosed]:
    """Errors of each column, in each slice."""
    yield from of_columns(batch, batch.slices())


def _lost(batch: Batch, places: list[Slice]) -> Iterator[Dosed]:
    for where in places:
        yield of_frame(
            Error.LOST,
            "rows",
            SHARES,
            lambda frame, dose, where=where: frame.filter(~batch.hits.share(dose, f"lost {where}", where)),
            where=where,
        )


def _rows(batch: Batch) -> Iterator[Dosed]:
    import polars as pl

    hits, before, time = batch.hits, batch.earlier[-1], batch.context.dataset.time
    earlier = Hits(before, time, batch.seed)
    yield of_frame(Error.MISSING_DAYS, "days", hits.days, lambda frame, dose: frame.filter(~hits.last(dose)))
    yield of_frame(
        Error.TWICE, "rows", SHARES, lambda frame, dose: pl.concat([frame, frame.filter(hits.share(dose, "twice"))])
    )
    if column := _number_of_the_key(batch):
        yield of_frame(
            Error.NEW_KEYS,
            "days",
            hits.days,
            lambda frame, dose: pl.concat([frame, _renumbered(frame.filter(hits.last(dose)), column, frame[column])]),
            column=column,
        )
        for where in batch.slices():
            yield of_frame(
                Error.AGAIN,
                "rows",
                SHARES,
                lambda frame, dose, where=where: pl.concat(
                    [frame, _renumbered(frame.filter(hits.share(dose, f"again {where}", where)), column, frame[column])]
                ),
                where=where,
            )
    yield of_frame(
        Error.MIXED_IN,
        "rows",
        SHARES,
        lambda frame, dose: pl.concat([frame, before.filter(earlier.share(dose, "mixed"))], how="vertical_relaxed"),
    )


def _number_of_the_key(batch: Batch) -> str:
    """The whole number of the key with most values within a day: what another delivery would count anew."""
    import polars as pl

    dataset = batch.context.dataset
    whole = [name for name in dataset.key if name != dataset.time and batch.frame.schema[name].is_integer()]
    if not whole:
        return ""
    most = batch.frame.group_by(dataset.time).agg(pl.col(whole).n_unique()).max()
    best = max(whole, key=lambda name: most[name].item())
    return best if most[best].item() > 1 else ""


def _renumbered(rows: "pl.DataFrame", column: str, known: "pl.Series") -> "pl.DataFrame":
    """``rows`` with numbers that nobody has: unused ones between the known, then larger ones."""
    import numpy as np

    old = rows[column].drop_nulls().unique().sort()
    used = known.drop_nulls().unique().sort().to_numpy()
    unused = np.setdiff1d(np.arange(used[0], used[-1] + 1), used)[: len(old)]
    more = used[-1] + 1 + np.arange(len(old) - len(unused))
    new = dict(zip(old.to_list(), np.concatenate([unused, more]).tolist(), strict=True))
    return rows.with_columns(rows[column].replace_strict(new, default=None, return_dtype=rows.schema[column]))


def _outcomes(batch: Batch) -> Iterator[Dosed]:
    import polars as pl

    hits, outcomes, columns = batch.hits, batch.outcomes, batch.outcomes.columns
    if not columns:
        return

    @cache
    def unknown() -> "pl.DataFrame":
        frame = batch.frame
        return frame.with_columns(pl.lit(None, dtype=frame.schema[name]).alias(name) for name in columns)

    @cache
    def nothing() -> "pl.DataFrame":
        return outcomes.of_label(lambda now: now * 0)

    @cache
    def turned() -> "pl.DataFrame":
        return outcomes.of_label(lambda now: _turned(batch, now))

    yield of_frame(Error.UNKNOWN, "days", hits.days, lambda frame, dose: mixed(frame, unknown(), hits.last(dose)))
    yield of_frame(Error.ALL_ZERO, "days", hits.days, lambda frame, dose: mixed(frame, nothing(), hits.last(dose)))
    for where in (Slice(), *batch.slices()):
        for name, broken in ((Error.NO_OUTCOME, unknown), (Error.TURNED, turned)):
            yield of_frame(
                name,
                "rows",
                SHARES,
                lambda frame, dose, where=where, broken=broken, name=name: mixed(
                    frame, broken(), hits.share(dose, f"{name} {where}", where)
                ),
                where=where,
            )
    for where in (Slice(), *batch.slices()):
        yield of_frame(
            Error.CORRECTED,
            "rows",
            SHARES,
            lambda frame, dose, where=where: mixed(frame, turned(), hits.share(dose, f"corrected {where}", where)),
            where=where,
            again=True,
        )
    yield of_frame(Error.OTHER_DAY, "days", (1, 2, 3, 7), lambda _, dose: outcomes.of_another_day(int(dose)))
    for column in columns:
        if batch.frame.schema[column].is_numeric() and batch.frame[column].n_unique() > NUMBERS:
            deviation = batch.deviation(column)
            yield of_frame(
                Error.LARGEST_MISSING,
                "rows",
                SHARES,
                lambda frame, dose, column=column: mixed(frame, unknown(), _largest(frame[column], dose)),
                column=column,
            )
            yield of_frame(
                Error.LARGEST_CUT,
                "rows",
                SHARES,
                lambda _, dose, column=column: outcomes.of_column(column, lambda now: _cut(now, dose)),
                column=column,
            )
            yield of_frame(
                Error.OUTCOMES_SHIFTED,
                "sd",
                DEVIATIONS,
                lambda _, dose, column=column, deviation=deviation: outcomes.of_column(
                    column, lambda now: now + dose * deviation
                ),
                column=column,
                deviation=deviation,
            )
    yield of_frame(
        Error.OTHER_OUTCOMES,
        "rows",
        SHARES,
        lambda frame, dose: elsewhere(frame, columns, hits.share(dose, "other outcomes"), batch.seed),
    )


def _largest(values: "pl.Series", share: float) -> "pl.Series":
    """Rows with so large a share of the known values, the largest ones."""
    known = int(values.count())
    return (values.rank("ordinal") > known - round(share * known)).fill_null(False)


def _cut(values: "pl.Series", share: float) -> "pl.Series":
    """Values in which so large a share, the largest ones, are as large as the largest of the others."""
    known = values.drop_nulls().sort()
    return values.clip(upper_bound=known[max(0, len(known) - 1 - round(share * len(known)))]) if len(known) else values


def _turned(batch: Batch, now: "pl.Series") -> "pl.Series":
    """The other class, or a number as far on the other side of the median."""
    kind = batch.context.model.kind()
    if kind.output == "value":
        return 2 * now.median() - now  # type: ignore[operator]
    return (now + 1) % max(2, len(batch.context.model.classes))


def late_observations(batch: Batch) -> Iterator[Dosed]:
    """What was joined by time and place is of earlier than it should be."""
    found = observations(batch.frame, batch.columns, batch.context, [one.column for one in batch.slices()])
    if found is None:
        return
    before = batch.earlier[-1]
    yield of_frame(
        Error.LATE,
        found.unit,
        found.doses,
        lambda frame, dose: late(frame, before, found, dose),
        column=", ".join(found.columns),
    )
