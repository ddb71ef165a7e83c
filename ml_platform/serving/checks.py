"""Evidence about a packaged service, taken from a process that was really started."""

import json
import math
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.models.task import task_of
from ml_platform.serving import bundle, process
from ml_platform.serving.client import Client
from ml_platform.serving.schema import MAX_ROWS, RequestSchema, to_rows

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Rows that are asked for alone as well, at even distance.
ALONE = 20
#: Bytes of a body around its rows, at most.
_AROUND = 64
#: Stands in a row where a number will be that json.dumps does not write.
PLACE = "(here comes a number)"


@dataclass(frozen=True)
class Running:
    """A service that was started for checks."""

    url: str
    #: Seconds from start to ready.
    ready_seconds: float
    request: RequestSchema
    config: bundle.ServiceConfig
    #: API key for requests; empty when none is asked for.
    key: str
    #: Largest accepted body, bytes.
    body_limit: int


class Servability(NamedTuple):
    """Whether a packaged service starts and predicts."""

    ready_seconds: float
    #: HTTP status of the prediction.
    status: int
    predictions: list[Any]
    #: Whether model, version and content are those of the package.
    identity: bool


class Skew(NamedTuple):
    """Difference between predictions over HTTP and those of training's own path."""

    rows: int
    max_abs_difference: float
    #: Rows whose float32 predictions differ in any bit.
    differing: int


class BadInput(NamedTuple):
    """One bad request: which statuses refuse it properly, and what came back."""

    case: str
    expected: frozenset[int]
    got: int

    @property
    def refused(self) -> bool:
        """Whether it was refused as it should be."""
        return self.got in self.expected


@contextmanager
def running(bento: Path, settings: Settings | None = None, env: Mapping[str, str] | None = None) -> Generator[Running]:
    """Start the service of a package for the length of the block, without prediction log; stops it in any case.

    It also ends when this process is killed. Raises :class:`PlatformError` with the end of
    the log when it does not become ready.
    """
    settings = settings or get_settings()
    config, request = bundle.read(bento / bundle.SOURCE / bundle.FOLDER)
    with tempfile.TemporaryDirectory(prefix="service-check-") as folder, _pipe() as reading:
        started = _start(bento, Path(folder), settings, env or {}, reading)
        try:
            seconds = process.wait_ready(started, settings.service_ready_seconds)
            key = settings.secret_key.get_secret_value()
            yield Running(started.url, seconds, request, config, key, settings.service_body_limit)
        finally:
            process.stop(started.pid, started.start_time)


