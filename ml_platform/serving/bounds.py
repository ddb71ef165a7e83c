"""The bounds of numbers in a request: from the checks of the schema, and what breaks them.

Imported inside the packaged service too, so it needs nothing.
"""

import math
from typing import Any, Protocol


class Bounded(Protocol):
    """A field with the bounds of its numbers."""

    @property
    def type(self) -> str: ...
    @property
    def ge(self) -> float | None: ...
    @property
    def gt(self) -> float | None: ...
    @property
    def le(self) -> float | None: ...
    @property
    def lt(self) -> float | None: ...


#: The sides of a range by the name of pandera's check.
_SIDES = {
    "greater_than_or_equal_to": ("ge", ""),
    "greater_than": ("gt", ""),
    "less_than_or_equal_to": ("", "le"),
    "less_than": ("", "lt"),
}


def bounds_of(column: Any) -> dict[str, Any]:
    """The bounds that a column's blocking checks set: ``ge`` or ``gt``, ``le`` or ``lt``, the tightest of each."""
    found: dict[str, list[Any]] = {}
    for check in getattr(column, "checks", None) or ():
        told, name = getattr(check, "statistics", None) or {}, getattr(check, "name", None)
        if getattr(check, "raise_warning", False) or name not in (*_SIDES, "in_range"):
            continue
        lower, upper = _SIDES.get(
            name, ("ge" if told.get("include_min", True) else "gt", "le" if told.get("include_max", True) else "lt")
        )
        for side, value in ((lower, told.get("min_value")), (upper, told.get("max_value"))):
            if side and value is not None:
                found.setdefault(side, []).append(value)
    return {side: (max if side in ("ge", "gt") else min)(values) for side, values in found.items()}


def described(column: Any) -> str:
    """What a column is, in the schema's words, and the values that it has by the schema's checks."""
    said = str(getattr(column, "description", None) or getattr(column, "title", None) or "").strip()
    bounds = bounds_of(column)
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    ranges = " and ".join(f"{words[key]} {bounds[key]}" for key in words if key in bounds)
    return ". ".join(filter(None, [said.rstrip("."), ranges and f"By the schema {ranges}"]))


def beyond(field: Bounded, least: Any, greatest: Any) -> str:
    """The bound of a field that the least or the greatest of some numbers breaks, in pydantic's words; else empty."""
    if field.ge is not None and least < field.ge:
        return f"greater than or equal to {field.ge}"
    if field.gt is not None and least <= field.gt:
        return f"greater than {field.gt}"
    if field.le is not None and greatest > field.le:
        return f"less than or equal to {field.le}"
    if field.lt is not None and greatest >= field.lt:
        return f"less than {field.lt}"
    return ""


def within(field: Bounded, value: Any) -> Any:
    """A plain value, or where the bounds forbid it the nearest one that they allow."""
    if field.type not in ("int", "float") or not beyond(field, value, value):
        return value
    whole = field.type == "int"
    lows = [one for one in (field.ge, None if field.gt is None else field.gt + 1) if one is not None]
    highs = [one for one in (field.le, None if field.lt is None else field.lt - 1) if one is not None]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is not None and high is not None and low > high and not whole:
        # Less than one lies between open ends.
        least = max(one for one in (field.ge, field.gt) if one is not None)
        return (least + min(one for one in (field.le, field.lt) if one is not None)) / 2
    found = low if low is not None and value < low else high
    return (math.ceil if found is low else math.floor)(found) if whole else float(found)  # type: ignore[arg-type]
