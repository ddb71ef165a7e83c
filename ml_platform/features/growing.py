"""Histories of more and more partitions, each made from the one before where it goes on from that."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ml_platform.features.contract import FeatureFunction

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.history import History

    #: Function, daily tables, lag, a history that may be continued → history.
    MakeHistory = Callable[[FeatureFunction, Iterable[pl.DataFrame], int, History | None], History]

#: Partitions and the content of each.
Content = tuple[tuple[str, str], ...]


def from_tables(
    function: FeatureFunction, tables: "Iterable[pl.DataFrame]", lag: int, known: "History | None" = None
) -> "History":
    """See :meth:`ml_platform.features.history.History.from_tables`."""
    from ml_platform.features.history import History

    return History.from_tables(function, tables, lag, known)


#: Histories that are held: that of the partitions before one, and that with it.
HELD = 2


class Growing:
    """Histories of more and more partitions: each continues one before where it can."""

    def __init__(
        self,
        table: "Callable[[str, str], pl.DataFrame]",
        make: "Callable[[Sequence[pl.DataFrame], Content, History | None], History]",
    ) -> None:
        self._table, self._make = table, make
        #: What was asked for last is at the end.
        self._held: list[tuple[Content, list[pl.DataFrame], History]] = []

    def history(self, content: Content) -> "History":
        """The history of the daily tables of this content."""
        first = [one for one in self._held if content[: len(one[0])] == one[0]]
        held = max(first, key=lambda one: len(one[0]), default=None)
        if held is None or held[0] != content:
            known, begun, history = held or ((), [], None)
            # The tables themselves, since a history is continued where its own are the first ones.
            tables = [*begun, *(self._table(*one) for one in content[len(known) :])]
            held = (content, tables, self._make(tables, content, history))
        self._held = [*(one for one in self._held if one[0] != content), held][-HELD:]
        return held[2]