@contextmanager
def _pipe() -> Generator[int]:
    """The reading end of a pipe that has an end when this block, or this process, has one."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


def _start(bento: Path, folder: Path, settings: Settings, env: Mapping[str, str], parent: int) -> process.Started:
    # What a check sends is no prediction of production, however many requests it sends.
    environment = {**settings.for_service(prediction_log="", service_rate=0), **env}
    avoid: set[int] = set()
    while True:
        port = process.free_port(settings.port_range, settings.host, avoid)
        try:
            return process.start(bento, port, folder / "home", environment, folder / "log", settings.host, parent)
        except process.PortTaken:
            avoid.add(port)  # taken between looking and binding


def servability(service: Running, bento: Path, rows: Sequence[Mapping[str, Any]]) -> Servability:
    """Ask a started service for predictions of good rows, and who it is."""
    with Client(service.url, service.key) as client:
        status, content = client.send("POST", "/predict", json.dumps({"rows": list(rows)}, allow_nan=False).encode())
        info = client.info()
    predictions = json.loads(content).get("predictions", []) if status == 200 else []
    identity = (info["model"], info["version"], info["sha256"]) == (
        service.config.model,
        service.config.version,
        bundle.content_sha256(bento / bundle.SOURCE),
    )
    return Servability(service.ready_seconds, status, predictions, identity and len(predictions) == len(rows))


def skew(service: Running, raw: "pl.DataFrame", expected: "np.ndarray") -> Skew:
    """Predictions over HTTP for raw rows against ``expected`` (float32, same order), in requests of 1,000 rows,
    or of as many as a body may hold.

    :data:`ALONE` of them are asked for one by one as well: a row has the same prediction alone and among others.
    ``expected`` has one value per row, or the probabilities of each class (rows x classes).
    """
    import numpy as np

    if raw.height != len(expected):
        raise PlatformError(f"skew: {raw.height} raw rows but {len(expected)} expected predictions")
    wanted = np.asarray(expected, dtype=np.float32).reshape(raw.height, -1)
    asked = task_of(service.config.task, service.config.classes).numbers
    largest, other = 0.0, np.zeros(raw.height, dtype=bool)
    sent = to_rows(service.request, raw)
    together = requests_of(sent, service.body_limit)
    alone = [range(row, row + 1) for row in range(0, raw.height, max(1, -(-raw.height // ALONE)))]
    with Client(service.url, service.key) as client:
        for rows in (*together, *alone):
            answers = client.predict(sent[rows.start : rows.stop])[asked]
            got, right = np.array(answers, dtype=np.float32).reshape(len(rows), -1), wanted[rows.start : rows.stop]
            largest = max(largest, float(np.abs(got.astype(np.float64) - right.astype(np.float64)).max(initial=0.0)))
            other[rows.start : rows.stop] |= (got.view(np.uint32) != right.view(np.uint32)).any(axis=1)
    return Skew(raw.height, largest, int(other.sum()))


def requests_of(rows: Sequence[Mapping[str, Any]], limit: int) -> list[range]:
    """Which rows one request has each: at most :data:`MAX_ROWS`, and no more than a body of ``limit`` bytes holds."""
    found, start, size = list[range](), 0, 0
    for place, row in enumerate(rows):
        # With the comma and the blank between two; the body around them has fewer bytes than are kept free.
        more = len(json.dumps(row, allow_nan=False)) + 2
        if place > start and (place - start == MAX_ROWS or size + more > limit - _AROUND):
            found.append(range(start, place))
            start, size = place, 0
        size += more
    return [*found, range(start, len(rows))] if rows else []


def bad_inputs(service: Running, good_row: Mapping[str, Any]) -> list[BadInput]:
    """Send requests that must be refused, each made from a good row by one defect; then a good one (200)."""
    fields = service.request.asked
    first = fields[0].name
    wrong = {"int": "1", "float": "1", "str": 1, "date": "not a day", "datetime": "not a time", "bool": 1}

    def body(rows: object) -> bytes:
        return json.dumps({"rows": rows}).encode()

    def changed(name: str, value: object) -> bytes:
        return body([{**good_row, name: value}])

    unprocessable = frozenset({422})
    # Of wide rows so many are too large before they are too many.
    many = body([dict(good_row)] * (MAX_ROWS + 1))
    cases: list[tuple[str, bytes, dict[str, str], frozenset[int]]] = [
        ("missing field", body([{k: v for k, v in good_row.items() if k != first}]), {}, unprocessable),
        ("extra field", changed("a_field_that_no_model_has", 1), {}, unprocessable),
        ("no rows", body([]), {}, unprocessable),
        *([("too many rows", many, {}, unprocessable)] if len(many) <= service.body_limit else []),
        ("not a list", body(dict(good_row)), {}, unprocessable),
        ("not JSON", b'{"rows": [', {}, frozenset({400})),
        ("empty body", b"", {}, frozenset({400})),
        ("wrong content type", body([dict(good_row)]), {"content-type": "text/plain"}, frozenset({415})),
        ("too large body", b" " * (service.body_limit + 1), {}, frozenset({413})),
    ]
    for kind in dict.fromkeys(field.type for field in fields):
        name = next(field.name for field in fields if field.type == kind)
        cases.append((f"wrong type: {kind}", changed(name, wrong[kind]), {}, unprocessable))
    numeric = next((field for field in fields if field.type in {"float", "int"}), None)
    if numeric is not None:
        for text in ("NaN", "Infinity", "-Infinity", "1e39"):
            # In place of a text: JSON writes a name such as Größe otherwise than it is spelt.
            row = json.dumps({**good_row, numeric.name: PLACE}).replace(json.dumps(PLACE), text)
            cases.append((text, f'{{"rows": [{row}]}}'.encode(), {}, unprocessable))
    required = next((field for field in fields if not field.nullable), None)
    if required is not None:
        cases.append(("null", changed(required.name, None), {}, unprocessable))
    closed = next((field for field in fields if field.allowed and field.type == "str"), None)
    if closed is not None:
        cases.append(("value not allowed", changed(closed.name, "\u2603"), {}, unprocessable))
    bounded = next((one for one in fields if one.ge is not None or one.gt is not None), None)
    if bounded is not None:
        bound = bounded.gt if bounded.ge is None else bounded.ge
        below = math.floor(bound) - 1 if bound is not None else 0
        cases.append(("value beyond its bound", changed(bounded.name, below), {}, unprocessable))
    cases.append(("good row", body([dict(good_row)]), {}, frozenset({200})))
    results = []
    with Client(service.url, service.key) as client:
        for case, content, headers, expected in cases:
            results.append(BadInput(case, expected, client.send("POST", "/predict", content, headers)[0]))
    return results
