"""One-row requests to a started service at a constant rate, whether it keeps up or not."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving.client import Client, ServiceDown

#: Fewest requests: of 299 or more the slowest is, with a confidence of 95 %, slower than the 99th percentile of all
#: (0.99 ** 299 < 0.05), and three of them lie above the estimate of it, so that one hiccup does not decide.
REQUESTS = 300
#: Shortest time, seconds: a queue that grows must have time to show.
SECONDS = 5.0
#: Open connections: fewer than the service takes at once, so that one that is too slow is slow and does not refuse.
CONNECTIONS = 16
#: Requests on each connection before the clock runs.
WARM_UP = 5
#: Seconds to wait for answers once the last request was due.
PATIENCE = 10.0


@dataclass(frozen=True)
class Load:
    """What one-row requests met; milliseconds from when each was due to its answer."""

    #: Requests per second: those that were due, and those that were answered with 200.
    rate: float
    achieved: float
    requests: int
    p50: float
    p95: float
    p99: float
    max: float
    #: What came instead of an answer with 200 (HTTP status, or why there was none), and how often; warm-up included.
    not_answered: Mapping[str, int] = field(default_factory=dict)


def requests(rate: float) -> int:
    """How many requests a measurement takes at ``rate`` a second."""
    return max(REQUESTS, math.ceil(SECONDS * rate))


def under_load(url: str, key: str, bodies: Sequence[bytes], rate: float, count: int | None = None) -> Load:
    """Send ``count`` of the ``bodies``, in turn, ``rate`` of them a second; by default as many as a p99 needs.

    Requests are due at fixed times, however slow the answers are, and the time of each counts from when it was due:
    where all connections wait, so does the next request, and its waiting counts (no coordinated omission). After
    :data:`PATIENCE` seconds those without an answer count as such, with the time that they had waited.

    Raises PlatformError where there is nothing to send.
    """
    import numpy as np

    if not bodies:
        raise PlatformError("load: there is no row to send; take a holdout partition with rows")
    count = count or requests(rate)
    idle: SimpleQueue[Client] = SimpleQueue()

    def ask(body: bytes, due: float) -> tuple[str, float]:
        client = idle.get()
        try:
            status = str(client.send("POST", "/predict", body)[0])
        except ServiceDown:
            status = "no answer"
        finally:
            idle.put(client)
        return status, time.perf_counter() - due

    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            idle.put(stack.enter_context(Client(url, key, PATIENCE, again=False)))
        pool = stack.enter_context(ThreadPoolExecutor(CONNECTIONS))
        warm = [pool.submit(ask, bodies[number % len(bodies)], 0.0) for number in range(CONNECTIONS * WARM_UP)]
        outcomes = Counter(future.result()[0] for future in warm)
        asked: list[tuple[float, Future[tuple[str, float]]]] = []
        start = time.perf_counter()
        for number in range(count):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            asked.append((due, pool.submit(ask, bodies[number % len(bodies)], due)))
        wait([future for _, future in asked], PATIENCE)
        end = time.perf_counter()
        answers = [
            future.result() if future.done() else (f"no answer within {PATIENCE:g} s", end - due)
            for due, future in asked
        ]
        pool.shutdown(cancel_futures=True)
    outcomes.update(status for status, _ in answers)
    p50, p95, p99, longest = np.percentile([seconds * 1000 for _, seconds in answers], [50, 95, 99, 100])
    return Load(
        rate=rate,
        achieved=sum(status == "200" for status, _ in answers) / max(count / rate, end - start),
        requests=count,
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        max=float(longest),
        not_answered={status: number for status, number in sorted(outcomes.items()) if status != "200"},
    )
