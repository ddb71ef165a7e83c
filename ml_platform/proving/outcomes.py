"""Outcomes that are wrong and look right: no rule of the schema sees them, as far as that can be had.

A number that is changed alone often contradicts others: a delay no longer fits the times. Then the outcomes of another
row take its place, together: of the same flight on another day, say.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext

if TYPE_CHECKING:
    import polars as pl

#: How much of a change has to stay, when what a rule sees is taken back, for no other way to be tried.
ENOUGH = 0.95
#: Below this share the change is made all the same, for the rules to see.
SOME = 0.5
#: How near another row's value has to come to the wanted one, as a share of the change.
NEAR = 0.25
#: Values of a column from which on it is a number and not a class; share of pairs that say an outcome that is tied.
NUMBERS, TIED = 10, 0.99
NOW, GOAL, ROW = "(value now)", "(value wanted)", "(row)"


class Outcomes:
    """The outcomes of one batch; ``earlier`` are batches that others may come from."""

    def __init__(self, context: ModelContext, frame: "pl.DataFrame", earlier: "list[pl.DataFrame]") -> None:
        self.context, self.frame, self._earlier = context, frame, earlier
        self.columns = [name for name in context.dataset.outcomes() if name in frame.columns]
        self._clean = self._broken(frame)

    def labels(self, frame: "pl.DataFrame") -> "pl.Series":
        """The model's label as a number (of a class, its place); null where it is not known."""
        import polars as pl

        model = self.context.model
        label = self.context.function.targets(frame)[model.target]
        places = {name: float(place) for place, name in enumerate(model.classes)}
        if places:
            return label.cast(pl.String).replace_strict(places, default=None, return_dtype=pl.Float64)
        return label.cast(pl.Float64).fill_nan(None)

    def of_label(self, wanted: "Callable[[pl.Series], pl.Series]") -> "pl.DataFrame":
        """The batch with other labels in all rows, as far as there are outcomes that give them."""
        model = self.context.model
        direct = model.target if model.target in self.columns and not model.classes else ""
        return self._with(self.labels, wanted, direct, few=self.context.model.kind().output != "value")

    def of_column(self, name: str, wanted: "Callable[[pl.Series], pl.Series]") -> "pl.DataFrame":
        """The batch with other values of one outcome in all rows."""
        import polars as pl

        return self._with(lambda frame: frame[name].cast(pl.Float64).fill_nan(None), wanted, name, few=False)

    def of_another_day(self, days: int) -> "pl.DataFrame":
        """The batch with the outcomes that the same had so many days before, where it was there."""
        import polars as pl

        time, same = self.context.dataset.time, self._same()
        there = pl.concat([*self._earlier[-1:], self.frame], how="vertical_relaxed")
        day = pl.col(time).cast(pl.Date)
        before = there.select(*same, (day + pl.duration(days=days)).alias(GOAL), *self.columns)
        rows = self.frame.select(*same, day.alias(GOAL)).with_row_index(ROW)
        found = rows.join(before.unique([*same, GOAL], keep="first"), on=[*same, GOAL], how="inner")
        kept = self.frame.select(self.columns).with_row_index(ROW)
        new = kept.update(found.select(ROW, *self.columns).sort(ROW), on=ROW, include_nulls=True).sort(ROW)
        return self._quiet(self.frame.with_columns(new[name] for name in self.columns))

    def _with(
        self,
        measure: "Callable[[pl.DataFrame], pl.Series]",
        wanted: "Callable[[pl.Series], pl.Series]",
        direct: str,
        few: bool,
    ) -> "pl.DataFrame":
        """The way that keeps most of the change: the number alone, with what it is tied to, or all of another row."""
        now = measure(self.frame)
        goal = wanted(now)
        asked = int((goal.is_not_null() & (goal != now)).sum())
        loud = self._changed(direct, goal) if direct else None
        best, kept = loud, 0
        for made in self._ways(measure, now, goal, loud, few):
            quiet = self._quiet(made)
            changed = int((measure(quiet) != now).fill_null(False).sum())
            if changed > kept:
                best, kept = quiet, changed
            if kept >= ENOUGH * asked:
                break
        if loud is not None and kept < SOME * asked:
            return loud
        return self.frame if best is None else best

    def _ways(
        self,
        measure: "Callable[[pl.DataFrame], pl.Series]",
        now: "pl.Series",
        goal: "pl.Series",
        loud: "pl.DataFrame | None",
        few: bool,
    ) -> "Iterator[pl.DataFrame]":
        if loud is not None:
            yield loud
        every = tuple(self.columns)
        ties = [([by], columns) for by, columns in self._ties]
        for by, columns in (*ties, (self._same(), every), ([], every)):
            yield self._of_others(measure, now, goal, by, columns, few)

    @cached_property
    def _ties(self) -> list[tuple[str, tuple[str, ...]]]:
        """Outcomes that hang together through another column: a delay and a scheduled time say when it happened.

        Each is that column, and an outcome with those that follow from the two.
        """
        import polars as pl

        rows = pl.concat([*self._earlier[-2:], self.frame], how="vertical_relaxed")
        numbers = [
            name for name, dtype in rows.schema.items() if dtype.is_numeric() and rows[name].n_unique() > NUMBERS
        ]
        found = []
        for outcome in (name for name in numbers if name in self.columns):
            others = [name for name in self.columns if name != outcome]
            for by in (name for name in numbers if name not in self.columns):
                known = rows.drop_nulls([by, outcome]).group_by(by, outcome).agg(pl.len(), pl.col(others).n_unique())
                twice = known.filter(pl.col("len") > 1)
                tied = tuple(name for name in others if twice.height >= NUMBERS and (twice[name] == 1).mean() >= TIED)  # type: ignore[operator]
                found += [(by, (outcome, *tied))] if tied else []
        return found

    def _changed(self, column: str, values: "pl.Series") -> "pl.DataFrame":
        import polars as pl

        dtype = self.frame.schema[column]
        whole = values.round() if dtype.is_integer() else values
        new = pl.select(
            pl.when(values.is_not_null()).then(whole.cast(dtype, strict=False)).otherwise(self.frame[column])
        )
        return self.frame.with_columns(new.to_series().alias(column))

    def _same(self) -> list[str]:
        """Columns of the key that say what a row is about and not when: those that differ within a day."""
        import polars as pl

        dataset = self.context.dataset
        key = [name for name in dataset.key if name != dataset.time and name in self.frame.columns]
        most = self.frame.group_by(dataset.time).agg(pl.col(key).n_unique()).max()
        return [name for name in key if most[name].item() > 1]

    def _of_others(
        self,
        measure: "Callable[[pl.DataFrame], pl.Series]",
        now: "pl.Series",
        goal: "pl.Series",
        by: list[str],
        columns: tuple[str, ...],
        few: bool,
    ) -> "pl.DataFrame":
        """These outcomes of the row whose value is nearest to the wanted one; of classes, that of the nearest day."""
        import polars as pl

        time = self.context.dataset.time
        pool = pl.concat(
            [
                frame.select(*by, *columns, time).with_columns(measure(frame).alias(GOAL))
                for frame in (*self._earlier, self.frame)
            ],
            how="vertical_relaxed",
        ).drop_nulls(GOAL)
        day = pl.col(time).cast(pl.Date).to_physical().cast(pl.Float64)
        near = pl.col(GOAL) * 1e6 + (day if few else 0.0)
        rows = self.frame.select(*by, time).with_columns(goal.alias(GOAL), now.alias(NOW)).with_row_index(ROW)
        found = (
            rows.drop_nulls(GOAL)
            .with_columns(near.alias("(near)"))
            .sort("(near)")
            .join_asof(
                pool.with_columns(near.alias("(near)"), pl.col(GOAL).alias("(theirs)")).drop(time, GOAL).sort("(near)"),
                on="(near)",
                by=by or None,
                strategy="nearest",
                check_sortedness=False,
            )
            .filter((pl.col("(theirs)") - pl.col(GOAL)).abs() < NEAR * (pl.col(NOW) - pl.col(GOAL)).abs())
        )
        kept = self.frame.select(columns).with_row_index(ROW)
        new = kept.update(found.select(ROW, *columns).sort(ROW), on=ROW, include_nulls=True).sort(ROW)
        # Only rows that found another one are changed: of the others nothing is known.
        hit = kept[ROW].is_in(found[ROW].implode())
        return self.frame.with_columns(
            pl.select(pl.when(hit).then(new[name]).otherwise(self.frame[name])).to_series().alias(name)
            for name in columns
        )

    def _quiet(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """``frame`` without what a rule of the schema sees in it."""
        import polars as pl

        broken = self._broken(frame) & ~self._clean
        return frame.with_columns(
            pl.select(pl.when(broken).then(self.frame[name]).otherwise(frame[name])).to_series().alias(name)
            for name in self.columns
        )

    def _broken(self, frame: "pl.DataFrame") -> "pl.Series":
        """Rows that break a rule; all, where the table as a whole does."""
        import polars as pl

        from ml_platform.validation.schema import invalid_rows

        dataset = self.context.dataset
        found = invalid_rows(dataset.load_schema(), frame, new_columns=dataset.new_columns)
        if found is None:
            return pl.repeat(True, frame.height, eager=True)
        rows = pl.repeat(False, frame.height, eager=True)
        for broken in found.values():
            rows = rows | broken
        return rows
