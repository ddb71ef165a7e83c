"""Numbers that people write in another way than ``1234.5``: decimal commas, thousands, units."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ml_platform.sources.columns import COMMA_NUMBER

if TYPE_CHECKING:
    import polars as pl

_POINT = r"^[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?$"
_THOUSANDS = r"^[+-]?\d{1,3}([,' ]\d{3})+(\.\d+)?$"
#: A comma before other than three digits is a decimal one.
_CERTAIN = r",(\d{1,2}|\d{4,})$"
#: Signs of money, or the letters and signs behind a number. Leading zeros are those of codes.
_UNIT = r"^([$€£¥]?)\s?[+-]?(?:0|[1-9][\d,.]*|0[.,]\d+)\s?([^\W\d_]{1,10}[²³]?|%|‰|°C?F?|[$€£¥])?$"
#: Two numbers in one value: of blood pressure, a size, a time of day.
_TWO = r"^\d+([.,]\d+)?\s?[/x\xd7:]\s?\d+([.,]\d+)?$"
#: Different units in one column, at most; with more they are codes.
_UNITS = 3


def decimal_comma(texts: "Mapping[str, pl.Series]", separator: str) -> tuple[bool, list[str]]:
    """Whether the numbers of a CSV file have decimal commas, and what has to be said of those that stay text.

    ``texts`` are its columns as they stand there. Only where no column has decimal points: a file is read by one rule.
    """
    there = {name: values.drop_nulls() for name, values in texts.items()}
    commas = [
        name for name, values in there.items()
        if values.len() and values.str.contains(COMMA_NUMBER).all() and values.str.contains(",", literal=True).any()
    ]  # fmt: skip
    points = [
        name for name, values in there.items()
        if values.len() and values.str.contains(_POINT).any() and not values.str.contains(COMMA_NUMBER).all()
        and values.str.contains(rf"{_POINT}|^[+-]?\d+$").all()
    ]  # fmt: skip
    sure = [name for name in commas if separator == ";" or there[name].str.contains(_CERTAIN).any()]
    if sure and not points:
        return True, []
    if sure:
        return False, [
            f"{_listed(sure)} have decimal commas and {_listed(points)} decimal points, so that the first stay text; "
            "deliver one kind in the whole file"
        ]
    return False, [
        f"of {name!r} nobody can tell whether {_example(there[name], ',')!r} has a decimal comma or thousands: it "
        "stays text; deliver plain numbers such as 1234.5"
        for name in commas
    ]


def odd_numbers(values: "pl.Series") -> str:
    """What a column of text holds where that is numbers in a form that is not read; else nothing."""
    there = values.drop_nulls()
    if not there.len():
        return ""
    if there.str.contains(COMMA_NUMBER).all() and there.str.contains(",", literal=True).any():
        return f"numbers with commas such as {_example(there, ',')!r}; deliver plain numbers such as 1234.5"
    plain = r"^[+-]?\d+(\.\d+)?$"
    if there.str.contains(rf"{_THOUSANDS}|{plain}").all() and there.str.contains(_THOUSANDS).any():
        found = there.filter(there.str.contains(_THOUSANDS))[0]
        return f"numbers with separated thousands such as {found!r}; deliver plain numbers such as 1234.5"
    if there.str.contains(_TWO).all():
        return f"two numbers in one value such as {there[0]!r}; deliver each as a column of its own"
    if there.str.contains(_UNIT).all():
        units = {" ".join(filter(None, match.groups())) for text in there.unique() if (match := re.match(_UNIT, text))}
        if 0 < len(units) <= _UNITS and "" not in units:
            return (
                f"numbers with a unit such as {there[0]!r}; deliver plain numbers"
                f"{', all in one unit,' if len(units) > 1 else ''} and put the unit into the column's name"
            )
    return ""


def _example(values: "pl.Series", sign: str) -> str:
    return str(values.filter(values.str.contains(sign, literal=True))[0])


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3]))
