"""Past outcomes as features: daily sums per key, and smoothed means over them with a declared lag.

A day's outcomes are summed once, when its partition is built, into a small table of whole numbers;
months and single requests then read the same index of running sums, so both give the same bits.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.features import state
from ml_platform.features.contract import FeatureFunction
from ml_platform.features.daily import (
    ALL,
    EPOCH,
    JOINER,
    check_days,
    daily,
    empty,
    group_name,
    groups_of,
    key_expressions,
    keys_in,
    keys_of,
    need_time,
    of_hours,
    text_of,
    values_of,
)
from ml_platform.features.running_sums import RunningSums
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import replacing
from ml_platform.foundation.times import days as day_of_each
from ml_platform.sources.partitions import Partitions

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# Summing and looking up belong together: the worker of a replay, which runs on the code of a commit, finds both here.
__all__ = ["History", "daily", "keys_of", "of_hours", "saved"]


class History:
    """Daily sums of the past, from which any day's features follow.

    ``lag_days``: a row of day D sees outcomes up to and including day D - ``lag_days``, or the last day that is known
    where that is earlier: what follows from outcomes that are too old follows from the newest there are. A history
    that is refreshed with partitions (:meth:`as_refreshed`) shows no row an outcome of its own partition. Make it
    with :meth:`from_tables` or :meth:`load`.
    """

    #: Partitions with which it is refreshed; None: day by day.
    refreshed: Partitions | None = None
    #: Whether the newest day may lack hours yet: then no row sees it.
    open: bool = False
    #: First day whose rows it has features for, where it goes on from a state (:meth:`resumed`); None: every day.
    since: date | None = None

    def __init__(
        self, function: FeatureFunction, tables: "Sequence[pl.DataFrame]", lag_days: int, known: "History | None" = None
    ) -> None:
        if lag_days < 1:
            raise PlatformError(
                f"history lag of {lag_days} days: it must be at least 1, since a row's own day is its future"
            )
        self.histories = tuple(function.histories)
        self.lag_days = lag_days
        self.tables = tuple(tables)
        self._keys = key_expressions(self.histories)
        self._by = tuple(groups_of(self.histories).items())
        continued = known is not None and known.histories == self.histories and _begins_with(self.tables, known.tables)
        self.since = known.since if continued and known else None
        #: Every day whose outcomes are known, and the running sums by group.
        self._days, self._indexes = (known._days, known._indexes) if continued and known else self._nothing()
        self._add(self.tables[len(known.tables) if continued and known else 0 :])
        #: Last day whose outcomes are known; None when none are.
        self.until: date | None = self._days.max()  # type: ignore[assignment]
        self._plan_lookups()

    def _nothing(self) -> "tuple[pl.Series, dict[str, RunningSums]]":
        import polars as pl

        half_lives: dict[str, set[float]] = {name: set() for name in (ALL, *groups_of(self.histories))}
        for history in self.histories:
            if history.half_life_days is not None:
                half_lives[ALL].add(history.half_life_days)
                half_lives[group_name(history.by)].add(history.half_life_days)
        columns = 2 * len(values_of(self.histories))
        indexes = {name: RunningSums.empty(wanted, columns) for name, wanted in half_lives.items()}
        return pl.Series("day", [], pl.Date), indexes

    def _add(self, tables: "Sequence[pl.DataFrame]") -> None:
        """Index further tables. Raises PlatformError as :meth:`from_tables` does."""
        import polars as pl

        nothing = empty(self.histories)
        for table in tables:
            if table.height and table.schema != nothing.schema:
                raise PlatformError(
                    "a daily table was written by another version of the histories "
                    f"(columns {table.columns}, expected {nothing.columns}); rebuild the features of that partition"
                )
        added = pl.concat([nothing, *(table for table in tables if table.height)])
        if not added.height:
            return
        parts = {name: rows for (name,), rows in added.partition_by("group", as_dict=True).items()}
        self._days = pl.concat([self._days, parts[ALL]["day"] if ALL in parts else added["day"].clear()])
        first: date | None = added["day"].min()  # type: ignore[assignment]
        if self.since is not None and first is not None and first < self.since:
            raise PlatformError(f"day {first} comes before {self.since}, from which on this history goes on")
        if self._days.is_duplicated().any():
            twice = self._days.filter(self._days.is_duplicated()).min()
            raise PlatformError(f"day {twice} comes in two daily tables; pass one table per partition")
        if missing := set(groups_of(self.histories)) - set(parts):
            raise PlatformError(
                f"daily tables lack the groups {sorted(missing)}; rebuild the features of their partitions"
            )
        self._indexes = {
            name: index.extended(parts[name]) if name in parts else index for name, index in self._indexes.items()
        }

    def _plan_lookups(self) -> None:
        """Which sums are looked up once each, and where every history finds its own among them."""
        import numpy as np

        width = 2 * len(values_of(self.histories))
        column = {value: 2 * place for place, value in enumerate(values_of(self.histories))}
        lookups: dict[tuple[str, int | None, float | None], int] = {}
        places = np.zeros((2, len(self.histories)), dtype=np.int64)
        for number, history in enumerate(self.histories):
            for part, name in enumerate((ALL, group_name(history.by))):
                lookup = (name, history.window_days, history.half_life_days)
                places[part, number] = lookups.setdefault(lookup, len(lookups)) * width + column[history.of]
        self._lookups = tuple(lookups)
        self._all_places, self._key_places = places
        self._priors = np.array([[history.prior] for history in self.histories])

    @classmethod
    def from_tables(
        cls,
        function: FeatureFunction,
        tables: Iterable["pl.DataFrame"],
        lag_days: int,
        known: "History | None" = None,
    ) -> "History":
        """History of the :func:`daily` tables of any number of partitions, in any order.

        ``known`` is a history whose tables may be the first of these: it is then continued, which gives the same bits
        for less. Raises :class:`PlatformError` where a day comes in two tables: its outcomes would count twice.
        """
        return cls(function, tuple(tables), lag_days, known)

    def carried(self, since: date) -> "pl.DataFrame":
        """The state (:mod:`~ml_platform.features.state`) that rows of days from ``since`` on, and later days, need."""
        window = max((int(one.window_days or 1) for one in self.histories), default=1)
        seen = since.toordinal() - self.lag_days
        newest = seen if self.until is None else min(seen, self.until.toordinal())
        return state.packed(self._days, self._indexes, newest - window)

    @classmethod
    def resumed(cls, function: FeatureFunction, table: "pl.DataFrame", lag_days: int, since: date) -> "History":
        """The history of which :meth:`carried` gave ``table``: the same bits for rows of days from ``since`` on, also
        where it is continued by :meth:`from_tables`.
        """
        history = cls(function, (), lag_days)
        history._days, history._indexes = state.unpacked(table, history._indexes)
        history.since, history.until = since, history._days.max()  # type: ignore[assignment]
        return history

    def as_refreshed(self, partitions: Partitions | None, through: date | None = None) -> "History":
        """This history, refreshed each time a partition has closed; None: day by day.

        ``through`` is a day up to which all outcomes are known, where the last days have no rows.
        """
        other = copy(self)
        other.refreshed = partitions
        if through is not None and self.until is not None:
            other.until = max(self.until, through)
        return other

    def opened(self) -> "History":
        """This history, made of hours (:func:`of_hours`): its newest day counts once there is a later one."""
        other = copy(self)
        other.open = True
        if self.until is not None:
            other.until = self.until - timedelta(days=1)
        return other

    def newest(self, day: date) -> date:
        """The last day whose outcomes a row of ``day`` may see, whether they are known or not."""
        last = day - timedelta(days=self.lag_days)
        return last if self.refreshed is None else min(last, self.refreshed.beginning(day) - timedelta(days=1))

    def blind(self, day: date) -> bool:
        """Whether a row of ``day`` sees no outcome at all: those of the first partitions have no past yet."""
        first: date | None = self._days.min()  # type: ignore[assignment]
        return first is None or first > self.newest(day)

    def behind(self, day: date) -> int | None:
        """Days of outcomes that a row of ``day`` may see and that are not known; None where none are known at all."""
        return None if self.until is None else max(0, (self.newest(day) - self.until).days)

    def covers(self, day: date) -> bool:
        """Whether everything that a row of ``day`` may see is known."""
        return self.behind(day) == 0

    def matrix(self, rows: "pl.DataFrame", days: "pl.Series | None") -> "np.ndarray":
        """Features of ``rows`` (which has the key columns) on ``days``: float32, shape (rows, histories).

        Of data without time (no ``days``) there are none.

        Takes the window's days (see :class:`HistoricalMean`) up to ``lag_days`` before the row's. A key without a
        past gets the mean over all keys; NaN (missing) where no outcome at all is known in the window. Raises
        :class:`PlatformError` for a missing key column or a row without a day.
        """
        import numpy as np

        if days is None:
            need_time(self.histories)
            return np.empty((rows.height, 0), dtype=np.float32)
        check_days(days)
        days = day_of_each(days)
        if not self.histories:
            return np.empty((rows.height, 0), dtype=np.float32)
        keys = keys_in(rows, self.histories, self._keys)
        last = self._last(days)
        codes = {ALL: np.zeros(rows.height, dtype=np.int64)}
        for series in keys.get_columns():
            codes[series.name] = self._indexes[series.name].codes_of(series)
        sums = np.concatenate(
            [
                self._indexes[name].sums(codes[name], last, window, half_life).astype(np.float64, copy=False)
                for name, window, half_life in self._lookups
            ]
        )
        return self._means(sums)

    def row(self, values: Mapping[str, object], day: date) -> "np.ndarray | None":
        """:meth:`matrix` of one row, to the last bit, without a collection of polars; shape (1, histories).

        ``values`` are those of the row. None where only :meth:`matrix` knows how a value becomes a key, or why it does
        not.
        """
        import numpy as np

        keys = {ALL: ALL}
        for name, by in self._by:
            parts = [text_of(values[column]) if column in values else None for column in by]
            if None in parts:
                return None
            keys[name] = JOINER.join(parts)  # type: ignore[arg-type]
        known = self.newest(day) if self.until is None else min(self.newest(day), self.until)
        last = (known - EPOCH).days
        found = [
            self._indexes[name].sums_of_row(keys[name], last, window, half_life)
            for name, window, half_life in self._lookups
        ]
        return self._means(np.array([value for sums in found for value in sums], dtype=np.float64)[:, None])

    def _last(self, days: "pl.Series") -> "np.ndarray":
        """For each row the last day that it sees, in days since 1970."""
        import numpy as np

        numbers = days.to_physical().to_numpy().astype(np.int64)
        last = numbers - self.lag_days
        if self.refreshed is not None:
            unique, where = np.unique(numbers, return_inverse=True)
            every = [(self.newest(EPOCH + timedelta(days=int(number))) - EPOCH).days for number in unique]
            last = np.array(every, dtype=np.int64)[where]
        return last if self.until is None else np.minimum(last, (self.until - EPOCH).days)

    def _means(self, sums: "np.ndarray") -> "np.ndarray":
        """The features that follow from the sums of each lookup (sums x rows)."""
        import numpy as np

        # `n` is at each place and `sum` after it.
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_of_all = sums[self._all_places + 1] / sums[self._all_places]
            total = sums[self._key_places + 1] + self._priors * mean_of_all
            result = total / (sums[self._key_places] + self._priors)
        return result.T.astype(np.float32, order="C")

    def features(self, rows: "pl.DataFrame", days: "pl.Series | None") -> "pl.DataFrame":
        """:meth:`matrix` as a frame of Float32 columns named after the histories; missing is null."""
        import polars as pl

        names = [history.name for history in self.histories]
        return pl.DataFrame(self.matrix(rows, days), schema=dict.fromkeys(names, pl.Float32)).fill_nan(None)

    def save(self, path: Path, code: str = "") -> Path:
        """Write the table as Parquet, atomically, with what it is in its metadata: lag, refresh, last day, and the
        version ``code`` of what made it, where it is given. A service reads it."""
        import polars as pl

        if self.since is not None:
            raise PlatformError(f"a history from a state knows no day before {self.since}; save a whole one")
        table = pl.concat([empty(self.histories), *(table for table in self.tables if table.height)])
        about = {
            "lag_days": str(self.lag_days),
            "until": self.until.isoformat() if self.until else "",
            **({"refreshed": self.refreshed.model_dump_json()} if self.refreshed else {}),
            **({"open": "true"} if self.open else {}),
            **({"code": code} if code else {}),
        }
        with replacing(path) as temporary:
            table.sort("group", "key", "day").write_parquet(temporary, metadata=about, compression="zstd")
        return path

    @classmethod
    def load(cls, function: FeatureFunction, path: Path) -> "History":
        """Read what :meth:`save` wrote. Raises :class:`PlatformError` when it is not a history of ``function``."""
        import polars as pl

        about = saved(path)
        partitions = Partitions.model_validate_json(about["refreshed"]) if "refreshed" in about else None
        through = date.fromisoformat(about["until"]) if about.get("until") else None
        history = cls.from_tables(function, [pl.read_parquet(path)], int(about["lag_days"]))
        if "open" in about:
            return history.opened()
        return history.as_refreshed(partitions, through)


def saved(path: Path) -> dict[str, str]:
    """What the metadata of a saved history says of it. Raises PlatformError where it is none."""
    import polars as pl

    about = pl.read_parquet_metadata(path)
    if "lag_days" not in about:
        raise PlatformError(f"{path} is not a saved history: no lag in its metadata; save it with History.save")
    return about


def _begins_with(tables: "Sequence[pl.DataFrame]", first: "Sequence[pl.DataFrame]") -> bool:
    return len(first) <= len(tables) and all(one is other for one, other in zip(first, tables, strict=False))
