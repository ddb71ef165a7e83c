"""``ml-platform run``: the whole loop in one run of Dagster, with progress and a table at the end."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from ml_platform.declarations import Catalogue
from ml_platform.errors import PlatformError
from ml_platform.orchestration.components import project_catalogue
from ml_platform.orchestration.platform import WHOLE_LOOP
from ml_platform.orchestration.sensors import RANGE_END, RANGE_START
from ml_platform.settings import default_home
from ml_platform.training.process import is_dead, process_identity
from ml_platform.workspace import Workspace

#: Tag with the process that executes a run, so that a killed one is recognized.
PROCESS = "ml_platform/process"


@dataclass(frozen=True)
class Counts:
    """How much the platform holds: what a run with nothing new must not change."""

    commits: int
    versions: int
    ledger: int

    @classmethod
    def of(cls, workspace: Workspace, catalogue: Catalogue) -> "Counts":
        """Count commits on all branches, registered versions, and ledger entries."""
        store = workspace.store
        commits = {commit.id for branch in store.branches() for commit in store.log(branch)}
        versions = sum(len(workspace.registry.versions(name)) for name in catalogue.models)
        return cls(len(commits), versions, len(workspace.ledger.entries()))


def run_loop(first: str, last: str, json: Path | None) -> int:
    """Run everything from ``first`` to ``last``; 0 where every blocking gate passed."""
    from ml_platform.cli.summary import show_summary

    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    console, workspace = Console(), Workspace()
    with only_one(workspace):
        started = time.monotonic()
        catalogue = project_catalogue()
        tags = {**_range(catalogue, first, last), PROCESS: process_identity()}
        with dg.DagsterInstance.get() as instance:
            for run_id in end_dead_runs(instance):
                console.print(f"run {run_id[:8]} was killed; its work is taken up again")
            before = Counts.of(workspace, catalogue)
            run_id, success = _execute(instance, tags, console, started)
            after = Counts.of(workspace, catalogue)
            console.print(f"\n{'done' if success else 'not done'} in {time.monotonic() - started:.0f} s, run {run_id}")
            return show_summary(console, workspace, catalogue, before, after, success, json)


@contextmanager
def only_one(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of this installation's command line run."""
    from filelock import FileLock, Timeout

    workspace.settings.local.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workspace.settings.local / "run.lock", timeout=0):
            yield
    except Timeout:
        raise PlatformError("another ml-platform run is under way here; wait for it, or end it") from None


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs failed whose process is gone; returns their ids."""
    from ml_platform.orchestration.sensors import BUSY

    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=BUSY)):
        run = record.dagster_run
        if PROCESS in run.tags and is_dead(run.tags[PROCESS]):
            instance.report_run_failed(run, "The process that executed the run was killed.")
            ended.append(run.run_id)
    return ended


def _range(catalogue: Catalogue, first: str, last: str) -> dict[str, str]:
    offered: set[str] = set()
    for spec in catalogue.datasets.values():
        names = spec.load_source().partitions()
        for wanted in filter(None, (first, last)):
            if wanted not in names:
                raise PlatformError(
                    f"{spec.name}: the source has no partition {wanted}; it has {min(names)} to {max(names)}"
                )
        offered |= names.keys()
    chosen = sorted(name for name in offered if (not first or name >= first) and (not last or name <= last))
    if not chosen:
        raise PlatformError("no source has a partition in that range; see ml-platform status")
    return {RANGE_START: chosen[0], RANGE_END: chosen[-1]}


def _execute(instance: dg.DagsterInstance, tags: dict[str, str], console: Console, started: float) -> tuple[str, bool]:
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.execution.api import execute_run_iterator

    code = ReconstructableRepository.for_module("ml_platform.definitions", "defs", str(default_home()))
    job = code.get_reconstructable_job(WHOLE_LOOP)
    run = instance.create_run_for_job(
        job_def=job.get_definition(),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags=tags,
        job_code_origin=job.get_python_origin(),
    )
    steps: dict[str, float] = {}
    success = False
    for event in execute_run_iterator(job, run, instance):
        success = success or event.event_type == dg.DagsterEventType.RUN_SUCCESS
        _show(event, steps, console, started)
    return run.run_id, success


def _show(event: Any, steps: dict[str, float], console: Console, started: float) -> None:
    kind = event.event_type
    now = time.monotonic()
    name = (event.step_key or "").replace("__", "/")
    if kind == dg.DagsterEventType.STEP_START:
        steps[name] = now
    elif kind == dg.DagsterEventType.STEP_SUCCESS:
        console.print(f"[{now - started:6.1f} s] {name:<45} {now - steps.get(name, now):6.1f} s")
    elif kind == dg.DagsterEventType.STEP_FAILURE:
        error = event.event_specific_data.error
        cause = error.cause or error
        console.print(f"[{now - started:6.1f} s] {name:<45} FAILED: {cause.message.strip()[:600]}", markup=False)
    elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION and not event.event_specific_data.passed:
        check = event.event_specific_data
        where = f" {check.partition}" if check.partition else ""
        console.print(f"{'':11}gate {check.check_name}{where}: {check.description}", markup=False)
