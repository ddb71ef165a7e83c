"""Requests are answered past BentoML's own way, which a traced service takes: nobody can tell from the answers."""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.serving import checks
from ml_platform.serving.answer import Answering
from ml_platform.serving.client import Client, ServiceDown
from ml_platform.serving.packaging import Packaged
from ml_platform.serving.service import tracing
from ml_platform_tests.serving.conftest import Inputs

ENTRY = "ml_platform.proving.faults.answering"
OF_A_REQUEST = {"date", "x-request-id", "x-ml-request-id", "x-bentoml-request-id", "traceparent"}


class Collector:
    """Takes traces, as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        self.came = came = Event()

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                if self.path == "/v1/traces":
                    came.set()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def ask(service: checks.Running, method: str, path: str, body: bytes, **headers: str) -> tuple[int, dict, bytes]:
    """Status, headers and body, but what is of one request alone."""
    given = {"content-type": "application/json", "x-api-key": service.key, "x-request-id": "theirs"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{service.url}{path}", body or None, given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status, said, content = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, said, content = error.code, error.headers, error.read()
    assert said.get("x-request-id", "theirs") == "theirs"
    kept = {n.lower(): v.replace(service.url, "") for n, v in said.items() if n.lower() not in OF_A_REQUEST}
    return status, kept, content


def test_both_ways_give_the_same_answers(
    packaged: Packaged, service_settings: Settings, inputs: Inputs, collector: Collector
) -> None:
    rows = inputs.rows(3)
    good = json.dumps({"rows": rows}).encode()
    columns = json.dumps({"columns": {name: [row[name] for row in rows] for name in rows[0]}}).encode()
    requests: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("POST", "/predict", good, {}),
        ("POST", "/predict?a=b", good, {}),
        ("POST", "/explain", good, {}),
        ("POST", "/predict_columns", columns, {}),
        ("POST", "/predict", b"{", {}),
        ("POST", "/predict", json.dumps({"rows": [{**rows[0], "shop": 1}]}).encode(), {}),
        ("POST", "/predict", good, {"x_api_key": "wrong"}),  # pragma: allowlist secret
        ("POST", "/predict", good, {"content_type": "text/plain"}),
        ("POST", "/predict_columns", b"no stream", {"content_type": "application/vnd.apache.arrow.stream"}),
        ("POST", "/predict", b" " * ((1 << 18) + 1), {}),
        ("GET", "/predict", b"", {}),
        ("PUT", "/predict", good, {}),
        ("POST", "/predict/", good, {}),
        ("POST", "/nothing", good, {}),
        ("GET", "/nothing", b"", {}),
        ("GET", "/livez", b"", {}),
        ("GET", "/info", b"", {"x_api_key": ""}),
    ]

    def answers(running: checks.Running) -> list[tuple[int, dict, bytes]]:
        return [ask(running, method, path, body, **headers) for method, path, body, headers in requests]

    def counted(running: checks.Running) -> set[str]:
        with Client(running.url, running.key) as client:
            lines = client.metrics().splitlines()
        names = ("ml_service_request_total{", "ml_service_request_duration_seconds_count{")
        kept = [
            line for line in lines if line.startswith(names) and not line.endswith(" 0.0") and "/readyz" not in line
        ]
        return {line.rpartition(" ")[0].partition("service_version")[0] + line.partition("}")[2] for line in kept}

    with checks.running(packaged.path, service_settings, collector.environment) as traced:
        slow = answers(traced)
        assert [status for status, _, _ in slow][:4] == [200] * 4
        series = counted(traced)
        assert collector.came.wait(20), "no trace came"
    with checks.running(packaged.path, service_settings) as direct:
        assert answers(direct) == slow
        assert counted(direct) == series


@pytest.mark.parametrize("way", ["direct", "traced"])
def test_an_answer_that_fails_is_told_in_one_line(
    inputs: Inputs, service_settings: Settings, tmp_path: Path, collector: Collector, way: str
) -> None:
    packaged = inputs.package(tmp_path, entry=ENTRY, options={"fault": "fails", "number": 0.5})
    body = json.dumps({"rows": inputs.rows(1)}).encode()
    environment = collector.environment if way == "traced" else {}
    with checks.running(packaged.path, service_settings, environment) as running:
        found = [ask(running, "POST", "/predict", body) for _ in range(4)]
        with Client(running.url, running.key) as client:
            metrics = client.metrics()
    assert sorted(status for status, _, _ in found) == [200, 200, 500, 500]
    said = {content for status, _, content in found if status == 500}
    assert said == {b'{"error":"An unexpected error has occurred, please check the server log."}'}
    assert all(headers["x-model"] == "tiny" for _, headers, _ in found)
    answered = r'^ml_service_request_total{endpoint="/predict",.*_code="(\d+)".*} (.*)$'
    assert sorted(re.findall(answered, metrics, re.MULTILINE)) == [("200", "2.0"), ("500", "2.0")]


@pytest.mark.slow
def test_a_middleware_of_an_entry_module_is_passed(inputs: Inputs, service_settings: Settings, tmp_path: Path) -> None:
    packaged = inputs.package(tmp_path, entry=ENTRY, options={"fault": "silent", "number": 1})
    with (
        checks.running(packaged.path, service_settings) as running,
        Client(running.url, running.key, timeout=2, again=False) as client,
    ):
        client.predict(inputs.rows(1))
        with pytest.raises(ServiceDown):
            client.predict(inputs.rows(1))


def test_traces_that_nothing_can_send_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracing() == {"excluded_urls": ".*"}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/")
    assert tracing()["otlp"]["endpoint"] == "http://127.0.0.1:4318/v1/traces"
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(SystemExit, match=r"pip install 'ml-platform\[traces\]'"):
        tracing()


def test_a_batch_is_no_single_row() -> None:
    """Where rows are featurized one at a time: of a frame and of columns none is."""
    matrix = np.zeros((2, 1), dtype=np.float32)
    answering: Any = SimpleNamespace(
        single=object(),
        function=SimpleNamespace(histories=()),
        package=SimpleNamespace(request=SimpleNamespace(time="day")),
        history=None,
        featurize=lambda *_: matrix,
        _behind=lambda _: (0, False),
        _frame=lambda body: body,
    )
    for body in (pl.DataFrame({"day": [1, 2]}), pl.DataFrame({"day": [1]}), SimpleNamespace(columns={})):
        found = Answering._featurized(answering, body)
        assert found[0] is body and found[1] is matrix
