"""A few texts in a column of numbers or dates: words for a missing value, or cells that somebody has to correct."""

import re
from typing import TYPE_CHECKING

from ml_platform.sources.columns import COMMA_NUMBER

if TYPE_CHECKING:
    import polars as pl

_FORMS = (r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$", COMMA_NUMBER, r"^\d{4}-\d{2}-\d{2}([T ].*)?$")
#: Leading zeros are those of codes.
_CODE = r"^[+-]?0\d+$"
#: Share of the values that may be stray, and fewest values that say what a column is of.
_SHARE, _FEWEST = 0.05, 20
#: A word for a missing value has no digit; different ones of a column, at most.
_WORD, _WORDS = r"^\D{1,20}$", 3
#: Cells that are named.
_SHOWN = 3


def stray(values: "pl.Series") -> "dict[str, list[int]]":
    """Each text of a column that otherwise has numbers or days, with its rows, counted from 1; empty for any other."""
    import polars as pl

    there = values.to_frame("text").with_row_index("row", offset=1).drop_nulls()
    text = pl.col("text")
    for form in _FORMS:
        other = there.filter(~text.str.contains(form))
        if not other.height or there.height < _FEWEST or other.height > _SHARE * there.height:
            continue
        if there.filter(text.str.contains(form) & text.str.contains(_CODE)).height:
            continue
        found: dict[str, list[int]] = {}
        for row, one in other.iter_rows():
            found.setdefault(one, []).append(row)
        return found
    return {}


def words(columns: "dict[str, pl.Series]") -> "dict[str, list[tuple[str, int]]]":
    """Words that stand for a missing value in columns of numbers or days, with column and row of each.

    One that is a value of a column of text as well is none: of that nobody knows what it means.
    """
    strays = {name: found for name, values in columns.items() if (found := stray(values))}
    able = {
        name: found for name, found in strays.items()
        if len(found) <= _WORDS and all(re.match(_WORD, text) for text in found)
    }  # fmt: skip
    places: dict[str, list[tuple[str, int]]] = {}
    for name, found in able.items():
        for text, rows in found.items():
            places.setdefault(text, []).extend((name, row) for row in rows)
    elsewhere = [values for name, values in columns.items() if name not in able]
    return {text: cells for text, cells in places.items() if not any((values == text).any() for values in elsewhere)}


def told_cells(found: "dict[str, list[int]]") -> str:
    """The cells of one column, for a message."""
    cells = [f"{text!r} (row {row})" for text, rows in found.items() for row in rows]
    more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    return f"{', '.join(cells[:_SHOWN])}{more}"
