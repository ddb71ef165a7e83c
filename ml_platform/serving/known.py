"""Texts that training has seen, and which rows of a request have another: their answer stands on less than it looks.

Imported inside the packaged service too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.serving.schema import RequestSchema

if TYPE_CHECKING:
    import polars as pl

#: Most different texts of a column, and rows that each has on average at least: what has more names single rows.
MOST, ROWS_EACH = 10_000, 5
#: From so many rows on they are looked at by polars.
_MANY = 64


def texts_of(request: RequestSchema) -> tuple[str, ...]:
    """The columns whose texts are kept: none that are personal, or that the schema holds to some values anyhow."""
    return tuple(
        field.name for field in request.asked if field.type == "str" and not field.pii and field.allowed is None
    )


def known_texts(frames: "Iterable[pl.DataFrame]", names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The texts of each column in all frames, in order; without columns that name single rows rather than kinds."""
    import polars as pl

    found: dict[str, set[str]] = {name: set() for name in names}
    rows = 0
    for frame in frames:
        rows += frame.height
        for name in [*found]:
            found[name].update(frame[name].cast(pl.String).drop_nulls().unique().to_list())
            if len(found[name]) > MOST:
                del found[name]
    return {name: tuple(sorted(values)) for name, values in found.items() if 0 < len(values) * ROWS_EACH <= rows}


class Known:
    """What training has seen, and what it has not."""

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        self._texts = {name: frozenset(values) for name, values in texts.items()}
        self._lists = {name: list(values) for name, values in texts.items()}

    def unseen(self, raw: "pl.DataFrame | Mapping[str, Any]") -> dict[str, list[int]]:
        """Column to the rows, from 0, whose text no row of training had; a missing one is none. Of one row its values
        are enough."""
        found: dict[str, list[int]] = {}
        for name, texts in self._texts.items():
            values = raw[name]
            if values is None or isinstance(values, str):
                places = [0] if values is not None and values not in texts else []
            elif len(values) < _MANY:
                places = [place for place, one in enumerate(values) if one is not None and one not in texts]
            else:
                places = (~values.is_in(self._lists[name])).fill_null(False).arg_true().to_list()
            if places:
                found[name] = places
        return found


def told(unseen: Mapping[str, Sequence[int]]) -> str:
    """Which columns have such texts, and in how many rows; empty where none has."""
    parts = [f"{name!r} in {len(rows):,} {'row' if len(rows) == 1 else 'rows'}" for name, rows in unseen.items()]
    return f"texts that training has not seen: {', '.join(parts)}" if parts else ""
