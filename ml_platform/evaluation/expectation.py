"""Outcomes beside what a model leads one to expect of them: calibration in the large, in all rows and by slice.

The expectation of a row is the model's output, calibrated on a reference that it did not learn from. The difference of
mean outcome and mean expectation has an interval whose variance is clustered by day (Liang and Zeger 1986; Cameron and
Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference", section II): a snow storm is one day, however many
rows it has. What a slice had too much or too little on the reference already is taken off, with its variance; of the
many slices of a column each has a wider interval (Bonferroni). The quantile is Student's, for as many clusters as there
are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.evaluation.calibration import Calibration, by_output
from ml_platform.evaluation.student import quantile
from ml_platform.models.task import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Level of the two-sided interval, of all slices of a column together.
LEVEL = 0.95
#: Fewest rows that are compared, and fewest of a slice, on either side.
ROWS, SLICE_ROWS = 100, 500
#: Fewest clusters of the reference. Where there are fewer on the other side, those of the reference say how far they
#: spread.
CLUSTERS = 7
#: How many times the limit of all rows a slice may lie beyond: it has seasons of its own.
SLICE = 3.0


class Rows(NamedTuple):
    """Labelled rows and what the model says of them."""

    #: With the columns of the slices.
    frame: "pl.DataFrame"
    #: Labels (rows,), as the task has them.
    y: "np.ndarray"
    #: Outputs, (rows,) or (rows, classes).
    p: "np.ndarray"
    #: What rows belong together: the day.
    clusters: "pl.Series"


@dataclass(frozen=True)
class Gap:
    """Mean outcome of some rows beside their mean expectation; of a class, the share of rows that are of it."""

    #: Column and value of the slice; empty for all rows.
    column: str
    value: str
    #: The class; empty where there are none.
    of: str
    rows: int
    clusters: int
    outcome: float
    expected: float
    #: Bounds of outcome less expectation.
    lower: float
    upper: float
    #: How far the interval lies from 0, in standard deviations of the outcome on the reference.
    beyond: float

    @property
    def where(self) -> str:
        """Of what it is, for people; empty for all rows."""
        return ", ".join([*([f"{self.column} {self.value}"] if self.column else []), *([self.of] if self.of else [])])

    @property
    def said(self) -> str:
        """The comparison in words."""
        where = f"{self.where}: " if self.where else ""
        return (
            f"{where}{self.outcome:.4g} on average where {self.expected:.4g} was expected (difference "
            f"{self.outcome - self.expected:+.3g} [{self.lower:+.3g}, {self.upper:+.3g}])"
        )

    def exceeds(self, limit: float) -> bool:
        """Whether it lies further from the expectation than ``limit`` allows, a slice :data:`SLICE` times that."""
        return self.beyond > limit * (SLICE if self.column else 1)


@dataclass(frozen=True)
class Gaps:
    """What a version leads one to expect of partitions, and what they came to."""

    #: Partition to its gaps, all rows first.
    partitions: Mapping[str, Sequence[Gap]]
    #: The version; 0 where there is none.
    version: int = 0
    #: Why nothing is compared.
    why: str = ""


class _Level(NamedTuple):
    """Mean of outcome less expectation, and how well it is known."""

    rows: int
    clusters: int
    outcome: float
    mean: float
    #: Of the mean, by clusters; and of the means of single clusters.
    variance: float
    between: float


class Expectation:
    """What a model leads one to expect, learned from reference rows (``slices``: columns of their frame)."""

    def __init__(self, task: Task, reference: Rows, slices: Sequence[str] = ()) -> None:
        self.task, self.slices = task, tuple(slices)
        self.calibration = Calibration(task, reference.y, reference.p)
        self._before = self._levels(reference)
        outcomes = by_output(task, reference.y, self.calibration.of(reference.p[:1]).shape[1])
        self._spread: list[float] = [float(one) or 1.0 for one in outcomes.std(axis=0)]

    def gaps(self, rows: Rows) -> list[Gap]:
        """Outcome beside expectation: all rows first (of each class), then each slice with support on both sides.

        Empty for fewer than :data:`ROWS` rows on either side, or fewer than :data:`CLUSTERS` clusters of the reference.
        """
        found: list[Gap] = []
        for (output, column), levels in self._levels(rows).items():
            known = self._before[output, column]
            least = SLICE_ROWS if column else ROWS
            both = {
                value: (now, known[value])
                for value, now in levels.items()
                if value in known and min(now.rows, known[value].rows) >= least
            }
            found += [
                gap
                for value, (now, before) in sorted(both.items())
                if (gap := self._gap(output, column, value, now, before, len(both))) is not None
            ]
        return sorted(found, key=lambda gap: bool(gap.column))

    def _gap(self, output: int, column: str, value: str, now: _Level, before: _Level, slices: int) -> Gap | None:
        if before.clusters < CLUSTERS:
            return None
        few = now.clusters < CLUSTERS
        variance = max(now.variance, before.between / now.clusters) if few else now.variance
        freedom = (before.clusters if few else min(now.clusters, before.clusters)) - 1
        wide = quantile(freedom, 1 - (1 - LEVEL) / 2 / slices) * (variance + before.variance) ** 0.5
        difference = now.mean - before.mean
        return Gap(
            column=column,
            value=value,
            of=self.task.classes[output] if self.task.output == "classes" else "",
            rows=now.rows,
            clusters=now.clusters,
            outcome=now.outcome,
            expected=now.outcome - difference,
            lower=difference - wide,
            upper=difference + wide,
            beyond=max(0.0, abs(difference) - wide) / self._spread[output],
        )

    def _levels(self, rows: Rows) -> dict[tuple[int, str], dict[str, _Level]]:
        """By output and column ("" for all rows) the level of each value."""
        expected = self.calibration.of(rows.p)
        actual = by_output(self.task, rows.y, expected.shape[1])
        return {
            (output, column): _levels(rows, column, actual[:, output], actual[:, output] - expected[:, output])
            for output in range(expected.shape[1])
            for column in ("", *self.slices)
        }


def _levels(rows: Rows, column: str, outcome: "np.ndarray", residual: "np.ndarray") -> dict[str, _Level]:
    import polars as pl

    values = (
        rows.frame[column].cast(pl.String).fill_null("(missing)")
        if column
        else pl.repeat("", len(residual), eager=True)
    )
    cells = (
        pl.DataFrame({"(value)": values, "(cluster)": rows.clusters, "(outcome)": outcome, "(residual)": residual})
        .group_by("(value)", "(cluster)")
        .agg(pl.col("(outcome)").sum(), pl.col("(residual)").sum(), pl.len().cast(pl.Float64).alias("(rows)"))
        # Sums are taken in one order, so that the same rows give the same bits.
        .sort("(value)", "(cluster)")
    )
    found: dict[str, _Level] = {}
    for (name,), group in cells.partition_by("(value)", as_dict=True).items():
        n, sums = group["(rows)"].to_numpy(), group["(residual)"].to_numpy()
        mean, clusters = float(sums.sum() / n.sum()), len(n)
        off = float(((sums - n * mean) ** 2).sum()) * clusters / max(clusters - 1, 1)
        found[str(name)] = _Level(
            rows=int(n.sum()),
            clusters=clusters,
            outcome=float(group["(outcome)"].sum() / n.sum()),
            mean=mean,
            variance=off / float(n.sum()) ** 2,
            between=float((sums / n).var(ddof=1)) if clusters > 1 else 0.0,
        )
    return found


def table(partition: str, gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    """Records of a partition's gaps, the furthest first."""
    return [
        {
            "partition": partition,
            "of": gap.where or "all rows",
            "rows": gap.rows,
            "outcome": gap.outcome,
            "expected": gap.expected,
            "lower": gap.lower,
            "upper": gap.upper,
            "beyond": gap.beyond,
        }
        for gap in sorted(gaps, key=lambda gap: (bool(gap.column), -gap.beyond))
    ]
