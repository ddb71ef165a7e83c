"""In which forms people write days and times that are not ISO, in the words of ``strptime``: one list for all who ask.

Day and month are told apart by a day beyond the 12th only.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%Y%m%d"),
)
_TIMES = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
#: Values that are tried first, before all are read.
_FEW = 2_000


def fitting(values: "pl.Series", *, times: bool | None = None) -> "Iterator[tuple[str, pl.Series]]":
    """Each form in which all texts of a column can be read, and what comes of it; null stays null.

    ``times``: whether there are times of day; None: either.
    """
    import polars as pl

    few = values.drop_nulls()[:_FEW]
    if not len(few):
        return
    for day in _DAYS:
        for time in ("", *_TIMES):
            kind = pl.Datetime("us") if time else pl.Date()
            if times is not None and times != bool(time):
                continue
            if few.str.strptime(kind, day + time, strict=False).null_count():
                continue
            read = values.str.strptime(kind, day + time, strict=False)
            if read.null_count() == values.null_count():
                yield day + time, read
