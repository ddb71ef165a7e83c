"""What one row costs: XGBoost alone, bare Starlette, our services, behind Envoy too, BentoML as it comes, MLflow's
server; and 1,000 rows as an Arrow stream.

``python benchmarks/serving.py [--seconds 5] [--only NAME …]`` prints Markdown: the same model (200 trees on January of
the example) and the same rows for all, one row a request, on 1 and 16 connections that are kept open and ask again as
soon as they are answered. Every server runs in a process of its own, one after the other. The clock counts what else
the machine does; processor time a request, of the server's processes, does not.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROWS, TREES, BATCH = 200, 200, 1_000
STARLETTE = """
import numpy as np, xgboost
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

model = xgboost.Booster({"nthread": 1}, model_file="model.ubj")

async def predict(request):
    row = np.array([(await request.json())["features"]], dtype=np.float32)
    return JSONResponse({"predictions": model.inplace_predict(row).tolist()})

async def ready(request):
    return JSONResponse({})

app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/readyz", ready)])
"""
BENTO = """
import bentoml, numpy as np, xgboost

@bentoml.service
class Service:
    def __init__(self) -> None:
        self.model = xgboost.Booster({"nthread": 1}, model_file="model.ubj")

    @bentoml.api
    def predict(self, features: list[float | None]) -> list[float]:
        return self.model.inplace_predict(np.array([features], dtype=np.float32)).tolist()
"""
GIVEN = """
import polars as pl
from pathlib import Path

class Given:
    columns = tuple(NAMES)
    inputs = ("day", *columns)
    time, key, histories, labels, slices = "day", ("day",), (), (), ()

    def rows(self, raw):
        return raw

    def outcomes(self, raw):
        return raw

    targets = outcomes
"""


class Server(NamedTuple):
    """A server that answers, and how it is asked."""

    port: int
    path: str
    bodies: list[bytes]
    pid: int
    kind: str = "application/json"


class Measured(NamedTuple):
    """Answers to requests on some connections; milliseconds."""

    p50: float
    p99: float
    rate: float
    cpu: float


def prepare(folder: Path) -> dict[str, Any]:
    """Model, history, raw rows and their features, in ``folder``."""
    import numpy as np
    import xgboost

    from ml_platform.defs.flights.features import flights
    from ml_platform.defs.flights.schema import Flights
    from ml_platform.defs.flights.source import source
    from ml_platform.features.build import featurize
    from ml_platform.features.contract import feature_names
    from ml_platform.features.history import History, daily
    from ml_platform.serving.schema import request_schema, to_rows

    january = source.read("2013-01-01").drop_nulls("arr_delay")
    history = History.from_tables(flights, [daily(flights, january)], 1)
    history.save(folder / "history.parquet")
    features = featurize(flights, january, history)
    labels = (january["arr_delay"] > 15).to_numpy().astype(np.float32)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 6, "nthread": 2}, xgboost.DMatrix(features, labels), TREES
    )
    booster.save_model(folder / "model.ubj")
    chosen = january.gather_every(january.height // ROWS).head(ROWS)
    request = request_schema(flights, Flights)
    return {
        "rows": to_rows(request, chosen),
        "matrix": featurize(flights, chosen, history),
        "names": feature_names(flights),
        "request": request,
    }


def alone(folder: Path, prepared: dict[str, Any], seconds: float, height: int = 1) -> Measured:
    """``inplace_predict`` of so many rows at once, in this process."""
    import numpy as np
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=str(folder / "model.ubj"))
    matrix = prepared["matrix"]
    rows = [np.ascontiguousarray(np.roll(matrix, -n, axis=0)) for n in range(ROWS)]
    rows = [np.concatenate([one] * (height // ROWS)) if height > 1 else one[:1] for one in rows]
    times: list[float] = []
    end, before = time.perf_counter() + seconds, time.process_time()
    while (begun := time.perf_counter()) < end:
        booster.inplace_predict(rows[len(times) % ROWS])
        times.append(time.perf_counter() - begun)
    return summary(times, seconds, time.process_time() - before)


def summary(times: list[float], seconds: float, cpu: float) -> Measured:
    import numpy as np

    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    return Measured(float(p50), float(p99), len(times) / seconds, cpu / len(times) * 1000)


async def ask(server: Server, connections: int, seconds: float) -> list[float]:
    """Ask on kept connections, each again as soon as it is answered; the time of every answer."""
    times: list[float] = []
    head = f"POST {server.path} HTTP/1.1\r\nhost: x\r\ncontent-type: {server.kind}\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in server.bodies]
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        count = number
        while (begun := time.perf_counter()) < end:
            writer.write(requests[count % len(requests)])
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{server.path} answered {answer[:60]!r}")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            times.append(time.perf_counter() - begun)
            count += 1
        writer.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return times


def measure(server: Server, connections: int, seconds: float) -> Measured:
    """Latency, throughput and processor time of a server."""
    asyncio.run(ask(server, connections, min(1.0, seconds)))
    before = cpu_of(server.pid)
    times = asyncio.run(ask(server, connections, seconds))
    return summary(times, seconds, cpu_of(server.pid) - before)


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and its children."""
    import psutil

    process = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


