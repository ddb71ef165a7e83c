"""``ml-platform run``: the whole loop in one run of Dagster, with progress and a table at the end."""

import importlib
import os
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from ml_platform.cli import screen
from ml_platform.cli.output import BadUsage, limited
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.locks import locked
from ml_platform.foundation.patience import waiting
from ml_platform.foundation.processes import process_identity
from ml_platform.foundation.project import NoProject, Project, current_project
from ml_platform.foundation.settings import default_home
from ml_platform.orchestration.dagster_internals import attribute_of, execute
from ml_platform.orchestration.platform import whole_loops
from ml_platform.orchestration.runs import PROCESS, RANGE_END, RANGE_START, end_dead_runs
from ml_platform.pipeline import data
from ml_platform.pipeline.workspace import Workspace

#: Exit code of a command that Ctrl-C ended.
INTERRUPTED = 130


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
        versions = sum(len(list(workspace.registry.tags(name))) for name in catalogue.models)
        return cls(len(commits), versions, workspace.ledger.anchor().length or 0)


def run_loop(
    first: str, last: str, json: Path | None, *, datasets: Collection[str] = (), models: Collection[str] = ()
) -> int:
    """Run everything from ``first`` to ``last``, or what belongs to these datasets and models; 0 where every blocking
    gate passed."""
    from ml_platform.cli.histories import refresh_each
    from ml_platform.cli.summary import show_summary

    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    console, workspace = screen.console(), Workspace()
    with only_one(workspace), waiting(workspace.settings.patience_seconds):
        started = time.monotonic()
        everything = project_catalogue()
        catalogue = limited(everything, datasets, models)
        workspace.require_whole(catalogue.models, catalogue.datasets)
        ranges, notes = _ranges(workspace, everything, catalogue, first, last)
        for note in notes:
            console.print(note)
        with dg.DagsterInstance.get() as instance:
            for run_id in end_dead_runs(instance):
                console.print(f"run {run_id[:8]} was killed; its work is taken up again")
            before = Counts.of(workspace, catalogue)
            ended = [execute_job(instance, job, tags, catalogue, console, started) for job, tags in ranges.items()]
            success = all(good for _, good in ended)
            # Where no newer version answers, the one that does still learns what has happened.
            refresh_each(workspace, catalogue, list(catalogue.models), console.print)
            after = Counts.of(workspace, catalogue)
            runs = f"run {', '.join(run_id for run_id, _ in ended)}"
            console.print(f"\n{'done' if success else 'not done'} in {time.monotonic() - started:.0f} s, {runs}")
            return show_summary(console, workspace, catalogue, before, after, success, json)


@contextmanager
def only_one(workspace: Workspace) -> Generator[None]:
    """Hold the lock of this installation's command line run."""
    with locked(workspace.settings.local / "run.lock", timeout=0, what="another ml-platform run is under way here"):
        yield


