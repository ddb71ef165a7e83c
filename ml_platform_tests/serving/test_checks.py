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


def skew_of(answer: Answer, rows: int) -> checks.Skew:
    """Of a service with this answer, where the evaluation predicts each number by itself."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            content = json.dumps({"predictions": answer([row["x"] for row in body["rows"]])}).encode()
            self.send_response(200)
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
        service: Any = SimpleNamespace(url=url, key="", request=FIELDS, config=config)
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
