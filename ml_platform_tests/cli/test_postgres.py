"""The loop with Dagster, ledger and references in PostgreSQL and a server of MLflow, which are restarted meanwhile."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform_tests import postgres
from ml_platform_tests.components.conftest import shop_template
from ml_platform_tests.components.shop import BIN, DATASET, MODEL, MONTHS, Shop, free_ports

__all__ = ["shop_template"]

pytestmark = pytest.mark.slow


class Mlflow:
    """A server of MLflow that keeps its tables in a database."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port, self._database, self._folder = int(free_ports(1).partition("-")[0]), database, folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        stores = ["--backend-store-uri", self._database, "--artifacts-destination", str(self._folder), "--workers", "1"]
        with (self._folder.parent / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *stores], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)

    def stop(self) -> None:
        """End it with its workers."""
        os.killpg(self._process.pid, 15)
        self._process.wait(60)


@pytest.fixture
def server() -> Iterator[postgres.Postgres]:
    """A server that may be stopped."""
    folder = postgres.binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.server(folder) as running:
        yield running


@pytest.mark.timeout(600)
def test_the_loop_while_its_servers_restart(
    server: postgres.Postgres, postgres_url: str, shop_template: Shop, tmp_path: Path
) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    for month in MONTHS:
        shop.deliver(month)
    (tmp_path / "artifacts").mkdir()
    mlflow = Mlflow(server.database(), tmp_path / "artifacts")
    settings = {
        "ML_PLATFORM_PORTS": free_ports(),
        "ML_PLATFORM_DAGSTER_POSTGRES_URL": postgres_url,
        "ML_PLATFORM_LEDGER_URL": server.database(),
        "ML_PLATFORM_MLFLOW_TRACKING_URI": mlflow.url,
    }
    # Each restarts while the next step needs it. Dagster's own storage stays: it fails a step whose query is cut.
    after = {f"{DATASET}/batch": server, f"{MODEL}/split": mlflow, f"{MODEL}/model": server}
    said: list[str] = []
    run = subprocess.Popen(
        [BIN / "ml-platform", "run"],
        cwd=shop.root,
        env=shop.environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    for line in run.stdout:
        said.append(line)
        for step in [step for step in after if f"{step} " in line]:
            restarted = after.pop(step)
            restarted.stop()
            time.sleep(1)
            restarted.start()
    code = run.wait()
    try:
        assert code == 0 and not after, "".join(said)
        again = shop.ml("run", **settings)
        assert again.returncode == 0 and "0 versions" in again.stdout, again.stdout + again.stderr
        verified = shop.ml("ledger", "verify", **settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        traced = shop.ml("trace", f"{MODEL}@champion", **settings)
        assert traced.returncode == 0, traced.stdout + traced.stderr
    finally:
        shop.ml("stop", **settings)
        mlflow.stop()
