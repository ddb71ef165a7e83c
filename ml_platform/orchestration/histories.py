"""What services know of the past, refreshed: a job per model, and the sensor that asks for it."""

from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.reading import one_line
from ml_platform.foundation.errors import MissingReference
from ml_platform.orchestration.common import WORKSPACE, plainly, workspace_of
from ml_platform.orchestration.events import step_run
from ml_platform.orchestration.sensors import Tick, model_sensor

#: Tag of a refresh with what it was requested for: model, package and what history would be made from.
REASON = "ml_platform/refreshed_for"


def refresh_job(model: ModelContext) -> dg.JobDefinition:
    """The job ``<model>_refresh``."""
    name = model.model.name

    @dg.op(name=f"refresh_history_of_{name}", required_resource_keys={WORKSPACE}, pool=name)
    @plainly
    def step(context: dg.OpExecutionContext) -> None:
        from ml_platform.pipeline.snapshot import refresh

        done = refresh(workspace_of(context), model, step_run(context))
        told = "a newer history" if done.changed else "the history that it had"
        context.log.info(f"{name}: version {done.version} answers with {told}, until {done.until} ({done.sha256[:12]})")

    @dg.job(
        name=f"{name}_refresh",
        description=f"Let the version of {name} that answers read all outcomes that are known now.",
        tags={"ml_platform/model": name},
    )
    def job() -> None:
        step()

    return job


def refresh_jobs(catalogue: Catalogue) -> list[dg.JobDefinition]:
    """The refresh of every model."""
    return [refresh_job(ModelContext.of(catalogue, name)) for name in catalogue.models]


def history_sensor(catalogue: Catalogue, jobs: list[Any]) -> dg.SensorDefinition:
    """What answers is given newer outcomes: once for each change of what history is made from."""
    description = "Refreshes what services know of the past when a partition or another day of it has arrived."
    return model_sensor(catalogue, "history", _look, description, jobs)


def _look(tick: Tick, context: ModelContext) -> None:
    from ml_platform.pipeline import snapshot

    name, dataset = context.model.name, context.dataset.name
    if not context.function.histories:
        tick.notes.append(f"{name}: has no history")
        return
    for owner, job, what in (
        (name, f"{name}_refresh", "refresh"),
        (name, f"{name}_train", "training"),
        (dataset, f"{dataset}_ingest", "ingestion"),
    ):
        if tick.busy(owner, job, what):
            return
    try:
        backend = snapshot.answering(tick.workspace, name)
        wanted = snapshot.wanted(tick.workspace, context)
    except MissingReference:
        tick.notes.append(f"{name}: no version answers")
        return
    except Exception as error:
        # The source is somebody else's system: other models go on without it.
        tick.notes.append(f"{name}: {type(error).__name__}: {one_line(str(error))}")
        return
    reason = f"{name}/{backend.sha256[:16]}/{wanted[:16]}"
    if tick.done(REASON, reason):
        tick.notes.append(f"{name}: its history is as new as can be")
        return
    why = "what history is made from changed"
    tick.ask(name, f"{name}_refresh", (REASON, reason), why, "attempts to refresh its history")
