"""What identifies a row: columns of the table, or one that the source adds."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_platform.creating.columns import NEARLY, Column
from ml_platform.creating.personal import record
from ml_platform.foundation.errors import PlatformError
from ml_platform.serving.schema import unservable

if TYPE_CHECKING:
    import polars as pl

#: Up to here copies of rows are stray.
COPIES = 0.01
#: Pairs of rows that chance would have made alike, from which on it is no chance that none is; most columns that are
#: tried together, and rows that are looked at first.
_BEYOND, _ABLE, _FEW = 20.0, 16, 5_000
#: Name of the column that is added, the first that the table does not have.
_ROW = ("row", "row_id", "table_row")


def key_of(
    frame: "pl.DataFrame",
    columns: dict[str, Column],
    wanted: tuple[str, ...],
    unknown: Sequence[str],
    time: str,
    notes: list[str],
) -> tuple[tuple[str, ...], str]:
    """The columns that identify a row; or the name of one that the source adds.

    ``unknown`` are columns that a request does not have: the target and what is known no sooner. Raises PlatformError
    for a wish that cannot be fulfilled, and for rows that were delivered twice.
    """
    if wanted:
        lacking = [name for name in wanted if columns[name].nulls]
        if lacking:
            raise PlatformError(f"--key: rows have no {lacking[0]!r}; a key has a value in every row")
        if set(wanted) & set(unknown):
            raise PlatformError("--key: it is part of a request, and so can be neither the target nor known later")
        twice = frame.height - frame.select(wanted).n_unique()
        if twice:
            raise PlatformError(
                f"--key: {twice} rows have a {' and '.join(map(repr, wanted))} that another one has too; name one more "
                "column with --key, or take those rows out"
            )
        return wanted, ""
    able = [
        one for one in columns.values()
        if one.nulls == 0 and one.kind not in ("float", "bool") and one.name not in unknown
        and not unservable(one.name)
    ]  # fmt: skip
    # A batch that came twice repeats identities; taken for none, its rows would get others and be in both parts.
    once = frame.unique().height
    single = [
        one for one in able
        if one.distinct == once and (one.identity or _numbered(one) or _coded(frame, one))
        and (not one.personal or record(one.field))
    ]  # fmt: skip
    if single:
        # What numbers people comes last: whoever asks a service with it tells of whom.
        chosen = min(
            single,
            key=lambda one: (
                bool(one.personal),
                not one.field.startswith("id"),
                not one.identity,
                [*columns].index(one.name),
            ),
        )
        _copies(frame, chosen, once, notes)
        if chosen.personal:
            notes.append(
                f"{chosen.name!r} is personal, by {chosen.personal}: marked pii, and masked wherever it is shown"
            )
        return (chosen.name,), ""
    for one in able:
        if one.identity and one.distinct > NEARLY * frame.height:
            notes.append(
                f"{one.name!r} nearly identifies a row, but {frame.height - one.distinct} rows repeat one with other "
                "values; correct the table where these are mistakes"
            )
    for one in (one for one in able if one.identity):
        for other in able:
            able_too = other.name != one.name and (other.identity or other.name == time)
            if able_too and frame.select(one.name, other.name).n_unique() == frame.height:
                return _together((one.name, other.name), notes), ""
    if regular := next((one for one in able if one.unique and _regular(frame, one)), None):
        notes.append(f"the key is {regular.name!r}: no two rows have the same")
        return (regular.name,), ""
    if several := _several(frame, able, time):
        return _together(several, notes), ""
    added = next(name for name in _ROW if name not in columns)
    notes.append(
        f"no column identifies a row: the source adds {added!r}, file and position in it; a key of your own: --key"
    )
    return (added,), added


def group_of(columns: dict[str, Column], key: tuple[str, ...], unknown: Sequence[str]) -> str:
    """The column that names customers, or who else has several rows; empty where there is none."""
    # A key of one column parts every row; of several, one may be what its rows have in common.
    parts = key if len(key) > 1 else ()
    able = [
        one for one in columns.values()
        if (one.identity or (one.name in parts and one.kind in ("text", "int"))) and not one.nulls
        and 20 <= one.distinct <= 0.7 * one.rows and one.name not in {*unknown, *key} - {*parts}
        and re.search(r"id|customer|patient|user|client|person|account|household", one.field)
    ]  # fmt: skip
    return max(able, key=lambda one: one.distinct).name if able else ""


def _together(names: tuple[str, ...], notes: list[str]) -> tuple[str, ...]:
    told = f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"
    notes.append(f"the key is {told}: together they are unique; another: --key, once for each column")
    return names


def _regular(frame: "pl.DataFrame", column: Column) -> bool:
    """Whether its times, each of another row, are so dense that chance would have made some of them equal."""
    import math

    import polars as pl

    if column.kind not in ("date", "timestamp"):
        return False
    times = frame[column.name].cast(pl.Datetime("us")).cast(pl.Int64).unique().sort()
    step = math.gcd(*times.diff().drop_nulls().to_list())
    return _collisions(frame.height, step / (times[-1] - times[0] + step)) >= _BEYOND


def _several(frame: "pl.DataFrame", able: Sequence[Column], time: str) -> tuple[str, ...]:
    """The fewest columns, two or three, that are unique together where chance would have made many rows alike."""
    from itertools import combinations

    named = [
        one for one in able
        if one.distinct > 1 and not one.unique and not one.prose and (not one.personal or record(one.field))
    ]  # fmt: skip
    # What names something comes before what may be a measure, and columns before those behind them.
    named = sorted(named, key=lambda one: (one.kind == "int" and not one.identity, one.name != time))[:_ABLE]
    alike = {one.name: _alike(frame, one.name) for one in named}
    few = frame.head(_FEW)
    for size in (2, 3):
        for chosen in combinations(named, size):
            names = tuple(one.name for one in chosen)
            possible, chance = 1, 1.0
            for one in chosen:
                possible, chance = possible * one.distinct, chance * alike[one.name]
            if possible < frame.height or _collisions(frame.height, chance) < _BEYOND:
                continue
            if few.select(names).n_unique() == few.height and frame.select(names).n_unique() == frame.height:
                return tuple(one for one in frame.columns if one in names)
    return ()


def _collisions(rows: int, chance: float) -> float:
    """Pairs of rows that would be alike, where two are by this chance."""
    return rows * (rows - 1) / 2 * chance


def _alike(frame: "pl.DataFrame", name: str) -> float:
    """By what chance two rows have the same value."""
    shares = frame[name].value_counts()["count"] / frame.height
    return float((shares**2).sum())


def _numbered(column: Column) -> bool:
    return column.counting or (column.kind == "int" and column.field in ("id", "row", "index"))


def _coded(frame: "pl.DataFrame", column: Column) -> bool:
    """Whether its texts are codes such as ``ORD-0017``."""
    return column.kind == "text" and bool(frame[column.name].str.contains(r"^[\w./#:-]*\d[\w./#:-]*$").all())


def _copies(frame: "pl.DataFrame", key: Column, once: int, notes: list[str]) -> None:
    """Notes the key, and rows that came twice. Raises PlatformError where they are too many to be stray ones."""
    copies = frame.height - once
    if not copies:
        notes.append(f"the key is {key.name!r}: every row has another")
        return
    first = frame.filter(frame.is_duplicated())[key.name][0]
    told = f"{copies} rows are copies of others, in every column ({key.name} {first} is one)"
    if copies > COPIES * frame.height:
        raise PlatformError(f"{told}: something was delivered twice; take one of each out of the files")
    notes.append(f"the key is {key.name!r}; {told}, which the gate 'duplicates' lets pass up to that share")
