"""MLflow's own server for tests, which lets everybody in."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx


class Server(NamedTuple):
    """A server that runs."""

    port: int
    stop: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def mlflow_server(folder: Path, database: str = "") -> Iterator[Server]:
    """Start a server on a free port, on SQLite in ``folder`` or on the ``database`` of a SQLAlchemy URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    address = database or f"sqlite:///{folder / 'db'}"
    place = ["--backend-store-uri", address, "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *place, "--workers", "1", "--port", str(port)]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (folder / "log").open("ab") as log:
            running.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True))
        deadline = time.monotonic() + 400
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert time.monotonic() < deadline and running[-1].poll() is None, (folder / "log").read_text()
            time.sleep(0.3)

    def stop() -> None:
        server = running.pop()
        os.killpg(server.pid, 9)
        server.wait()

    start()
    try:
        yield Server(port, stop, start)
    finally:
        if running:
            stop()


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
