"""Requests at a constant rate, to a packaged service and to servers that are slow, refuse or say nothing."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving import checks, load
from ml_platform.serving.load import under_load
from ml_platform_tests.serving.conftest import Inputs

BODIES = [json.dumps({"rows": [{"amount": amount}]}).encode() for amount in range(7)]


class Server(ThreadingHTTPServer):
    """Answers what ``answer`` says to a body; remembers bodies and connections."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, answer: Callable[[bytes], int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.bodies: list[bytes] = []
        self.connections: set[object] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        self.server.connections.add(self.client_address)
        status = self.server.answer(body)
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def answering(answer: Callable[[bytes], int]) -> Iterator[Server]:
    """A server for the length of the block."""
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def one_at_a_time(seconds: float) -> Callable[[bytes], int]:
    """Each request holds a lock that all need."""
    lock = threading.Lock()

    def answer(_: bytes) -> int:
        with lock:
            time.sleep(seconds)
        return 200

    return answer


def test_a_packaged_service_is_asked_for_every_row_in_turn(service: checks.Running, inputs: Inputs) -> None:
    bodies = [json.dumps({"rows": [row]}).encode() for row in inputs.rows(30)]
    found = under_load(service.url, service.key, bodies, rate=100, count=60)
    assert (found.requests, found.rate, found.not_answered) == (60, 100, {})
    assert 0 < found.achieved <= 100
    assert 0 < found.p50 <= found.p95 <= found.p99 <= found.max
    wrong = under_load(service.url, service.key, [bodies[0], b'{"rows": [{}]}'], rate=100, count=10)
    assert wrong.not_answered == {"422": (10 + load.CONNECTIONS * load.WARM_UP) / 2}
    refused = under_load(service.url, "another key", bodies, rate=100, count=10)
    assert refused.achieved == 0 and set(refused.not_answered) == {"401"}


def test_rows_differ_and_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "CONNECTIONS", 3)
    with answering(lambda _: 200) as server:
        under_load(server.url, "", BODIES, rate=500, count=70)
    counted = [server.bodies.count(body) for body in BODIES]
    assert min(counted) >= 10 and sum(counted) == 70 + 3 * load.WARM_UP
    assert 1 <= len(server.connections) <= 3


@pytest.mark.slow
def test_time_counts_from_when_a_request_was_due() -> None:
    with answering(one_at_a_time(0.03)) as server:
        found = under_load(server.url, "", BODIES, rate=100, count=60)
    # Sixty are due within 0.6 s and take 1.8 s, one after the other. The last waits for the rest, wherever it waits.
    assert found.max >= 1000 * (60 * 0.03 - 0.6)
    assert found.p50 >= 1000 * (30 * 0.03 - 0.31)
    assert found.achieved <= 1 / 0.03
    assert found.not_answered == {}


def test_what_is_not_answered_with_200_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "CONNECTIONS", 6)
    with answering(lambda body: 503 if body == BODIES[0] else 200 if body != BODIES[1] else 0) as server:
        found = under_load(server.url, "", BODIES[:3], rate=200, count=30)
    asked = 30 + load.CONNECTIONS * load.WARM_UP
    assert found.not_answered == {"503": asked / 3, "no answer": asked / 3}
    assert len(server.bodies) == asked, "a request was sent twice"


def test_a_service_that_falls_asleep_does_not_hold_the_load_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE", 0.3)
    monkeypatch.setattr(load, "CONNECTIONS", 2)
    awake, left = threading.Event(), iter(range(20))

    def answer(_: bytes) -> int:
        if next(left, None) is None:
            awake.wait(20)
        return 200

    with answering(answer) as server:
        try:
            found = under_load(server.url, "", BODIES, rate=100, count=50)
        finally:
            awake.set()
    assert sum(found.not_answered.values()) == 50 - (20 - 2 * load.WARM_UP)
    # At least one was never sent, since both connections were waiting.
    assert set(found.not_answered) <= {"no answer", "no answer within 0.3 s"} and "no answer within 0.3 s" in str(found)
    assert found.max >= 300


def test_without_rows_there_is_nothing_to_measure() -> None:
    with pytest.raises(PlatformError, match="no row to send"):
        under_load("http://127.0.0.1:1", "", [], rate=10)
