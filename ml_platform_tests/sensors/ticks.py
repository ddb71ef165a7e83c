"""Real ticks of the sensors on a real instance, and the runs that they ask for."""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.orchestration.runs import RANGE_END, RANGE_START
from ml_platform.orchestration.sensors import REASON, WANTED, WHY
from ml_platform_tests.histories import in_memory, keep
from ml_platform_tests.moving import moved
from ml_platform_tests.prepared import once
from ml_platform_tests.project import Outcome, Project
from ml_platform_tests.shop_project import APRIL, JANUARY, MODEL, MONTHS, declared, new_project

#: Folder of Dagster's history in that of a project.
HISTORY = "dagster"
OTHER = "second_returned"
#: Two models on one feature set: each is trained once.
TWO_MODELS: dict[str, dict[str, Any]] = {MODEL: {}, OTHER: {"gates": [{"gate": "disjoint"}]}}


@dataclass(frozen=True)
class Found:
    """What a tick came to."""

    requests: list[dg.RunRequest]
    skipped: str

    @property
    def jobs(self) -> list[str]:
        """Names of the requested jobs."""
        return sorted(request.job_name or "" for request in self.requests)

    @property
    def only(self) -> dg.RunRequest:
        """The one request."""
        (request,) = self.requests
        return request

    @property
    def why(self) -> str:
        """The explanation on the one request."""
        return self.only.tags[WHY]


def tick(project: Project, sensor: str = "new_data") -> Found:
    """Evaluate a sensor as the daemon does."""
    with project.active():
        context = dg.build_sensor_context(
            instance=project.instance, definitions=project.definitions, sensor_name=sensor
        )
        data = project.definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    return Found(list(data.run_requests or ()), data.skip_message or "")


def span(request: dg.RunRequest) -> tuple[str, str]:
    """First and last partition of a requested ingestion."""
    if request.partition_key:
        return request.partition_key, request.partition_key
    return request.tags[RANGE_START], request.tags[RANGE_END]


def execute(project: Project, request: dg.RunRequest) -> Outcome:
    """Run what a tick asked for, with its tags."""
    job = project.definitions.resolve_job_def(request.job_name or "")
    tags = {name: value for name, value in request.tags.items() if re.match("ml_platform/", name)}
    if request.job_name and request.job_name.endswith("_train"):
        return project._execute(job, tags=tags)
    first, last = span(request)
    return project._execute(job, first, "" if first == last else last, tags=tags)


def pretend(
    project: Project, job: str, status: dg.DagsterRunStatus, tags: Mapping[str, str] | None = None
) -> dg.DagsterRun:
    """Record a run that somebody else started."""
    run = dg.DagsterRun(job_name=job, status=status, tags=dict(tags or {}))
    return project.instance.add_run(run)


def attempt_tags(request: dg.RunRequest) -> dict[str, str]:
    """The tags by which attempts for the same content are counted."""
    return {name: value for name, value in request.tags.items() if name == REASON or name.startswith(WANTED)}


def ingested_with_history(base: Path) -> Path:
    """Folder of a project in which the sensor had January to April ingested; ``base`` as for :func:`once`."""

    def make(folder: Path) -> None:
        project = opened(folder, declared(models=TWO_MODELS), arrived=MONTHS[:4])
        found = tick(project)
        assert span(found.only) == (JANUARY, APRIL)
        outcome = execute(project, found.only)
        assert outcome.success, outcome.error
        project.prepare_tracking()
        keep(project.instance, folder / HISTORY)

    return once(base, "sensor-ingested", make)


def opened(folder: Path, catalogue: Catalogue, arrived: Iterable[str] = ()) -> Project:
    """A project with the Dagster history that was kept in its folder."""
    return new_project(folder, catalogue, instance=in_memory(folder / HISTORY), arrived=arrived)


def copied(base: Path, target: Path, catalogue: Catalogue | None = None) -> Project:
    """A project of its own in which January to April are ingested, with that history."""
    folder = ingested_with_history(base)
    shutil.copytree(folder, target)
    moved(target, str(folder), str(target))
    return opened(target, catalogue or declared(models=TWO_MODELS))
