"""Sums over the past days of many keys, found by binary search."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Every day that Python has, counted from the year 1 as its ordinals are, fits into 22 bits.
DAY_BITS = 22
#: Ordinal of the day from which polars and numpy count: days before it are negative there, and have a place here.
_SINCE = date(1970, 1, 1).toordinal()
#: Keys that are looked up one by one; of more, those that are equal are looked up together.
FEW_KEYS = 200


@lru_cache(maxsize=32)
def _weights(half_life: float) -> "np.ndarray":
    """Weight by age in days, to the age at which it is below 2**-60 (and then 0).

    A table, since a vectorized power may round differently for one row than within a batch.
    """
    import numpy as np

    return np.array([0.5 ** (age / half_life) for age in range(int(60 * half_life) + 2)] + [0.0])


def _weight(age: "np.ndarray", half_life: float) -> "np.ndarray":
    table = _weights(half_life)
    return table.take(age, mode="clip")


@dataclass(frozen=True)
class RunningSums:
    """The days of one group, found by binary search, with running sums.

    ``places`` is ``code << DAY_BITS | day``, ascending. Arrays of sums have a column per ``n_*`` and ``sum_*`` and a
    row per place, after a leading row of zeros.
    """

    codes: dict[str, int]
    places: "np.ndarray"
    #: Running whole-number sums over places: places ``[i, j)`` have ``totals[j] - totals[i]``.
    totals: "np.ndarray"
    #: Per half-life: the key's decayed sums as they stood on the place's day.
    decayed: dict[float, "np.ndarray"]

    @classmethod
    def empty(cls, half_lives: Iterable[float], columns: int) -> "RunningSums":
        """An index without a day, of ``columns`` sums."""
        import numpy as np

        decayed = {half_life: np.zeros((1, columns)) for half_life in half_lives}
        return cls({}, np.zeros(0, np.int64), np.zeros((1, columns), np.int64), decayed)

    def extended(self, table: "pl.DataFrame") -> "RunningSums":
        """This index with further rows ``group, key, day, n_*, sum_*`` of its group, each of a new day of its key.

        Rows of a key may stand apart; they cost least where those of one key stand together.
        """
        import numpy as np

        # Columns are taken out one by one: each selection of a table this small costs more than its numbers.
        runs = table["key"].rle().struct.unnest()
        codes = dict(self.codes)
        numbers = [codes.setdefault(key, len(codes)) for key in runs["value"].to_list()]
        ids = np.repeat(np.array(numbers, np.int64), runs["len"].to_numpy())
        added = (ids << DAY_BITS) + table["day"].to_numpy().astype("datetime64[D]").astype(np.int64) + _SINCE
        order = np.argsort(added)
        new = np.empty((table.height, self.totals.shape[1]), np.int64)
        for place, name in enumerate(table.columns[-new.shape[1] :] if new.shape[1] else ()):
            new[:, place] = table[name].to_numpy()
        added, new = added[order], new[order]
        at = self.places.searchsorted(added)
        places, sums = np.insert(self.places, at, added), np.insert(np.diff(self.totals, axis=0), at, new, axis=0)
        zero = np.zeros((1, sums.shape[1]), dtype=np.int64)
        changed = _from_first(places >> DAY_BITS, at + np.arange(len(at)))
        return RunningSums(
            codes,
            places,
            np.concatenate([zero, np.cumsum(sums, axis=0)]),
            {
                half_life: np.concatenate(
                    [zero, _decay(places, sums, np.insert(known[1:], at, new, axis=0), changed, half_life)]
                )
                for half_life, known in self.decayed.items()
            },
        )

    def carried(self, first: int) -> "pl.DataFrame":
        """What lookups of days from ``first`` (an ordinal) on need, and no more: of each key its days from then on, and
        for all before one row, at the newest of them.

        Columns ``key``, ``day`` (ordinal), a running ``total_<n>`` per column of sums, and ``decayed_<half-life>_<n>``.
        """
        import numpy as np
        import polars as pl

        ids, days = self.places >> DAY_BITS, self.places & ((1 << DAY_BITS) - 1)
        older = days < first
        followed = np.append(older[1:] & (ids[1:] == ids[:-1]), False)[: len(older)]
        kept = np.flatnonzero(~(older & followed))
        keys = list(self.codes)
        # Totals begin with each key anew: those of the keys before it are no part of its state.
        starts = self.places.searchsorted(ids[kept] << DAY_BITS)
        totals = self.totals[kept + 1] - self.totals[starts]
        columns: dict[str, Any] = {
            "key": pl.Series([keys[number] for number in ids[kept].tolist()], dtype=pl.String),
            "day": days[kept],
            **{f"total_{place}": totals[:, place] for place in range(totals.shape[1])},
        }
        for half_life, sums in sorted(self.decayed.items()):
            columns |= {f"decayed_{half_life!r}_{place}": sums[kept + 1, place] for place in range(sums.shape[1])}
        return pl.DataFrame(columns)

    def resumed(self, table: "pl.DataFrame") -> "RunningSums":
        """The index of which :meth:`carried` gave ``table``, sorted by key and day; this one is empty.

        It answers lookups from that day on, and those after it was :meth:`extended`, to the last bit as the other does.
        """
        import numpy as np

        names = table["key"].unique(maintain_order=True).to_list()
        codes = {name: number for number, name in enumerate(names)}
        ids = np.array([codes[name] for name in table["key"].to_list()], np.int64)
        first = np.append(True, ids[1:] != ids[:-1])[: len(ids)]

        def columns(start: str) -> "np.ndarray":
            width = range(self.totals.shape[1])
            return np.stack([table[f"{start}_{place}"].to_numpy() for place in width], axis=1)

        zero = np.zeros((1, self.totals.shape[1]), np.int64)
        running = columns("total").astype(np.int64)
        sums = np.where(first[:, None], running, np.diff(running, axis=0, prepend=zero))
        return RunningSums(
            codes,
            (ids << DAY_BITS) + table["day"].to_numpy().astype(np.int64),
            np.concatenate([zero, np.cumsum(sums, axis=0)]),
            {one: np.concatenate([zero.astype(float), columns(f"decayed_{one!r}")]) for one in self.decayed},
        )

    def codes_of(self, keys: "pl.Series") -> "np.ndarray":
        """Codes of keys. An unknown one takes the code after the last: it finds an empty stretch of the index."""
        import numpy as np
        import polars as pl

        if len(keys) < FEW_KEYS:
            return np.array([self.codes.get(key, len(self.codes)) for key in keys.to_list()], dtype=np.int64)
        # Each different key is looked up once.
        unique = keys.unique()
        numbers = [self.codes.get(key, len(self.codes)) for key in unique.to_list()]
        table = pl.DataFrame({"key": unique, "code": pl.Series(numbers, dtype=pl.Int64)})
        joined = pl.DataFrame({"key": keys}).join(table, on="key", how="left", maintain_order="left")
        return joined["code"].to_numpy()

    def sums(
        self, codes: "np.ndarray", last: "np.ndarray", window: int | None, half_life: float | None
    ) -> "np.ndarray":
        """Sums of each code up to and including the day ``last``, in days since 1970; shape (columns, rows)."""
        import numpy as np

        base, last = codes << DAY_BITS, last + _SINCE
        end = self.places.searchsorted(base + last, side="right")
        if half_life is None:
            first = base if window is None else base + np.maximum(last - (window - 1), 0)
            start = self.places.searchsorted(first, side="left")
            # Before the first day known, a window may start after it ends: that is no day, not a negative sum.
            return (self.totals[end] - self.totals[np.minimum(start, end)]).T
        if not len(self.places):
            return np.zeros((self.totals.shape[1], len(codes)))
        # The place before `end` is the key's newest known day, or belongs to another key: then nothing is known.
        newest = self.places[end - 1]
        known = (end > 0) & (newest >= base)
        age = np.where(known, base + last - newest, -1)
        weights = np.where(known, _weight(age, half_life), 0.0)
        return self.decayed[half_life][end].T * weights

    def sums_of_row(self, key: str, last: int, window: int | None, half_life: float | None) -> list[float]:
        """:meth:`sums` of one key, to the last bit, in a tenth of its time: numbers of Python instead of arrays."""
        base, last = self.codes.get(key, len(self.codes)) << DAY_BITS, last + _SINCE
        end = int(self.places.searchsorted(base + last, side="right"))
        if half_life is None:
            first = base if window is None else base + max(last - (window - 1), 0)
            start = min(int(self.places.searchsorted(first, side="left")), end)
            return (self.totals[end] - self.totals[start]).tolist()
        newest = int(self.places[end - 1]) if end else -1
        if newest < base:
            return [0.0] * self.totals.shape[1]
        weights = _weights(half_life)
        weight = float(weights[min(base + last - newest, len(weights) - 1)])
        return [value * weight for value in self.decayed[half_life][end].tolist()]


def _from_first(ids: "np.ndarray", new: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Of each key with a ``new`` place the first of them, and how many places it has from there on; longest first."""
    import numpy as np

    keys, firsts = np.unique(ids[new], return_index=True)
    starts = new[firsts]
    lengths = ids.searchsorted(keys, side="right") - starts
    longest_first = np.argsort(-lengths, kind="stable")
    return starts[longest_first], lengths[longest_first]


def _decay(
    places: "np.ndarray",
    sums: "np.ndarray",
    known: "np.ndarray",
    changed: "tuple[np.ndarray, np.ndarray]",
    half_life: float,
) -> "np.ndarray":
    """Decayed sums ``s[i] = sums[i] + s[i-1] * 2 ** (-(days[i] - days[i-1]) / half_life)`` along each key.

    From the oldest day on, so that a later day never changes an earlier value, not even in its last bit: what is
    ``known`` stays, and only the ``changed`` stretches (:func:`_from_first`) are computed.
    """
    import numpy as np

    result = known.astype(np.float64)
    starts, lengths = changed
    for step in range(int(lengths[0]) if len(lengths) else 0):
        # All keys advance together; those without a further day are at the end and drop out.
        here = starts[: np.searchsorted(-lengths, -step, side="left")] + step
        result[here] = sums[here]
        # Before the first place, as before any key's first, there is nothing to decay.
        before = np.maximum(here - 1, 0)
        passed = places[here] - places[before]
        same = (places[here] >> DAY_BITS == places[before] >> DAY_BITS) & (here > 0)
        result[here[same]] += result[before[same]] * _weight(passed[same], half_life)[:, None]
    return result
