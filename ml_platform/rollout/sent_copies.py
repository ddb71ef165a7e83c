"""How many copies a candidate was really sent: what router and processes counted, beside what its log says.

Nothing of it is written down: a count in a file could be edited as the log can. So it begins anew with each step, and
where the router, a process of the candidate or the supervisor was started anew; what came before is vouched for by
nobody, and does not count.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

#: Seconds between two looks.
LOOK = 1.0


class Count(NamedTuple):
    """What was counted at one moment."""

    #: Process of the router that counts requests.
    router: int
    #: Copies that the candidate was sent, and rows that its processes answered, copied or not.
    requests: int
    rows: int


@dataclass(frozen=True)
class Sent:
    """Copies of one step of a rollout, from a moment on."""

    since: datetime
    base: Count
    ask: Callable[[], Count | None]

    def now(self) -> Count | None:
        """What was counted since then; None where nobody can say so now."""
        count = self.ask()
        if count is None or _anew(self.base, count):
            return None
        return Count(count.router, count.requests - self.base.requests, count.rows - self.base.rows)


class SentCopies:
    """What is known of the copies of one rollout."""

    def __init__(self) -> None:
        self._mark: object = None
        self._last: Count | None = None
        self._sent: Sent | None = None
        self._looked = 0.0

    def look(self, mark: object, ask: Callable[[], Count | None]) -> Sent | None:
        """The copies since ``mark`` was first given, or since the counts began anew; None before anybody counted.

        ``ask``: what is counted now, None where nobody says so.
        """
        now = time.monotonic()
        if mark != self._mark:
            self._mark, self._last, self._sent = mark, None, None
        elif now - self._looked < LOOK:
            return self._sent
        self._looked = now
        if (count := ask()) is None:
            return self._sent
        if self._sent is None or self._last is None or _anew(self._last, count):
            # After it was counted: what is sent from this moment on is not among it.
            self._sent = Sent(datetime.now(UTC), count, ask)
        self._last = count
        return self._sent


def _anew(before: Count, after: Count) -> bool:
    return after.router != before.router or after.requests < before.requests or after.rows < before.rows
