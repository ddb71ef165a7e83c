"""Values that lie far from all others: a price in cents, a code for "not known"; which rows have them, and what to do.

A handful of them may carry nearly all of a column's variance, so that no metric of a mean tells a model from chance.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_platform.creating.columns import Column
from ml_platform.creating.roles import Roles

if TYPE_CHECKING:
    import polars as pl

#: How many times farther from the median than every other value, and at most how many different ones, lie far.
_FAR, _DIFFERENT = 10.0, 3
#: Rows that are a handful: so many, or this share.
_FEW, _SHARE = 5, 0.001
#: Share of the squared distances from the median from which on a handful of rows decides every mean.
_CARRIED = 0.5
#: Rows that are named.
_SHOWN = 3


@dataclass(frozen=True)
class Extreme:
    """Values of a column far from its others."""

    column: str
    #: Rows, most distant first; their values; how they are named: ``id 700``, ``row 701``.
    values: tuple[float, ...]
    named: tuple[str, ...]
    #: All rows that have them, and all rows.
    count: int
    rows: int
    #: Range of the others, and share of the squared distances from the median.
    low: float
    high: float
    carried: float

    @property
    def few(self) -> bool:
        """Whether it is a handful of rows; of many with one value that is a code."""
        return self.count <= handful(self.rows)

    @property
    def told(self) -> str:
        """Which rows, and how far away."""
        if not self.few:
            alike = sorted(set(self.values))
            return (
                f"{self.column!r} is {' or '.join(map(_shown, alike))} in {self.count:,} of {self.rows:,} rows, far "
                f"from the others ({_shown(self.low)} to {_shown(self.high)})"
            )
        pairs = [f"{_shown(value)} ({name})" for value, name in zip(self.values, self.named, strict=False)]
        more = f" and {self.count - _SHOWN} more" if self.count > _SHOWN else ""
        return (
            f"{self.column!r}: {', '.join(pairs[:_SHOWN])}{more}, where the other rows have {_shown(self.low)} to "
            f"{_shown(self.high)}"
        )


def handful(rows: int) -> int:
    """How many of so many rows are few."""
    return max(_FEW, int(_SHARE * rows))


def far_away(roles: Roles, name: str) -> Extreme | None:
    """Values at least :data:`_FAR` times farther from the median than all others; ``None`` where there are none."""
    column = roles.columns[name]
    if column.kind not in ("int", "float") or column.distinct <= _DIFFERENT + 2:
        return None
    values = _numbers(roles, name)
    middle = values.median()
    assert isinstance(middle, float)
    each = values.drop_nulls().unique()
    distance = (each - middle).abs().sort(descending=True)
    for count in range(_DIFFERENT, 0, -1):
        rest = distance[count:]
        spread = rest.max()
        # Of values that are nearly all the same, such as none at all, every other one lies far.
        if isinstance(spread, float) and spread > 0 and _halves_differ(values) and distance[count - 1] > _FAR * spread:
            return _extreme(roles, name, distance[count - 1])
    return None


def carrying(roles: Roles, name: str) -> Extreme | None:
    """The handful of rows that has more than half of all squared distances from the median; ``None``: there is none."""
    if roles.columns[name].kind not in ("int", "float"):
        return None
    values = _numbers(roles, name)
    squared = (values - values.median()).drop_nulls() ** 2
    top = squared.sort(descending=True)[: handful(values.len())]
    carried = (top.cum_sum() / squared.sum()).to_list() if squared.sum() else []
    count = next((place for place, share in enumerate(carried, 1) if share > _CARRIED), 0)
    return _extreme(roles, name, float(top[count - 1]) ** 0.5) if count else None


def notes_of(roles: Roles, names: tuple[str, ...]) -> list[str]:
    """A sentence for each of these columns with values far from its others."""
    found = [one for name in names if (one := far_away(roles, name))]
    way = {True: "correct what is a mistake", False: "where that means a missing value, leave it empty in the table"}
    return [f"{one.told}: {way[one.few]}; the bounds in the schema reach as far" for one in found]


def _numbers(roles: Roles, name: str) -> "pl.Series":
    """The finite values of a column; null elsewhere."""
    import polars as pl

    values = roles.frame[name].cast(pl.Float64)
    return values.to_frame().select(pl.when(pl.col(name).is_finite()).then(pl.col(name)))[name]


def _halves_differ(values: "pl.Series") -> bool:
    low, high = values.quantile(0.25), values.quantile(0.75)
    return low != high


def _extreme(roles: Roles, name: str, least: float) -> Extreme:
    import numpy as np
    import polars as pl

    values = _numbers(roles, name)
    distance = (values - values.median()).abs()
    far = (distance >= least * (1 - 1e-12)).fill_null(False)
    places = (
        pl.DataFrame({"at": pl.int_range(values.len(), eager=True), "distance": distance})
        .filter(far)
        .sort("distance", "at", descending=[True, False])["at"]
        .to_list()
    )
    rest = values.filter(~far).drop_nulls()
    low, high = rest.min(), rest.max()
    assert isinstance(low, float) and isinstance(high, float)
    squared = (distance**2).to_numpy()
    return Extreme(
        name,
        tuple(float(values[at]) for at in places),
        tuple(_name(roles, at) for at in places[:_SHOWN]),
        len(places),
        values.len(),
        low,
        high,
        float(np.nansum(squared[far.to_numpy()]) / np.nansum(squared)),
    )


def _name(roles: Roles, at: int) -> str:
    """How a row is found in the file: by its key where that names it and no person, else by its position."""
    named: list[Column] = [roles.columns[one] for one in roles.key if one != roles.row_id]
    if not named or any(one.personal for one in named):
        return f"row {at + 1}"
    return ", ".join(f"{one.name} {roles.frame[one.name][at]}" for one in named)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
