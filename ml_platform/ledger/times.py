"""When entries were written, by clocks that differ and may be set back: seen while the chain is verified."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

#: How far clocks of several machines may differ: an entry that is dated earlier than one before by no more is none.
TOLERANCE = timedelta(minutes=10)
_ZONE, _NO_YEAR = "+00:00", "3"


class Late(NamedTuple):
    """An entry that is dated before one that stands before it."""

    sequence: int
    at: datetime
    #: The newest time of those before it, and which entry has it.
    counts: datetime
    after: int


class Times:
    """The newest time that was written so far, and every entry that is dated before it."""

    def __init__(self) -> None:
        #: ISO, in UTC; of the entries as written, which sort as they follow each other.
        self.newest, self._of = "", 0
        self._late: dict[int, Late] = {}

    def copy(self) -> "Times":
        """One that goes on by itself."""
        other = Times()
        other.newest, other._of, other._late = self.newest, self._of, dict(self._late)
        return other

    def add(self, sequence: int, at: str) -> None:
        """Take the time of the next entry. Raises ValueError for a text that is none."""
        # As texts, for nearly every entry: whole ledgers go through here.
        if self.newest <= at < _NO_YEAR and at[-6:] == _ZONE:
            self.newest, self._of = at, sequence
            return
        own = datetime.fromisoformat(at).astimezone(UTC)
        newest = datetime.fromisoformat(self.newest) if self.newest else own
        if own < newest:
            self._late[sequence] = Late(sequence, own, newest, self._of)
        else:
            self.newest, self._of = own.isoformat(), sequence

    def since(self, sequence: int, at: datetime) -> datetime:
        """The time that an entry counts from: its own, or that of an entry before it that is later."""
        late = self._late.get(sequence)
        return late.counts if late else at

    def backdated(self) -> list[list[Late]]:
        """Entries dated earlier than one before them by more than clocks may differ: in order, neighbours together."""
        found: list[list[Late]] = []
        for one in self._late.values():
            if one.counts - one.at <= TOLERANCE:
                continue
            if found and (found[-1][-1].sequence, found[-1][-1].after) == (one.sequence - 1, one.after):
                found[-1].append(one)
            else:
                found.append([one])
        return found
