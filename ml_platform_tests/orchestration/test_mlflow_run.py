"""Runs of one's own that log to MLflow by ``dagster-mlflow``: one for each Dagster run, with its true status."""

import os
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.orchestration import common
from ml_platform.orchestration.mlflow_run import MLFLOW, RUN_TAG, mlflow_run
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.conftest import ROOT

NEEDS = {MLFLOW}
#: Environment variable that makes the second step fail, by an error or by a kill.
BREAK = "TEST_OF_MLFLOW_RUNS_BREAKS"


@dg.op(required_resource_keys=NEEDS)
def first(context: dg.OpExecutionContext) -> int:
    context.resources.mlflow.log_param("alpha", 3)
    return 1


@dg.op(required_resource_keys=NEEDS)
def second(context: dg.OpExecutionContext, one: int) -> None:
    if os.environ.get(BREAK) == "error":
        raise ValueError("broken on purpose")
    if os.environ.get(BREAK) == "kill":
        os.kill(os.getpid(), 9)
    context.resources.mlflow.log_metric("beta", one)


@dg.job(resource_defs={MLFLOW: mlflow_run}, executor_def=dg.multiprocess_executor)
def logging_job() -> None:
    second(first())


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """A real instance, of which processes share the history."""
    common._workspace.cache_clear()
    with dg.DagsterInstance.get() as instance:
        yield instance
    common._workspace.cache_clear()


def logged() -> list[tuple[str, str, dict[str, str], dict[str, float]]]:
    """Dagster run, status, parameters and metrics of every MLflow run."""
    tracking = Workspace().tracking
    runs = tracking.search(tracking.experiment("dagster"), "")
    return [(run.data.tags[RUN_TAG], run.info.status, run.data.params, run.data.metrics) for run in runs]


@pytest.mark.parametrize(("cause", "status"), [("", "FINISHED"), ("error", "FAILED")])
def test_in_one_process(cause: str, status: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BREAK, cause)
    result = logging_job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success == (status == "FINISHED")
    metrics = {} if cause else {"beta": 1.0}
    assert logged() == [(result.run_id, status, {"alpha": "3"}, metrics)]


@pytest.mark.slow
def test_in_several_processes(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each step: a first one that ends well does not end the MLflow run, a last one does."""
    known: list[tuple[str, str, dict[str, str], dict[str, float]]] = []
    for cause, status in (("", "FINISHED"), ("error", "FAILED"), ("kill", "FAILED")):
        monkeypatch.setenv(BREAK, cause)
        with dg.execute_job(dg.reconstructable(logging_job), instance, raise_on_error=False) as result:
            assert result.success == (status == "FINISHED")
        known.append((result.run_id, status, {"alpha": "3"}, {} if cause else {"beta": 1.0}))
        assert logged() == known


@pytest.mark.slow
def test_a_killed_run_is_ended_by_the_next_one(instance: dg.DagsterInstance) -> None:
    code = f"from {__name__} import *; logging_job.execute_in_process(instance=dg.DagsterInstance.get())"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, BREAK: "kill"}, check=False)
    assert killed.returncode == -9
    [(run_id, status, *_)] = logged()
    assert status == "RUNNING"
    # Dagster's run monitoring finds out that the worker is gone.
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)

    result = logging_job.execute_in_process(instance=instance)
    assert [(name, status) for name, status, *_ in logged()] == [(run_id, "FAILED"), (result.run_id, "FINISHED")]
