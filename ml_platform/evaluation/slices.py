"""Metrics of slices by two columns at once: a weakness may hide where each column alone looks fine."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

from ml_platform.evaluation.tables import group_table
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import polars as pl

#: Between the names of two columns, and of two groups.
BY = " × "  # noqa: RUF001 - the sign that reports show


def two_way(
    frame: "pl.DataFrame",
    columns: tuple[str, ...],
    task: Task,
    min_support: int,
    min_positives: int,
) -> dict[str, list[dict[str, Any]]]:
    """:func:`~ml_platform.evaluation.tables.group_table` of every pair of columns, groups with support only."""
    import polars as pl

    def cell(column: str) -> "pl.Expr":
        return pl.col(column).cast(pl.String).fill_null("(missing)")

    return {
        f"{one}{BY}{other}": [
            row
            for row in group_table(
                frame,
                pl.concat_str(cell(one), cell(other), separator=BY),
                task,
                min_support,
                min_positives,
            )
            if row["supported"]
        ]
        for one, other in combinations(columns, 2)
    }
