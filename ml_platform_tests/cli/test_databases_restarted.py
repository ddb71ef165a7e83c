"""The loop with Dagster, ledger, references and MLflow on PostgreSQL, restarted in the middle, as MLflow is."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from ml_platform_tests.components.shop import BIN, DATASET, MODEL, MONTHS, Shop, free_ports
from ml_platform_tests.mlflow_server import mlflow_server
from ml_platform_tests.postgres import Postgres, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Seconds for which a server is away.
AWAY = 4


@pytest.fixture
def own_server(postgres_binaries: Path) -> Iterator[Postgres]:
    """A server that nobody else uses: it is restarted."""
    with server(postgres_binaries) as running:
        yield running


def entries(ledger: str, kind: str) -> list[str]:
    """What the ledger's entries of a kind are about; nothing while there is no ledger."""
    engine = sa.create_engine(ledger, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            told = connection.exec_driver_sql(f"SELECT subject_name FROM ml_platform_ledger WHERE kind = '{kind}'")
            return [name for (name,) in told]
    except ProgrammingError:
        return []
    finally:
        engine.dispose()


def test_a_run_outlives_restarts_of_its_databases(shop_template: Shop, own_server: Postgres, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    for month in MONTHS:
        shop.deliver(month)
    dagster, ledger, tracked = own_server.database(), own_server.database(), own_server.database()
    told = ledger.replace("postgresql:", "postgresql+psycopg:")
    with mlflow_server(tmp_path / "mlflow", tracked.replace("postgresql:", "postgresql+psycopg:")) as tracking:
        settings = {
            "ML_PLATFORM_DAGSTER_POSTGRES_URL": dagster,
            "ML_PLATFORM_LEDGER_URL": told,
            "ML_PLATFORM_MLFLOW_TRACKING_URI": f"http://127.0.0.1:{tracking.port}",
            "ML_PLATFORM_PORTS": free_ports(),
            "PYTHONPATH": "",
        }

        def restart(stop: Callable[[], None], start: Callable[[], None]) -> None:
            stop()
            time.sleep(AWAY)
            start()

        with (tmp_path / "output").open("wb") as output:
            run = subprocess.Popen(
                [str(BIN / "ml-platform"), "run"],
                cwd=shop.root,
                env=shop.environment | settings,
                stdout=output,
                stderr=output,
            )
        said = lambda: (tmp_path / "output").read_text()  # noqa: E731

        def reached(kind: str) -> None:
            deadline = time.monotonic() + 400
            while not entries(told, kind):
                assert run.poll() is None and time.monotonic() < deadline, said()
                time.sleep(0.1)

        try:
            reached("publication")
            restart(own_server.stop, own_server.start)
            reached("training")
            restart(tracking.stop, tracking.start)
            assert run.wait(timeout=600) == 0, said()
            published = [f"{DATASET}/dataset/{month}" for month in MONTHS]
            assert sorted(entries(told, "publication")) == published
            assert entries(told, "promotion") == [f"{MODEL}/champion"]
            done = shop.several(["ledger", "verify"], ["status"], ["run"], **settings)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "unbroken" in done.stdout
            assert len(entries(told, "training")) == 1, "the second run made nothing again"
        finally:
            run.kill()
            run.wait()
            assert shop.ml("stop", **settings).returncode == 0