def _ranges(
    workspace: Workspace, everything: Catalogue, chosen: Catalogue, first: str, last: str
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The tags of each run, one for all chosen datasets that have the same partitions; and what is odd about them."""
    ranges: dict[str, dict[str, str]] = {}
    offered: dict[str, set[str]] = {}
    notes: list[str] = []
    for job, part in whole_loops(everything).items():
        offered[job] = set()
        for spec in part.datasets.values():
            if spec.name in chosen.datasets:
                there, others = data.offered(workspace, spec)
                offered[job].update(there)
                # Days of a partition under way are for histories only.
                notes += _notes(workspace, spec, there, {*others} - spec.partitions.to_come(workspace.now()))
        names = sorted(name for name in offered[job] if (not first or name >= first) and (not last or name <= last))
        if names:
            ranges[job] = {RANGE_START: names[0], RANGE_END: names[-1], PROCESS: process_identity()}
    known = sorted(set().union(*offered.values()))
    span = f"{len(known)}, {known[0]} to {known[-1]}" if len(known) > 1 else known[0] if known else "none"
    if first and last and first > last:
        raise BadUsage(f"--from {first} lies after --to {last}; take them the other way round")
    for option, wanted in (("--from", first), ("--to", last)):
        if wanted and wanted not in known:
            _formed(option, wanted, chosen)
            raise PlatformError(f"no source has a partition {wanted}{_around(wanted, chosen)}; there are {span}")
    if not ranges:
        raise PlatformError(
            f"no source has a partition from {first} to {last}; there are {span}"
            if known
            else "; ".join(notes) or "no source has a partition yet; see the sources that defs.yaml names"
        )
    return ranges, notes


def _notes(workspace: Workspace, spec: DatasetSpec, there: Collection[str], others: Collection[str]) -> list[str]:
    """What is odd about the partitions that a source offers."""
    notes = [data.no_partitions(spec, sorted(others))] if others else []
    if not there and (published := workspace.references.partitions(f"{spec.name}/dataset")):
        notes.append(
            f"{spec.name}: the source offers none of the {len(published)} partitions that it had ({published[0]} to "
            f"{published[-1]}); see what `source` of its defs.yaml names"
        )
    return notes


def _formed(option: str, wanted: str, chosen: Catalogue) -> None:
    """Raise BadUsage for a text that is no partition of any of the datasets."""
    reasons: list[str] = []
    for spec in chosen.datasets.values():
        try:
            spec.partitions.window(wanted)
        except DeclarationError as error:
            reasons.append(str(error))
    if reasons and len(reasons) == len(chosen.datasets) and not any("does not exist" in one for one in reasons):
        raise BadUsage(f"{option}: {reasons[0]}")


def _around(wanted: str, chosen: Catalogue) -> str:
    """The partition that a day lies in which begins none."""
    found = {around for spec in chosen.datasets.values() if (around := spec.partitions.around(wanted))}
    return f" (that day lies in {', '.join(sorted(found))})" if found else ""


def _attribute(project: Project) -> str:
    """Name of the Definitions in the project's module. Raises NoProject where it has none."""
    try:
        module = importlib.import_module(project.definitions)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{project.definitions}.".startswith(f"{error.name}."):
            raise
        raise NoProject(
            f"{project.root / 'pyproject.toml'}: there is no module {project.definitions}; "
            "name the one with the Definitions as tool.dg.project.code_location_target_module"
        ) from error
    return attribute_of(module)


def execute_job(
    instance: dg.DagsterInstance,
    name: str,
    tags: dict[str, str],
    chosen: Catalogue,
    console: Console,
    started: float,
) -> tuple[str, bool]:
    """Execute a job in this process and show its steps; its run id, and whether it succeeded."""
    project = current_project()
    steps: dict[str, float] = {}
    owners = {*chosen.datasets, *chosen.models}
    run_id, events = execute(instance, project.definitions, _attribute(project), str(project.code), name, tags, owners)
    success = False
    try:
        for event in events:
            success = success or event.event_type == dg.DagsterEventType.RUN_SUCCESS
            _show(event, steps, console, started)
            if _interrupted(event):
                raise dg.DagsterExecutionInterruptedError
    except dg.DagsterExecutionInterruptedError:
        # Dagster takes Ctrl-C for the failure of one step, and goes on with the others.
        console.print(f"stopped; ml-platform run takes up what run {run_id[:8]} has left")
        raise SystemExit(INTERRUPTED) from None
    return run_id, success


def _interrupted(event: Any) -> bool:
    if event.event_type != dg.DagsterEventType.STEP_FAILURE or event.event_specific_data.error is None:
        return False
    error = event.event_specific_data.error
    names = [error.cls_name, *([error.cause.cls_name] if error.cause else [])]
    return dg.DagsterExecutionInterruptedError.__name__ in names


def _show(event: Any, steps: dict[str, float], console: Console, started: float) -> None:
    kind = event.event_type
    now = time.monotonic()
    name = (event.step_key or "").replace("__", "/")
    if kind == dg.DagsterEventType.STEP_START:
        steps[name] = now
    elif kind == dg.DagsterEventType.STEP_SUCCESS:
        console.print(f"[{now - started:6.1f} s] {name:<45} {now - steps.get(name, now):6.1f} s")
    elif kind == dg.DagsterEventType.STEP_FAILURE:
        reason = _failure(event.event_specific_data)
        console.print(f"[{now - started:6.1f} s] {name:<45} FAILED: {reason}", markup=False)
    elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION and not event.event_specific_data.passed:
        check = event.event_specific_data
        where = f" {check.partition}" if check.partition else ""
        console.print(f"{'':11}gate {check.check_name}{where}: {check.description}", markup=False)


def _failure(data: Any) -> str:
    """Why a step failed, in one line."""
    told, error = data.user_failure_data, data.error
    if told is not None and told.description:
        return told.description[:600]
    cause = error.cause or error
    if cause.cls_name == "DagsterAssetCheckFailedError":
        return "what follows is held back"
    text = " ".join(cause.message.split())
    head, _, rest = text.partition(": ")
    return (f"{cause.cls_name}: {rest}" if head.endswith(cause.cls_name) else text)[:600]
