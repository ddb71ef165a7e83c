"""How soon the supervisor looks again: seldom while nothing happens, often while somebody waits for what does."""

import time
from collections.abc import Iterable

from ml_platform.rollout.processes import ServiceState

#: Seconds until the next look; while a process starts, and right after a change.
CALM, BUSY = 0.2, 0.05
#: Seconds that are right after a change.
AFTER = 1.0


class Pace:
    """The pace of one supervisor, which tells of each change of its state."""

    def __init__(self) -> None:
        self._changed = time.monotonic()

    def changed(self) -> None:
        """Something has changed: a process started or became ready, an address leads elsewhere."""
        self._changed = time.monotonic()

    def pause(self, services: Iterable[ServiceState]) -> float:
        """Seconds until the next look."""
        starting = any(service.phase == "starting" for service in services)
        return BUSY if starting or time.monotonic() - self._changed < AFTER else CALM