@contextmanager
def running(
    command: list[str], folder: Path, port: int, path: str, bodies: list[bytes], ready: str
) -> Generator[Server]:
    """A server that was started by a command, once it is ready."""
    import urllib.request

    import psutil

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "BENTOML_DO_NOT_TRACK": "true"}
    environment |= {"BENTOML_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=1).read()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(
                        f"{command[:4]} did not start:\n{(folder / 'server.log').read_text()[-800:]}"
                    ) from None
                time.sleep(0.2)
        yield Server(port, path, bodies, process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in (*children, process):
            one.terminate()
        process.wait(20)


@contextmanager
def ours(
    folder: Path, prepared: dict[str, Any], function: str, request: Any, rows: list[dict[str, Any]]
) -> Generator[Server]:
    """Our service of a package."""
    from ml_platform.features.contract import load_function
    from ml_platform.features.history import History
    from ml_platform.foundation.files import sha256_file
    from ml_platform.foundation.provenance import Provenance
    from ml_platform.foundation.settings import Settings
    from ml_platform.serving import packaging, process

    history = folder / "history.parquet"
    made = load_function(function)
    if not made.histories:
        history = History.from_tables(made, [], 1).save(folder / "none.parquet")
    model = folder / "model.ubj"
    packaged = packaging.package(
        "bench", 1, model, sha256_file(model), history, function, request,
        task="binary", destination=folder / "packages", example=rows[0],
        provenance=Provenance(code_commit="none", dirty=False, lock_sha256="0" * 64, python="3"),
    )  # fmt: skip
    settings = Settings(local=folder / "local")
    log = folder / "predictions"
    port = process.free_port(range(3600, 3699))
    environment = settings.for_service(prediction_log=str(log))
    started = process.start(packaged.path, port, folder / "home-of-ours", environment, folder / "ours.log")
    try:
        process.wait_ready(started, 90)
        yield Server(port, "/predict", [json.dumps({"rows": [row]}).encode() for row in rows], started.pid)
    finally:
        process.stop(started.pid, started.start_time)


@contextmanager
def behind(made: Any, folder: Path) -> Generator[Server]:
    """A server of ours behind Envoy, as the supervisor configures it."""
    from ml_platform.rollout.routers.envoy import Envoy
    from ml_platform.rollout.routers.router import Route, Side
    from ml_platform.serving.process import free_port

    place = folder / "envoy"
    with made as server:
        router, port = Envoy(place, "127.0.0.1", 2 << 20, ""), free_port(range(3700, 3799))
        side = Side("1", 1, (server.port,), (server.port,))
        router.write([Route("bench", port, side)])
        process = subprocess.Popen(router.command(), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        router.watch(process.pid)
        try:
            deadline = time.monotonic() + 30
            while not router.applied():
                if time.monotonic() > deadline:
                    raise SystemExit("Envoy did not take the route")
                time.sleep(0.1)
            # Envoy asks a process for its health first.
            time.sleep(2)
            yield server._replace(port=port)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def streams(made: Any, rows: list[dict[str, Any]]) -> Generator[Server]:
    """A server of ours that is asked for 1,000 rows at once, as an Arrow stream."""
    import io
    from datetime import date

    import polars as pl

    frame = pl.DataFrame([{**row, "day": date.fromisoformat(row["day"])} for row in rows], infer_schema_length=None)
    stream = io.BytesIO()
    pl.concat([frame] * (BATCH // ROWS)).write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    with made as server:
        kind = "application/vnd.apache.arrow.stream"
        yield server._replace(path="/predict_columns", bodies=[stream.getvalue()], kind=kind)


def servers(folder: Path, prepared: dict[str, Any]) -> dict[str, Any]:
    """Each contender: a function that gives it, running."""
    import polars as pl

    from ml_platform.serving.process import free_port
    from ml_platform.serving.schema import RequestField, RequestSchema

    names = prepared["names"]
    values = [[None if value != value else float(value) for value in row] for row in prepared["matrix"]]
    given = [json.dumps({"features": row}).encode() for row in values]
    (folder / "bare.py").write_text(STARLETTE)
    (folder / "defaults.py").write_text(BENTO)
    (folder / "given.py").write_text(GIVEN.replace("NAMES", repr(names)))
    sys.path.insert(0, str(folder))
    day = RequestField(name="day", type="date", dtype="Date")
    fields = (day, *(RequestField(name=name, type="float", dtype="Float64", nullable=True) for name in names))
    schema = RequestSchema(fields=fields, time="day", key=("day",))
    rows = [{"day": "2013-01-02", **dict(zip(names, row, strict=True))} for row in values]
    assert pl.DataFrame(rows).height == ROWS

    def command(port: int, *parts: str) -> list[str]:
        return [sys.executable, "-m", *parts, "--port", str(port)]

    def starlette() -> Any:
        port = free_port(range(3600, 3699))
        parts = command(port, "uvicorn", "bare:app", "--no-access-log", "--log-level", "warning")
        return running(parts, folder, port, "/predict", given, "/readyz")

    def bento() -> Any:
        port = free_port(range(3600, 3699))
        return running(
            command(port, "bentoml", "serve", "defaults:Service"), folder, port, "/predict", given, "/readyz"
        )

    def mlflow() -> Any:
        import xgboost
        from mlflow.xgboost import save_model

        save_model(xgboost.Booster(model_file=str(folder / "model.ubj")), folder / "mlflow")
        port = free_port(range(3600, 3699))
        parts = command(port, "mlflow", "models", "serve", "-m", "mlflow", "--env-manager", "local")
        bodies = [json.dumps({"inputs": [row]}).encode() for row in values]
        return running(parts, folder, port, "/invocations", bodies, "/ping")

    def whole() -> Any:
        function = "ml_platform.defs.flights.features:flights"
        return ours(folder, prepared, function, prepared["request"], prepared["rows"])

    return {
        "bare Starlette, given features": starlette,
        "ours, given features": lambda: ours(folder, prepared, "given:Given", schema, rows),
        "ours, whole": whole,
        "ours, whole, behind Envoy": lambda: behind(whole(), folder),
        "BentoML with defaults": bento,
        "mlflow models serve": mlflow,
        f"ours, given features, {BATCH:,} rows by Arrow": lambda: streams(
            ours(folder, prepared, "given:Given", schema, rows), rows
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        folder = Path(name)
        prepared = prepare(folder)
        print(f"load {os.getloadavg()[0]:.1f}\n")
        print("| one row a request | connections | p50 ms | p99 ms | requests/s | processor ms a request |")
        print("|---|---:|---:|---:|---:|---:|")

        def line(what: str, connections: str, found: Measured) -> None:
            print(
                f"| {what} | {connections} | {found.p50:.2f} | {found.p99:.2f} | {found.rate:,.0f} | {found.cpu:.2f} |",
                flush=True,
            )

        line("`inplace_predict`", "", alone(folder, prepared, options.seconds))
        line(f"`inplace_predict`, {BATCH:,} rows", "", alone(folder, prepared, options.seconds, BATCH))
        for what, start in servers(folder, prepared).items():
            if options.only and not any(part in what for part in options.only):
                continue
            with start() as server:
                for connections in (1, 16):
                    line(what, str(connections), measure(server, connections, options.seconds))


if __name__ == "__main__":
    main()
