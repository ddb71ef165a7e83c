"""What identifies a row: columns of the table, or one that the source adds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_platform.creating.columns import NEARLY, Column
from ml_platform.foundation.errors import PlatformError
from ml_platform.serving.schema import unservable

if TYPE_CHECKING:
    import polars as pl

#: Up to here copies of rows are stray.
COPIES = 0.01
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
                f"--key: {twice} rows have a {' and '.join(map(repr, wanted))} that another one has too"
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
        if one.distinct == once and not one.personal and (one.identity or _numbered(one) or _coded(frame, one))
    ]  # fmt: skip
    if single:
        chosen = min(
            single, key=lambda one: (not one.field.startswith("id"), not one.identity, [*columns].index(one.name))
        )
        _copies(frame, chosen, once, notes)
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
                notes.append(f"the key is {one.name!r} and {other.name!r}: together they are unique")
                return (one.name, other.name), ""
    added = next(name for name in _ROW if name not in columns)
    notes.append(
        f"no column identifies a row: the source adds {added!r}, file and position in it; a key of your own: --key"
    )
    return (added,), added


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
