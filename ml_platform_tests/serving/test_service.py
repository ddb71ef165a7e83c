"""The packaged service as a real process, spoken to over HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import pytest

from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.settings import Settings
from ml_platform.serving import bundle, checks, process, snapshots
from ml_platform.serving.client import Client, RequestRefused, ServiceDown, predict
from ml_platform.serving.hashed_keys import hashed
from ml_platform.serving.packaging import Packaged
from ml_platform.serving.prediction_log import KEY_HASH
from ml_platform.serving.schema import RequestField, RequestSchema, to_rows
from ml_platform_tests.serving.conftest import UNTIL, Inputs, make_raw
from ml_platform_tests.serving.tiny import Tiny


def test_predictions_are_those_of_training_bit_for_bit(service: checks.Running, inputs: Inputs) -> None:
    # Every day of the history, and the first day after it.
    raw = make_raw(2_300, date(2024, 1, 1), 92, seed=7)
    found = checks.skew(service, raw, inputs.predict(raw))
    assert found == checks.Skew(2_300, 0.0, 0)


def test_an_answer_leaves_the_process_in_one_piece(service: checks.Running, inputs: Inputs) -> None:
    """A process that is killed between two pieces would leave half an answer, which nobody can ask for again."""
    body = json.dumps({"rows": inputs.rows(1)}).encode()
    head = f"host: a\r\nx-api-key: {service.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        for _ in range(30):
            connection.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
            piece = connection.recv(1 << 16)
            assert piece.startswith(b"HTTP/1.1 200") and json.loads(piece.partition(b"\r\n\r\n")[2])["version"] == 1
        connection.sendall(b"HEAD /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 ")


def test_skew_is_seen(service: checks.Running, inputs: Inputs) -> None:
    raw = make_raw(50, date(2024, 3, 1), 20)
    expected = inputs.predict(raw)
    expected[7] = np.nextafter(expected[7], np.float32(1))
    assert checks.skew(service, raw, expected).differing == 1


def test_columns_answer_as_rows_do(service: checks.Running, inputs: Inputs) -> None:
    rows = inputs.rows(5)
    with Client(service.url, service.key) as client:
        by_rows = client.predict(rows)
        by_columns = client.predict_columns({name: [row[name] for row in rows] for name in rows[0]})
        with pytest.raises(RequestRefused, match="answered 422: columns: the lists are not equally long"):
            client.predict_columns({**{n: [row[n] for row in rows] for n in rows[0]}, "items": [1]})
    assert by_rows == by_columns
    assert by_rows["decisions"] == [score >= 0.3 for score in by_rows["predictions"]]
    assert (by_rows["model"], by_rows["version"]) == ("tiny", 1)


def test_an_explanation_names_what_moved_each_prediction(service: checks.Running, inputs: Inputs) -> None:
    from ml_platform.features.build import featurize
    from ml_platform.features.contract import feature_names
    from ml_platform.models.predictor import load_predictor

    rows = inputs.rows(100)
    with Client(service.url, service.key) as client:
        predicted = client.predict(rows)
        status, content = client.send("POST", "/explain", json.dumps({"rows": rows}).encode())
        assert status == 200, content
        explained = json.loads(content)
        alone = [
            json.loads(client.send("POST", "/explain", json.dumps({"rows": [row]}).encode())[1]) for row in rows[:5]
        ]
        many = client.send("POST", "/explain", json.dumps({"rows": [*rows, rows[0]]}).encode())
        strange = client.send("POST", "/explain", json.dumps({"rows": [{**rows[0], "other": 1}]}).encode())
    found = explained.pop("explanations")
    assert explained == predicted
    assert [one["explanations"][0] for one in alone] == found[:5]
    # With the bias, which is one number, they add up to the log-odds of the prediction.
    odds = [np.log(p / (1 - p)) for p in predicted["predictions"]]
    rest = [one - sum(moved["contribution"] for moved in row) for one, row in zip(odds, found, strict=True)]
    assert np.ptp(rest) < 1e-4 < np.ptp(odds)
    raw = make_raw(100, UNTIL + timedelta(days=1), 1, 5)
    matrix = featurize(Tiny(), raw, inputs.history)
    values = load_predictor("ubj", inputs.model_file).contributions(matrix)
    assert values is not None
    names = feature_names(Tiny())
    for row, given, moved in zip(found, matrix, values, strict=True):
        assert [one["feature"] for one in row] == [names[place] for place in np.argsort(-np.abs(moved), kind="stable")]
        assert {one["feature"]: one["contribution"] for one in row} == pytest.approx(
            dict(zip(names, moved, strict=True))
        )
        assert {one["feature"] for one in row if "value" not in one} == {
            name for name, value in zip(names, given, strict=True) if np.isnan(value)
        }
    assert many[0] == 422 and b"101 rows; at most 100" in many[1]
    assert strange[0] == 422 and b"does not know: 'other'" in strange[1]


def test_the_documentation_shows_an_example_of_each_body_that_is_answered(service: checks.Running) -> None:
    with Client(service.url, service.key) as client:
        schema = json.loads(client.send("GET", "/docs.json")[1])
        for path in ("/predict", "/predict_columns", "/explain"):
            body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            while "$ref" in body:
                body = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            assert client.send("POST", path, json.dumps(body["example"]).encode())[0] == 200, path
    # What the model is for, and what the schema says of each column.
    assert schema["info"]["description"].startswith("Whether a basket comes back.\n\nNot for: vouchers")
    row = schema["components"]["schemas"]["Row"]["properties"]
    assert row["items"]["description"] == "Pieces in the basket. By the schema at least 0 and at most 300"
    assert "description" not in row["shop"]
    assert "contact" not in schema["info"]


def test_the_documentation_tells_of_arrow_streams_and_of_refusals(service: checks.Running) -> None:
    with Client(service.url, service.key) as client:
        schema = json.loads(client.send("GET", "/docs.json")[1])
        refused = client.send("POST", "/predict", b'{"rows": []}')
    arrow = "application/vnd.apache.arrow.stream"
    for path in ("/predict", "/predict_columns", "/explain"):
        asked = schema["paths"][path]["post"]
        for part in (asked["requestBody"], asked["responses"]["200"]):
            assert (arrow in part["content"]) == (path == "/predict_columns"), path
        assert {"400", "401", "409", "413", "415", "422", "429"} <= asked["responses"].keys()
    error = schema["paths"]["/predict"]["post"]["responses"][str(refused[0])]["content"]["application/json"]["schema"]
    (name,) = json.loads(refused[1])
    assert name in schema["components"]["schemas"][error["$ref"].rpartition("/")[2]]["properties"]


def test_servability(service: checks.Running, packaged: Packaged, inputs: Inputs) -> None:
    found = checks.servability(service, packaged.path, inputs.rows(4))
    assert (found.status, len(found.predictions), found.identity) == (200, 4, True)
    refused = checks.servability(service, packaged.path, [{"day": "2024-04-01"}])
    assert (refused.status, refused.predictions, refused.identity) == (422, [], False)


def test_info_names_what_answers(service: checks.Running, packaged: Packaged, inputs: Inputs) -> None:
    with Client(service.url, service.key) as client:
        info = client.info()
    assert (info["model"], info["version"], info["sha256"]) == ("tiny", 1, packaged.sha256)
    assert info["model_sha256"] == inputs.model_sha256
    assert info["history_until"] == UNTIL.isoformat()
    headers = process.ready(service.url)
    assert headers is not None
    assert (headers["x-model-version"], headers["x-service-sha256"]) == ("1", packaged.sha256)


def test_a_day_beyond_the_history_is_answered_and_marked(service: checks.Running, inputs: Inputs) -> None:
    good, late = inputs.rows(2)
    late["day"] = (UNTIL + timedelta(days=4)).isoformat()
    with Client(service.url, service.key) as client:
        assert "stale" not in client.predict([good])
        answer, headers = asked(client, [good, late])
        assert (answer["stale"], headers["x-history-age-days"]) == (True, "4")
        # As the newest outcomes that there are say it: the day's own features, and the history of the last day.
        raw = make_raw(2, UNTIL + timedelta(days=1), 1, 5)[1:].with_columns(day=UNTIL + timedelta(days=4))
        assert answer["predictions"][1] == inputs.predict(raw)[0]
        info, metrics = client.info(), client.metrics()
    assert (info["history_age_days"], info["history_behind_days"]) == (4, 3)
    assert re.search(r"^ml_service_stale_rows_total{.*} 2.0$", metrics, re.MULTILINE)
    assert re.search(r"^ml_service_history_age_days{.*} 4.0$", metrics, re.MULTILINE)


def asked(client: Client, rows: list[dict]) -> tuple[dict, dict[str, str]]:
    """The answer to rows, and its headers."""
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(
        f"{client.url}/predict", body, {**client._headers, "content-type": "application/json", "x-request-id": "theirs"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read()), {name.lower(): value for name, value in answer.headers.items()}


def test_an_answer_names_our_id_and_the_history(service: checks.Running, inputs: Inputs) -> None:
    with Client(service.url, service.key) as client:
        ids = [asked(client, inputs.rows(1))[1] for _ in range(2)]
        info = client.info()
    assert {headers["x-request-id"] for headers in ids} == {"theirs"}
    assert len({headers["x-ml-request-id"] for headers in ids}) == 2
    # No router in front: nobody else says what our id is.
    body = json.dumps({"rows": inputs.rows(1)}).encode()
    given = {"content-type": "application/json", "x-api-key": service.key, "x-ml-request-id": "forged"}
    with urllib.request.urlopen(urllib.request.Request(f"{service.url}/predict", body, given), timeout=10) as answer:
        assert answer.headers["x-ml-request-id"] not in ("", "forged")
    assert ids[0]["x-history-until"] == UNTIL.isoformat() == info["history_until"]
    assert ids[0]["x-history-sha256"] == info["history_sha256"] == sha256_file(inputs.history_file)


def test_a_service_that_is_declared_to_refuses_a_day_beyond_the_history(
    inputs: Inputs, service_settings: Settings, tmp_path: Path
) -> None:
    packaged = inputs.package(tmp_path, stale="refuse")
    good, late = inputs.rows(2)
    late["day"] = (UNTIL + timedelta(days=2)).isoformat()
    with checks.running(packaged.path, service_settings) as running:
        assert "stale" not in predict(running.url, [good], running.key)
        with pytest.raises(RequestRefused, match=f"ends on {UNTIL}") as caught:
            predict(running.url, [good, late], running.key)
    assert caught.value.status == 409


def test_a_process_reads_the_snapshot_that_it_is_given(
    inputs: Inputs, packaged: Packaged, service_settings: Settings, tmp_path: Path
) -> None:
    days = 5
    newer = make_raw(300, UNTIL + timedelta(days=1), days, seed=9)
    tables = [*inputs.history.tables, daily(Tiny(), newer)]
    history = History.from_tables(Tiny(), tables, 1)
    sha256, told = snapshots.keep(service_settings.local, history, "", {})
    about = snapshots.about(service_settings.local, sha256)
    assert about is not None and about.sha256 == told
    assert snapshots.keep(service_settings.local, history, "", {"run": "another"}) == (sha256, None)
    file = snapshots.path(service_settings.local, sha256)
    environment = service_settings.for_service(snapshot=str(file))
    raw = make_raw(40, UNTIL + timedelta(days=1 + days), 1, seed=3)
    with (
        checks.running(packaged.path, service_settings, {"ML_PLATFORM_SNAPSHOT": str(file)}) as running,
        Client(running.url, running.key) as client,
    ):
        answer = client.predict(to_rows(inputs.request, raw))
        assert "stale" not in answer
        assert (
            np.array(answer["predictions"], np.float32).tobytes()
            == replace(inputs, history=history).predict(raw).tobytes()
        )
        info, headers = client.info(), process.ready(running.url)
    assert environment["ML_PLATFORM_SNAPSHOT"] == str(file)
    assert (info["sha256"], info["history_sha256"]) == (packaged.sha256, sha256)
    assert headers is not None and headers["x-history-sha256"] == sha256


@pytest.mark.parametrize("fault", ["gone", "changed", "other code"])
def test_a_service_does_not_start_with_a_snapshot_that_is_none_of_its_own(
    inputs: Inputs, service_settings: Settings, tmp_path: Path, fault: str
) -> None:
    packaged = inputs.package(tmp_path / "packages", feature_code="1.abc-1")
    sha256, _ = snapshots.keep(tmp_path, inputs.history, "1.xyz-1" if fault == "other code" else "1.abc-1", {})
    file = snapshots.path(tmp_path, sha256)
    if fault == "gone":
        file.unlink()
    elif fault == "changed":
        file.write_bytes(file.read_bytes() + b"x")
    said = {"gone": "does not exist", "changed": "sha256 differs", "other code": "made by feature code 1.xyz-1"}[fault]
    with (
        pytest.raises(PlatformError, match=said),
        checks.running(packaged.path, service_settings, {"ML_PLATFORM_SNAPSHOT": str(file)}),
    ):
        pass


def test_bad_inputs_are_refused(service: checks.Running, inputs: Inputs) -> None:
    found = checks.bad_inputs(service, inputs.rows()[0])
    assert [case for case in found if not case.refused] == []
    assert len(found) >= 18
    assert found[-1] == checks.BadInput("good row", frozenset({200}), 200)


def test_keys_are_asked_for(service: checks.Running, inputs: Inputs) -> None:
    for key in ("", "wrong"):
        with pytest.raises(RequestRefused, match="answered 401: missing or wrong API key"):
            predict(service.url, inputs.rows(), key)
    with Client(service.url) as client, pytest.raises(RequestRefused, match="401"):
        client.metrics()


def test_metrics_count_rows_and_predictions(service: checks.Running, inputs: Inputs) -> None:
    def rows(text: str) -> float:
        line = next(line for line in text.splitlines() if line.startswith("ml_service_rows_total{"))
        return float(line.split()[-1])

    with Client(service.url, service.key) as client:
        client.predict(inputs.rows(1))
        before = client.metrics()
        client.predict(inputs.rows(7))
        after = client.metrics()
    assert rows(after) - rows(before) == 7
    for name in ("ml_service_prediction_bucket", "ml_service_request_duration_seconds_bucket"):
        assert name in after


def test_the_prediction_log_lands_without_personal_columns(
    packaged: Packaged, service_settings: Settings, inputs: Inputs, tmp_path: Path
) -> None:
    environment = {"ML_PLATFORM_PREDICTION_LOG": str(tmp_path), "ML_PLATFORM_PREDICTION_LOG_SECONDS": "60"}
    rows = inputs.rows(3)
    with (
        checks.running(packaged.path, service_settings, environment) as running,
        Client(running.url, running.key) as client,
    ):
        assert client.send("POST", "/predict", b'{"rows": [{"day": 1}]}')[0] == 422
        answer = client.predict(rows)
    # Stopping writes what was waiting.
    found = pl.concat([pl.read_parquet(path) for path in (tmp_path / "tiny").glob("*/*.parquet")])
    assert found["prediction"].to_list() == answer["predictions"]
    assert found["shop"].to_list() == [row["shop"] for row in rows]
    assert found["request_id"].n_unique() == 1
    assert "member" not in found.columns


def test_a_personal_key_is_in_the_log_as_a_hash_by_the_clock_of_the_platform(
    packaged: Packaged, service_settings: Settings, inputs: Inputs, tmp_path: Path
) -> None:
    key, rows = ["day", "shop", "member"], inputs.rows(3)
    package = shutil.copytree(packaged.path, tmp_path / "package")
    request = package / bundle.SOURCE / bundle.FOLDER / bundle.REQUEST
    request.write_text(json.dumps(json.loads(request.read_text()) | {"key": key}))
    (tmp_path / "clock").write_text("2013-12-05T08:00:00")
    environment = service_settings.for_service(prediction_log=str(tmp_path / "log"), hash_key="secret") | {
        "ML_PLATFORM_NOW": f"@{tmp_path / 'clock'}"
    }
    with (
        checks.running(package, service_settings, environment) as running,
        Client(running.url, running.key) as client,
    ):
        client.predict(rows)
    (file,) = (tmp_path / "log" / "tiny").rglob("*.parquet")
    found = pl.read_parquet(file)
    assert file.parent.name == "2013-12-05" and "member" not in found.columns
    asked = pl.DataFrame(rows).with_columns(pl.col("day").str.to_date())
    assert found[KEY_HASH].to_list() == hashed(asked, key, "secret").to_list()


def test_refusals_leave_no_input_in_the_log(
    packaged: Packaged, service_settings: Settings, inputs: Inputs, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    port = process.free_port(service_settings.port_range)
    started = process.start(packaged.path, port, tmp_path / "home", {}, log)
    try:
        process.wait_ready(started, 60)
        # The sender is told the name of a field that nothing knows, and no value; the log neither.
        for row, told in (
            ({**inputs.rows()[0], "shop": "secret-value"}, 0),
            ({**inputs.rows()[0], "secret-value": 1}, 1),
        ):
            with pytest.raises(RequestRefused) as caught:
                predict(started.url, [row])
            assert str(caught.value).count("secret-value") == told
    finally:
        process.stop(started.pid, started.start_time)
    text = log.read_text()
    assert "initialized" in text
    assert "secret-value" not in text
    assert "Traceback" not in text


def test_a_taken_port_is_named_at_once(packaged: Packaged, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(process.PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
            process.start(packaged.path, port, tmp_path, {}, tmp_path / "log")
        with pytest.raises(process.PortTaken, match="ML_PLATFORM_PORTS"):
            process.free_port([port])
        assert process.free_port([port, *range(3350, 3399)]) != port


def test_a_service_that_cannot_load_says_why(packaged: Packaged, tmp_path: Path) -> None:

    copy = tmp_path / "copy"
    shutil.copytree(packaged.path, copy)
    model = copy / "src" / "model" / "model.ubj"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    port = process.free_port(range(3350, 3399))
    started = process.start(copy, port, tmp_path / "home", {}, tmp_path / "log")
    with pytest.raises(PlatformError, match=r"ended before it was ready.*sha256 differs"):
        process.wait_ready(started, 60)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ML_PLATFORM_API_KEY_SHA265", "0" * 64, "did you mean ML_PLATFORM_API_KEY_SHA256?"),
        ("ML_PLATFORM_SERVICE_RATE", "-1", "ML_PLATFORM_SERVICE_RATE: Input should be greater than or equal to 0"),
    ],
)
def test_a_service_does_not_start_with_settings_that_cannot_be_meant(
    packaged: Packaged, tmp_path: Path, name: str, value: str, said: str
) -> None:
    port = process.free_port(range(3350, 3399))
    started = process.start(packaged.path, port, tmp_path / "home", {name: value}, tmp_path / "log")
    with pytest.raises(PlatformError, match="ended before it was ready"):
        process.wait_ready(started, 60)
    text = (tmp_path / "log").read_text()
    assert said in text
    assert "Traceback" not in text


def test_a_path_that_nobody_has_makes_no_series(service: checks.Running) -> None:
    def series() -> set[str]:
        with Client(service.url, service.key) as client:
            return {line.rpartition(" ")[0] for line in client.metrics().splitlines() if not line.startswith("#")}

    def asked(path: str) -> int:
        with Client(service.url, service.key) as client:
            return client.send("GET", path)[0]

    assert asked("/nothing") == asked("/predict/nothing") == asked("/static_content/nothing") == 404
    assert asked("/info") == asked("/docs.json") == asked("/static_content/index.css") == 200
    before = series()
    assert {404} == {asked(f"/{number}") for number in range(20)}
    assert series() == before
    assert any('endpoint="/other"' in line and 'http_response_code="404"' in line for line in before)
    assert any('endpoint="/info"' in line for line in before)
    with Client(service.url) as stranger:
        assert stranger.send("GET", "/nothing")[0] == 401


def test_a_service_is_given_no_setting_but_its_own(
    packaged: Packaged, service_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    secrets = [f"ML_PLATFORM_{name}" for name in ("SECRET_KEY", "LEDGER_KEY", "LAKEFS_SECRET_KEY")]
    for name in (*secrets, "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "SHOP_DATABASE_URL"):
        monkeypatch.setenv(name, "not-for-services")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "set for it")
    # Only what this test begins: other workers, and earlier tests of this one, have services of their own.
    before = set(psutil.Process().children(recursive=True))
    with checks.running(packaged.path, service_settings):
        begun = set(psutil.Process().children(recursive=True)) - before
        new = [one for one in begun if "worker.service" in str(one.cmdline())]
        assert new
        for one in new:
            assert "not-for-services" not in one.environ().values()
            assert one.environ()["OTEL_SERVICE_NAME"] == "set for it" and one.environ()["PATH"] == os.environ["PATH"]


def test_a_checked_service_ends_with_a_killed_checker(packaged: Packaged, service_settings: Settings) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ml_platform.serving import checks\n"
        "with checks.running(Path(sys.argv[1])) as service: print(service.url, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "ML_PLATFORM_PORTS": service_settings.ports}
    command = [sys.executable, "-c", code, str(packaged.path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as checker:
        assert checker.stdout is not None
        url = checker.stdout.readline().strip()
        assert process.ready(url) is not None
        checker.kill()
    deadline = time.monotonic() + 30
    while process.ready(url) is not None:
        assert time.monotonic() < deadline, "the service outlived its checker"
        time.sleep(0.1)


def test_a_recycled_pid_is_never_killed() -> None:
    import subprocess
    import sys

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        begun = process.start_time(other.pid)
        assert begun is not None
        process.stop(other.pid, begun - 1.0)
        assert not process.signal_group(other.pid, begun + 0.01, signal.SIGKILL)
        assert process.alive(other.pid, begun)
        process.stop(other.pid, begun)
        assert not process.alive(other.pid, begun)
    finally:
        other.returncode = 0
    process.stop(0, 0.0)
    assert process.alive(os.getpid(), process.start_time(os.getpid()) or 0.0)


def test_a_client_says_that_nothing_answers() -> None:
    port = process.free_port(range(3350, 3399))
    with pytest.raises(ServiceDown, match="is the service running"):
        predict(f"http://127.0.0.1:{port}", [{}])
    with pytest.raises(PlatformError, match="is not the address of a service"):
        Client("localhost")


def test_a_kept_connection_survives_a_restart(packaged: Packaged, inputs: Inputs, tmp_path: Path) -> None:
    port = process.free_port(range(3350, 3399))
    rows = to_rows(inputs.request, make_raw(2, date(2024, 3, 1), 5))

    def begin(n: int) -> process.Started:
        started = process.start(packaged.path, port, tmp_path / f"home{n}", {}, tmp_path / "log")
        process.wait_ready(started, 60)
        return started

    one = begin(1)
    with Client(one.url) as client:
        first = client.predict(rows)
        process.stop(one.pid, one.start_time)
        two = begin(2)
        try:
            assert client.predict(rows) == first
        finally:
            begun = time.monotonic()
            process.stop(two.pid, two.start_time)
    # An idle kept connection must not hold the end of the service up until it is killed.
    assert time.monotonic() - begun < process.GRACE + 5


def test_numbers_that_are_none_are_sent_under_any_name() -> None:
    """JSON writes a name such as Größe or one with quotes otherwise than it is spelt."""
    sent: list[bytes] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(422)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taking)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        for name in ("Größe (m²)", 'a "b" \\ c', "plain"):
            schema = RequestSchema(fields=(RequestField(name=name, type="float", dtype="Float64"),), time="", key=())
            running: Any = SimpleNamespace(
                url=f"http://127.0.0.1:{server.server_port}", key="", request=schema, body_limit=100
            )
            sent.clear()
            checks.bad_inputs(running, {name: 1.0})
            bodies = [body.decode() for body in sent]
            for text in ("NaN", "Infinity", "-Infinity", "1e39"):
                assert f'{{"rows": [{{{json.dumps(name)}: {text}}}]}}' in bodies
    finally:
        server.shutdown()
        server.server_close()
