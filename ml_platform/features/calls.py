"""Calls of a user's feature function: each is given a frame of its own, which nobody else reads.

polars changes a frame in place where it is asked to (``replace_column``, ``frame[0, "a"] = …``). What ``rows()`` does
to the frame that it is given must not become a label.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant
from ml_platform.foundation.raised import raised

if TYPE_CHECKING:
    import polars as pl


class UnknownColumn(PlatformError):
    """A feature function reads a column that the frame does not have."""


def rows(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.DataFrame":
    """``function.rows(raw)``."""
    return call(function.rows, "rows", raw.clone())


def outcomes(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.DataFrame":
    """``function.outcomes(raw)``."""
    return call(function.outcomes, "outcomes", raw.clone())


def targets(function: FeatureFunction, raw: "pl.DataFrame") -> "pl.DataFrame":
    """``function.targets(raw)``."""
    return call(function.targets, "targets", raw.clone())


def call(method: "Callable[[pl.DataFrame], pl.DataFrame]", name: str, own: "pl.DataFrame") -> "pl.DataFrame":
    """A method on a frame that nobody else reads. Raises UnknownColumn, in one line, for a column that is not there."""
    import polars as pl

    try:
        return method(own)
    except pl.exceptions.ColumnNotFoundError as error:
        column = re.search(r'"([^"]+)"', str(error))
        unknown = column[1] if column else str(error)
        why = (
            "which is not among inputs; add it there, unless it is known only afterwards: that can be no feature"
            if name == "rows"
            else f"which no row has{meant(unknown, own.columns)}"
        )
        place = re.search(r" \(in [^()]+\)$", raised(error))
        raise UnknownColumn(f"{name}() reads {unknown!r}, {why}{place[0] if place else ''}") from error
