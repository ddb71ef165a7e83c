"""A line now and then from a step that takes long, so that nobody waits in silence."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

#: Seconds between two lines.
PAUSE = 10.0


@contextmanager
def telling(told: Callable[[str], None], what: str, pause: float = PAUSE) -> Generator[Callable[[str], None]]:
    """Say ``what`` is under way each ``pause`` seconds, as long as it is; gives what takes how far it has come."""
    ended, began, far = Event(), monotonic(), [""]

    def tell() -> None:
        while not ended.wait(pause):
            told(f"{what}: {monotonic() - began:.0f} s so far{f', {far[0]}' if far[0] else ''}")

    def at(place: str) -> None:
        far[0] = place

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield at
    finally:
        ended.set()
        thread.join()
