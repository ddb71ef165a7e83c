"""What is asked of a service before it is let near anybody."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ml_platform.serving import checks
from ml_platform.serving.schema import RequestField, RequestSchema

FIELDS = RequestSchema(fields=(RequestField(name="x", type="float", dtype="Float64"),), time="", key=())
Answer = Callable[[list[float]], list[float]]


def skew_of(answer: Answer, rows: int, body_limit: int = 2 << 20) -> checks.Skew:
    """Of a service with this answer, where the evaluation predicts each number by itself."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            accepted = len(sent) <= body_limit
            given = {"predictions": answer([row["x"] for row in json.loads(sent)["rows"]])}
            content = json.dumps(given if accepted else {"error": "too large"}).encode()
            self.send_response(200 if accepted else 413)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    values = pl.DataFrame({"x": [float(row) for row in range(rows)]})
    config = SimpleNamespace(task="regression", classes=())
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        service: Any = SimpleNamespace(url=url, key="", request=FIELDS, config=config, body_limit=body_limit)
        try:
            return checks.skew(service, values, values["x"].to_numpy())
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("answer", "differing"),
    [
        (lambda x: x, 0),
        # Right among others and wrong alone; wrong in one place of a request.
        (lambda x: x if len(x) > 1 else [0.5], checks.ALONE),
        (lambda x: [-1.0, *x[1:]] if len(x) > 1 else x, 2),
    ],
)
def test_rows_are_asked_for_together_and_alone(answer: Answer, differing: int) -> None:
    found = skew_of(answer, 1_200)
    assert (found.rows, found.differing) == (1_200, differing)
    assert (found.max_abs_difference > 0) == bool(differing)


def test_one_row_is_a_sample_too() -> None:
    assert skew_of(lambda x: x, 1) == checks.Skew(1, 0.0, 0)


def test_rows_that_together_are_larger_than_a_body_are_asked_for_in_several_requests() -> None:
    asked: list[int] = []

    def answer(x: list[float]) -> list[float]:
        asked.append(len(x))
        return x

    assert skew_of(answer, 400, body_limit=2_000) == checks.Skew(400, 0.0, 0)
    together = asked[: -checks.ALONE]
    assert sum(together) == 400 and len(together) > 2 and min(together[:-1]) > 100


def test_a_row_that_is_larger_than_a_body_is_asked_for_by_itself() -> None:
    rows = [{"x": "a" * 90}, {"x": "a"}, {"x": "a"}]
    assert checks.requests_of(rows, 100) == [range(1), range(1, 3)]
    assert checks.requests_of([], 100) == []
