"""Users of a model's address: clients that ask all the time, and what they got."""

import json
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from ml_platform.serving.client import Client, ServiceDown

#: Clients at one time, and seconds between an answer and the next request of each.
CLIENTS, PAUSE = 8, 0.02


class Users:
    """What clients got: ``version N``, or what came in place of an answer; how long they waited, and the longest."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()
        self.longest = self.waited = 0.0
        self._lock = threading.Lock()

    @property
    def asked(self) -> int:
        """Requests that have ended."""
        with self._lock:
            return self.got.total()

    def note(self, seen: str, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self.got[seen] += 1
            self.waited += seconds
            self.longest = max(self.longest, seconds)


@contextmanager
def load(url: str, bodies: Sequence[bytes], clients: int = CLIENTS, pause: float = PAUSE) -> Generator[Users]:
    """So many clients that ask all the time; none sends a request twice."""
    users, ending = Users(), threading.Event()

    def ask(number: int) -> None:
        with Client(url, again=False) as client:
            while not ending.wait(pause):
                before, number = time.monotonic(), number + clients
                try:
                    status, content = client.send("POST", "/predict", bodies[number % len(bodies)])
                    seen = f"version {json.loads(content)['version']}" if status == 200 else f"status {status}"
                except ServiceDown:
                    seen = "no answer"
                users.note(seen, time.monotonic() - before)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield users
    finally:
        ending.set()
        for thread in threads:
            thread.join()
