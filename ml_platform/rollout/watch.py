"""What both sides of a rollout have done since its present step began: the supervisor's memory for its rules."""

import time
from collections.abc import Iterable, Sequence

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.counts import Answers, Counted, answers_of
from ml_platform.rollout.processes import ServiceState, metrics_of
from ml_platform.rollout.routers.router import Route, Router
from ml_platform.rollout.sent_copies import Count, Sent, SentCopies

#: Seconds between two looks at what the processes count.
LOOK = 1.0


class Watch:
    """Counts of one model's two sides, from the first look after a moment that is named by a mark."""

    def __init__(self, settings: Settings, router: Router) -> None:
        self.settings, self.router = settings, router
        self._mark: object = None
        self._before = self._now = (Counted(), Counted())
        self._looked = 0.0
        self._copies = SentCopies()
        #: Answered requests of the candidate, and since when there are no more though some wait.
        self._answered, self._since = 0, time.monotonic()

    def look(
        self, mark: object, route: Route, stable: Sequence[ServiceState], candidate: Sequence[ServiceState], enough: int
    ) -> tuple[Counted, Counted] | None:
        """Counts of the stable side and the candidate since ``mark`` was first given; None where nothing counts now.

        Where the stable side has got fewer than ``enough`` requests since, all that it did before as well.
        """
        now = time.monotonic()
        traffic = self.router.traffic(route)
        if now - self._looked >= LOOK or mark != self._mark:
            self._looked = now
            answers = self._answers(stable), self._answers(candidate)
        else:
            answers = self._now[0].answers, self._now[1].answers
        if traffic is None and self.router.shares:
            return None
        asked = traffic or (answers[0].traffic, answers[1].traffic)
        self._now = Counted(asked[0], answers[0]), Counted(asked[1], answers[1])
        if mark != self._mark:
            self._mark, self._before, self._since = mark, self._now, now
        if asked[1].requests != self._answered or not asked[1].waiting:
            self._answered, self._since = asked[1].requests, now
        ours, theirs = (one.since(before) for one, before in zip(self._now, self._before, strict=True))
        return (ours if ours.traffic.requests >= enough else self._now[0]), theirs

    def copies(self, mark: object, route: Route, candidate: Sequence[ServiceState]) -> Sent | None:
        """What the candidate was sent copies of since ``mark`` was first given (see :mod:`.sent_copies`)."""

        def ask() -> Count | None:
            copied = self.router.copied(route)
            return copied and Count(*copied, self._answers(candidate).rows)

        return self._copies.look(mark, ask)

    @property
    def stable(self) -> Counted:
        """All that the stable side has done, as far as it was looked at."""
        return self._now[0]

    @property
    def silent(self) -> float:
        """Seconds for which requests to the candidate have waited and none was answered."""
        return time.monotonic() - self._since

    def _answers(self, services: Iterable[ServiceState]) -> Answers:
        return sum((answers_of(metrics_of(self.settings, service)) for service in services), Answers())
