"""What every test shares: an environment of its own, so that none reads or writes the user's ``.local``."""

import contextlib
import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import settings as hypothesis_settings
from sqlalchemy import event

from ml_platform.foundation.files import replacing
from ml_platform.foundation.provenance import current
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.registry.tracking import SQLITE, Tracking
from ml_platform_tests import postgres
from ml_platform_tests.prepared import once

ROOT = Path(__file__).resolve().parent.parent
_QUIET = {
    "BENTOML_DO_NOT_TRACK": "true",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_WAIT_POLICY": "PASSIVE",
    # On tables of a few thousand rows a second thread costs more than it gives, and every core has a process of tests.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}


#: Files of slow tests that take a minute and more, the longest first (`make test-slow PYTEST=--durations=50`).
LONGEST = (
    "docs/test_pages.py",
    "creating/test_end_to_end.py",
    "cli/test_secrets.py",
    "cli/test_databases_restarted.py",
    "cli/test_rollout.py",
    "faults/test_killed_run.py",
    "replay/test_replay.py",
    "upgrade/test_upgrade.py",
    "cli/test_refresh.py",
    "proving/test_flights.py",
    "creating/test_odd_tables.py",
    "rollout/test_supervisor.py",
    "rollout/test_traffic.py",
    "sensors/test_daemon.py",
    "proving/test_cli.py",
    "sabotage/test_quality.py",
    "datasets/test_lakefs_loop_commands.py",
)


# A busy machine is no failure: time is measured in benchmarks, never asserted.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Before the first import of a library: home and ``local`` for fixtures that outlive one test."""
    for name in [name for name in os.environ if name.startswith("ML_PLATFORM_")]:
        del os.environ[name]
    os.environ.update(_QUIET)
    os.environ["DAGSTER_HOME"] = str(ROOT)
    local = tempfile.TemporaryDirectory(prefix="ml-platform-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(local.cleanup)
    os.environ["ML_PLATFORM_LOCAL"] = local.name


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of the slow tests alone only the files that have one: most are imported for nothing, in every process."""
    if config.option.markexpr != "slow" or not collection_path.name.startswith("test_"):
        return None
    return "mark.slow" not in collection_path.read_text() or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first, so that no process works on one of them alone in the end."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(ROOT / "ml_platform_tests").as_posix(), len(rank)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: a tenth of all tests went into looking through it for garbage, time after time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def copy_of_the_project(destination: Path) -> Path:
    """The code and what a project has beside it, in a folder of its own."""
    shutil.copytree(ROOT / "ml_platform", destination / "ml_platform", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, destination / name)
    return destination


def ports(first: int, count: int) -> str:
    """A range of ports for services under test, another one in each process of pytest-xdist."""
    first += 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return f"{first}-{first + count - 1}"


#: What the provenance's cache was like when it held that of this project.
_provenance: list[tuple[int, int]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """The provenance of this project, where a test before left that of another: what is made once for many tests would
    be of another commit, and not be adopted by the next. It takes two calls of Git, so it is not read for each test."""

    def seen() -> tuple[int, int]:
        return current.cache_info().misses, current.cache_info().currsize

    if [seen()] != _provenance:
        current.cache_clear()
        current()
        _provenance[:] = [seen()]


@pytest.fixture(autouse=True)
def _own_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(tmp_path / ".local"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_a_power_cut() -> Iterator[None]:
    """What this process writes need not be on the disk before it goes on: that is half of all waiting.

    Processes that tests start wait as ever, and so does whoever is killed in a test.
    """

    def connected(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    def logged(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")

    event.listen(sa.Engine, "connect", connected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_platform.foundation.database._sqlite_connect", logged)
        patch.setattr(os, "fsync", lambda _: None)
        yield
    event.remove(sa.Engine, "connect", connected)


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once() -> Iterator[None]:
    """Dagster and MLflow read some hundred files of migrations for every database that is opened."""
    read, scripts = ScriptDirectory.from_config, {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location") or ""
        if place not in scripts:
            scripts[place] = read(config)
        return scripts[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session", autouse=True)
def _tables_of_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes its tables by fifty migrations, more than a second of work: made once, and copied from there.

    Processes that tests start make their own.
    """
    create, base = Tracking._create, tmp_path_factory.getbasetemp()

    def make(folder: Path) -> None:
        folder.mkdir()
        create(Tracking(f"{SQLITE}{folder / 'mlflow.db'}", folder), folder / "mlflow.db")

    def copied(self: Tracking, database: Path) -> None:
        made = once(base, "mlflow-tables", make)
        with replacing(database) as temporary:
            shutil.copy(made / "mlflow.db", temporary)
            with contextlib.closing(sqlite3.connect(temporary)) as connection, connection:
                # The experiment that every store begins with has its artifacts below the root of that store.
                connection.execute(
                    "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
                    (made.resolve().as_uri(), self.artifact_root.as_uri()),
                )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracking, "_create", copied)
        yield


@pytest.fixture
def settings() -> Settings:
    """The settings of this test: the defaults, with a ``local`` folder of its own."""
    return get_settings()


@pytest.fixture(scope="session")
def postgres_binaries() -> Path:
    """Folder with the programs of PostgreSQL."""
    folder = postgres.binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (initdb is neither on PATH nor in /usr/lib/postgresql)")
    return folder


@pytest.fixture(scope="session")
def postgres_server(postgres_binaries: Path) -> Iterator[postgres.Postgres]:
    """A PostgreSQL server that tests share."""
    with postgres.server(postgres_binaries) as running:
        yield running


@pytest.fixture
def postgres_url(postgres_server: postgres.Postgres) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)
