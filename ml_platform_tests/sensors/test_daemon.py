"""The sensors under Dagster's own daemon: a month arrives, is ingested and leads to one training of each model."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from ml_platform_tests.components.shop import APRIL, BIN, FEBRUARY, JANUARY, MARCH, MODEL, Shop, free_ports, scaffolded

OTHER = "amounts"
#: Seconds for everything that one arrival leads to.
PATIENCE = 240.0


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Shop:
    """A project with two models, quick ones, in which January to March were published before."""
    shop = scaffolded(tmp_path_factory.getbasetemp()).copy(tmp_path / "shop")
    (shop.defs / OTHER).mkdir()
    declared = (shop.defs / MODEL / "defs.yaml").read_text()
    (shop.defs / OTHER / "defs.yaml").write_text(declared.replace(f"name: {MODEL}", f"name: {OTHER}"))
    for model in (MODEL, OTHER):
        shop.edit(model, "rounds: 200", "rounds: 30")
    for month in (JANUARY, FEBRUARY, MARCH):
        shop.deliver(month, 400)
    (shop.root / "dagster.yaml").write_text(
        "instance_class: {module: ml_platform.orchestration.instance, class: PlatformInstance}\n"
        "telemetry: {enabled: false}\n"
        "run_queue: {dequeue_interval_seconds: 1}\n"
        "concurrency: {runs: {max_concurrent_runs: 2}, pools: {default_limit: 1, granularity: run}}\n"
    )
    launched = shop.dg("launch", "--job", "orders_ingest", "--partition-range", f"{JANUARY}...{MARCH}")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    shop.deliver(APRIL, 400)
    return shop


@pytest.fixture
def daemon(shop: Shop) -> Iterator[dict[str, str]]:
    """A code server and the daemon, as `dagster dev` runs them without the web server."""
    settings = shop.environment | {"ML_PLATFORM_PORTS": free_ports(20)}
    with (shop.root / ".local" / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / "dagster-daemon"), "run", "-w", "workspace.yaml"],
            cwd=shop.root,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield settings
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        subprocess.run([str(BIN / "ml-platform"), "stop"], cwd=shop.root, env=settings, check=True, timeout=90)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_month_arrives(shop: Shop, daemon: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "ML_PLATFORM_LOCAL"):
        monkeypatch.setenv(name, daemon[name])
    with dg.DagsterInstance.get() as instance:
        # At the daemon's first look April is new, and nothing was trained yet.
        wait(lambda: settled(instance), shop)
        runs = [record.dagster_run for record in instance.get_run_records()]
        asked = [run for run in runs if "ml_platform/why" in run.tags]
        # What answers may learn of April's days beside, each model once.
        refreshed = Counter(run.job_name for run in asked if run.job_name.endswith("_refresh"))
        assert set(refreshed.values()) <= {1}
        requested = [run for run in asked if run.job_name not in refreshed]
        assert Counter(run.job_name for run in requested) == {
            "orders_ingest": 1,
            f"{MODEL}_train": 1,
            f"{OTHER}_train": 1,
        }
        (ingestion,) = [run for run in requested if run.job_name == "orders_ingest"]
        assert ingestion.tags["ml_platform/why"] == f"orders: {APRIL} new"
        assert ingestion.tags["dagster/partition"] == APRIL
    for model in (MODEL, OTHER):
        answer = shop.ml("predict", model, ML_PLATFORM_PORTS=daemon["ML_PLATFORM_PORTS"])
        assert answer.returncode == 0, answer.stderr
        assert '"version": 1' in answer.stdout


def settled(instance: dg.DagsterInstance) -> bool:
    """Whether the sensor says that nothing is left to do. Raises AssertionError where a run failed."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
        raise AssertionError(errors(instance, record.dagster_run.run_id))
    last = skipped(instance)
    return all(
        text in last
        for text in (
            "orders: nothing new among the 4 partitions",
            f"{MODEL}: nothing to train: version 1 was trained on everything that is published",
            f"{OTHER}: nothing to train: version 1 was trained on everything that is published",
        )
    )


def errors(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Why the steps of a run failed."""
    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return [str(entry.get_dagster_event().step_failure_data.error) for entry in found]


def wait(done: Callable[[], bool], shop: Shop) -> None:
    """Wait for something that the daemon does."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError((shop.root / ".local" / "daemon.log").read_text()[-4000:])
        time.sleep(0.5)


def skipped(instance: dg.DagsterInstance) -> str:
    """What the newest tick of the sensor new_data said."""
    for state in instance.all_instigator_state():
        if state.instigator_name == "new_data":
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            return (ticks[0].skip_reason or "") if ticks else ""
    return ""
