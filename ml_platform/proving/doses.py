"""A break with a dose: which rows it hits, how much of it there is, and how its dose is told."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.times import days
from ml_platform.gates.stages import Stage
from ml_platform.proving.batches import BatchBreak
from ml_platform.proving.breaks import CodeBreak

if TYPE_CHECKING:
    import polars as pl

#: Rising doses by what they are counted in.
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
DAYS = (1, 2, 3, 5, 7, 10, 14, 21, 28)
DEVIATIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
HOURS = (1, 2, 3, 4, 5, 6, 8, 12, 18, 24, 48)


@dataclass(frozen=True)
class Slice:
    """The rows in which a column has one value; all rows where the column has no name."""

    column: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.column} {self.value}" if self.column else ""

    def rows(self, frame: "pl.DataFrame") -> "pl.Series":
        """Whether each row belongs to it."""
        import polars as pl

        if not self.column:
            return pl.repeat(True, frame.height, eager=True)
        return (frame[self.column].cast(pl.String) == self.value).fill_null(False)


@dataclass(frozen=True)
class Dosed:
    """One kind of error at one place, in rising doses."""

    name: str
    #: Column or columns that it concerns; empty for all.
    column: str
    where: Slice
    #: What doses are counted in: ``rows`` (a share), ``days``, ``hours``, ``sd``.
    unit: str
    doses: tuple[float, ...]
    #: The break in a dose.
    at: Callable[[float], BatchBreak | CodeBreak]
    #: Stage in which the error is made.
    stage: Stage = "batch"
    #: One standard deviation in the column's own unit, where doses are counted in such.
    deviation: float = 0.0
    #: The batch is published already, and arrives again with the error.
    again: bool = False

    @property
    def case(self) -> str:
        """Where it happens, for people."""
        return " where ".join(part for part in (self.column, str(self.where)) if part)

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.name} | {self.case}"

    def told(self, dose: float) -> str:
        """A dose for people."""
        return told(self.unit, dose, self.deviation)


def told(unit: str, dose: float, deviation: float = 0.0) -> str:
    """A dose for people: ``2 %``, ``3 days``, ``0.5 sd (9.1)``."""
    if unit == "rows":
        return f"{100 * dose:.3g} %"
    if unit == "sd":
        return f"{dose:g} sd" + (f" ({dose * deviation:.3g})" if deviation else "")
    return f"{dose:g} {unit if dose != 1 else unit.removesuffix('s')}"


def of_frame(
    name: str,
    unit: str,
    doses: tuple[float, ...],
    change: "Callable[[pl.DataFrame, float], pl.DataFrame]",
    *,
    column: str = "",
    where: Slice | None = None,
    deviation: float = 0.0,
    again: bool = False,
) -> Dosed:
    """A dosed break of a batch; ``change`` gets the batch and the dose."""
    place = where or Slice()
    case = " where ".join(part for part in (column, str(place)) if part)
    return Dosed(
        name,
        column,
        place,
        unit,
        doses,
        lambda dose: BatchBreak(name, f"{case} {dose:g}", lambda frame: change(frame, dose)),
        deviation=deviation,
        again=again,
    )


class Hits:
    """Which rows of one batch are hit: the same for equal seeds, and a larger dose hits all that a smaller one does."""

    def __init__(self, frame: "pl.DataFrame", time: str, seed: int) -> None:

        self.frame, self.seed = frame, seed
        self._days = days(frame[time])
        self._dates = self._days.drop_nulls().unique().sort(descending=True)
        #: As many doses of days as the batch has days.
        self.days = tuple(days for days in DAYS if days <= len(self._dates))

    def share(self, dose: float, salt: str, where: Slice | None = None) -> "pl.Series":
        """So large a share of the rows of a slice, at least one of them."""
        import polars as pl

        inside = (where or Slice()).rows(self.frame)
        most = int(inside.sum())
        if not most:
            return inside
        ranks = self._ranks(salt)
        # A row's place among those of the slice, in an order that the salt gives.
        place = pl.select(pl.when(inside).then(ranks).rank("ordinal")).to_series()
        return (place <= max(1, round(dose * most))).fill_null(False)

    def last(self, days: float) -> "pl.Series":
        """The rows of the last days that the batch has."""
        first = self._dates[min(int(days), len(self._dates)) - 1]
        return (self._days >= first).fill_null(False)

    @cache  # noqa: B019 - lives as long as the batch
    def _ranks(self, salt: str) -> "pl.Series":
        import numpy as np
        import polars as pl

        random = np.random.default_rng(number(self.seed, salt))
        return pl.Series(random.permutation(self.frame.height))


def number(seed: int, salt: str) -> int:
    """A seed of its own for each purpose."""
    return int(sha256_bytes(f"{seed} {salt}")[:12], 16)
