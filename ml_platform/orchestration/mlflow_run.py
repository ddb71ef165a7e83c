"""The resource ``mlflow`` for assets and ops of one's own: one MLflow run per Dagster run, ended with its true status.

It is that of ``dagster-mlflow`` on the tracking store of the settings. What is added is the end: left alone, MLflow 3
calls every run FINISHED when its process exits, failed steps or not.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_platform.orchestration.common import WorkspaceResource

if TYPE_CHECKING:
    from ml_platform.registry.tracking import Tracking

#: Name of the resource, as dagster-mlflow's own hook expects it.
MLFLOW = "mlflow"
#: Tag by which dagster-mlflow finds the MLflow run of a Dagster run.
RUN_TAG = "dagster_run_id"
_ENDS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


@dg.resource(
    config_schema={"experiment_name": dg.Field(str, default_value="dagster", description="Experiment of the runs.")},
    description="MLflow's functions on an active run that belongs to the Dagster run.",
)
def mlflow_run(context: dg.InitResourceContext) -> Iterator[Any]:
    """Start the MLflow run, or go on with the one that an earlier step of the Dagster run has started.

    Raises PlatformError where the tracking store cannot be reached.
    """
    from dagster_mlflow.resources import MlFlow
    from mlflow.tracking import fluent

    tracking, experiment = WorkspaceResource().open().tracking, context.resource_config["experiment_name"]
    _end_what_was_left(context, tracking, experiment)
    config = {"experiment_name": experiment, "mlflow_tracking_uri": tracking.address}
    about = SimpleNamespace(
        log=context.log, dagster_run=context.dagster_run, run_id=context.run_id, resource_config=config
    )
    with tracking.calls("start a run"):
        resource: Any = MlFlow(about)
    try:
        yield resource
    finally:
        run = fluent.active_run()
        if run is not None:
            # It goes on where a later step of the same Dagster run may use it.
            with tracking.calls(f"end run {run.info.run_id}"):
                fluent.end_run(_status(context) or "RUNNING")


def _status(context: dg.InitResourceContext) -> str | None:
    """FAILED once a step has failed, FINISHED once all have succeeded, None while some are still to come."""
    instance, run = context.instance, context.dagster_run
    assert instance is not None and run is not None and run.execution_plan_snapshot_id is not None
    found = {step.step_key: step.status for step in instance.get_run_step_stats(run.run_id)}
    states = {
        found.get(key)
        for key in instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    }
    names = {state.value if state is not None else "" for state in states}
    if "FAILURE" in names:
        return "FAILED"
    return "FINISHED" if names <= {"SUCCESS", "SKIPPED"} else None


def _end_what_was_left(context: dg.InitResourceContext, tracking: "Tracking", experiment: str) -> None:
    """End the MLflow runs of Dagster runs that are over: their last process was killed before it could."""
    assert context.instance is not None
    for run in tracking.search(tracking.experiment(experiment), "attributes.status = 'RUNNING'"):
        owner = context.instance.get_run_by_id(run.data.tags.get(RUN_TAG, ""))
        if owner is not None and owner.status in _ENDS:
            with tracking.calls(f"end run {run.info.run_id}"):
                tracking.client.set_terminated(run.info.run_id, _ENDS[owner.status])
