"""Columns of earlier batches, for the gates that compare with them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_platform.datasets import batches
from ml_platform.datasets.store import ObjectInfo, VersionedStore

if TYPE_CHECKING:
    import polars as pl

#: Bytes of columns that are kept; what was not asked for longest goes first.
KEPT = 256 << 20


class EarlierColumns:
    """Reads each column of each content once: every later partition is compared with the same ones."""

    def __init__(self, store: VersionedStore, kept: int = KEPT) -> None:
        self._store, self._most = store, kept
        self._columns: OrderedDict[tuple[str, str], pl.Series] = OrderedDict()
        #: Bytes that are kept now.
        self.held = 0

    def read(self, branch: str, info: ObjectInfo, columns: Sequence[str]) -> "pl.DataFrame":
        """Columns of an object on a branch. Raises as :func:`~ml_platform.datasets.batches.read_at` does."""
        import polars as pl

        wanted = list(dict.fromkeys(columns))
        found = {name: self._columns[info.sha256, name] for name in wanted if (info.sha256, name) in self._columns}
        if missing := [name for name in wanted if name not in found]:
            frame = batches.read_at(self._store, branch, info.path, info.sha256, missing)
            found |= {name: frame[name] for name in missing}
        result = pl.DataFrame([found[name] for name in wanted])
        self.keep(info.sha256, result)
        return result

    def keep(self, sha256: str, frame: "pl.DataFrame") -> "pl.DataFrame":
        """Remember columns of a content that was read already: it will be an earlier one of the next. The frame."""
        for column in frame.get_columns():
            if (place := (sha256, column.name)) not in self._columns:
                self._columns[place] = column
                self.held += column.estimated_size()
            self._columns.move_to_end(place)
        while len(self._columns) > 1 and self.held > self._most:
            self.held -= self._columns.popitem(last=False)[1].estimated_size()
        return frame
