"""Runs of Dagster as sensors and commands see them: which are under way, which died, how often one was tried."""

from collections.abc import Mapping

import dagster as dg

from ml_platform.foundation.processes import is_dead

#: The job over every asset, launched with a range of partitions; start of its names where there are several.
WHOLE_LOOP = "whole_loop"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
#: Tag with the process that executes a run, so that a killed one is recognized.
PROCESS = "ml_platform/process"
BUSY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def under_way(instance: dg.DagsterInstance, owner: str, job: str) -> str:
    """Id of a run that has not ended and works on a dataset's or model's assets; empty where there is none.

    Runs launched by hand or by the automation sensor count as well as those of ``job``.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=BUSY)):
        run = record.dagster_run
        chosen = {key.path[0] for key in run.asset_selection or ()}
        if run.job_name == job or run.job_name.startswith(WHOLE_LOOP) or owner in chosen:
            return run.run_id
    return ""


def attempts(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> int:
    """How many runs carry these tags."""
    return instance.get_runs_count(dg.RunsFilter(tags=tags))


def end_dead_runs(instance: dg.DagsterInstance, *, every: bool = False) -> list[str]:
    """Mark runs failed whose process is gone; returns their ids. ``every``: all, for this history was restored."""
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=BUSY)):
        run = record.dagster_run
        if every or (PROCESS in run.tags and is_dead(run.tags[PROCESS])):
            instance.report_run_failed(run, "The process that executed the run was killed.")
            ended.append(run.run_id)
    return ended
