"""Jobs that change what is published: rollback of a batch, and removal of bytes that nothing names."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.provenance import Run
from ml_platform.orchestration.common import WORKSPACE, plainly, workspace_of
from ml_platform.orchestration.dagster_internals import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG
from ml_platform.orchestration.events import step_run
from ml_platform.orchestration.metadata import ref_metadata, table
from ml_platform.orchestration.publications import observed
from ml_platform.pipeline.rollback import RolledBack, roll_back
from ml_platform.pipeline.workspace import Workspace

#: Data version of a partition that was taken out.
WITHDRAWN = "withdrawn"


class RollbackConfig(dg.Config):
    """What to roll back, and why."""

    partition: str
    #: Kept in the ledger.
    reason: str
    #: Who wants it; empty: the actor of the settings.
    by: str = ""
    #: Beginning of the sha256 to return to; empty: the content before the present one.
    to: str = ""
    #: Take the partition out altogether.
    withdraw: bool = False


class GcConfig(dg.Config):
    """What to leave alone."""

    #: Files younger than this stay: another process may be about to name them.
    grace_hours: float = 24


def rollback_job(spec: DatasetSpec, models: Sequence[str]) -> dg.JobDefinition:
    """The job ``<dataset>_rollback``."""

    @dg.op(name=f"roll_back_{spec.name}", required_resource_keys={WORKSPACE}, pool=spec.name)
    @plainly
    def step(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
        # A run that is retried after its process died carries the wish of the first one.
        request = context.run.root_run_id or context.run.run_id
        done = roll_back(
            workspace_of(context), spec, models=models, run=step_run(context), request=request, **config.model_dump()
        )
        for event in settle(workspace_of(context), spec, done):
            context.log_event(event)
        context.log.info(summary(done))

    @dg.job(
        name=f"{spec.name}_rollback",
        description=f"Publish an earlier content of a partition of {spec.name} again; what was built from the present "
        "one becomes stale.",
        tags={"ml_platform/dataset": spec.name},
    )
    def job() -> None:
        step()

    return job


def gc_job() -> dg.JobDefinition:
    """The job ``data_gc``."""

    @dg.op(name="collect_garbage", required_resource_keys={WORKSPACE})
    @plainly
    def step(context: dg.OpExecutionContext, config: GcConfig) -> None:
        from ml_platform.datasets.maintenance import collect

        removed = collect(workspace_of(context).store, config.grace_hours * 3600)
        context.log.info(f"{removed} files removed that nothing names")

    @dg.job(name="data_gc", description="Remove bytes from the dataset store that no branch, tag or commit names.")
    def job() -> None:
        step()

    return job


def data_jobs(catalogue: Catalogue) -> list[dg.JobDefinition]:
    """Every job on data itself."""
    jobs = [rollback_job(spec, models_on(catalogue, spec)) for spec in catalogue.datasets.values()]
    return [*jobs, gc_job()] if jobs else []


def models_on(catalogue: Catalogue, spec: DatasetSpec) -> list[str]:
    """Models that are trained on a dataset."""
    return [name for name, model in catalogue.models.items() if model.features.partition("/")[0] == spec.name]


def settle(
    workspace: Workspace, spec: DatasetSpec, done: RolledBack
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """Let everything downstream see the rollback: the reference that steps load, and the events for the UI.

    They carry the data versions of what is current again, so that what was built from the other content shows as
    stale.
    """
    asset, references = f"{done.dataset}/dataset", workspace.references
    if done.ref is not None:
        references.save(asset, done.partition, done.ref)
    else:
        references.forget(asset, done.partition)
    shown: dict[str, Any] = ref_metadata(done.ref) if done.ref is not None else {"dagster/row_count": 0}
    shown |= {
        "rolled_back": done.withdrawn,
        "reason": f"{done.reason} ({done.by})",
        "commit": done.commit,
        "used_by": table(
            [
                {
                    "model": use.model,
                    "version": use.version,
                    "aliases": ", ".join(use.aliases),
                    "as": ", ".join(use.parts),
                }
                for use in done.used_by
            ]
        )
        if done.used_by
        else dg.MetadataValue.text("no registered version"),
    }
    yield from observed(workspace, spec, done.partition)
    yield dg.AssetMaterialization(
        asset_key=dg.AssetKey(asset.split("/")),
        partition=done.partition,
        description=f"rolled back: {done.reason}",
        metadata=shown,
        tags={DATA_VERSION_TAG: done.current or WITHDRAWN, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
    )


def roll_back_by_hand(
    workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec, partition: str, **wish: Any
) -> RolledBack:
    """A rollback outside any run; Dagster's event log gets the same event."""
    done = roll_back(workspace, spec, partition, Run.new(), models=models_on(catalogue, spec), **wish)
    with dg.DagsterInstance.get() as instance:
        for event in settle(workspace, spec, done):
            instance.report_runless_asset_event(event)
    return done


def stale_features(workspace: Workspace, catalogue: Catalogue, dataset: str, content: str) -> dict[str, list[str]]:
    """Feature set to the partitions whose latest features were made from a content."""
    found: dict[str, list[str]] = {}
    for spec in catalogue.features.values():
        if spec.dataset == dataset:
            stale = [name for name, ref in workspace.references.all(spec.key).items() if content in ref.inputs.values()]
            if stale:
                found[spec.key] = stale
    return found


def summary(done: RolledBack) -> str:
    """One line about a rollback."""
    now = f"main holds {done.current[:12]} again" if done.current else "the partition is withdrawn"
    before = f"; {done.withdrawn[:12]} was withdrawn" if done.withdrawn else ""
    used = ", ".join(f"{use.model} version {use.version}" for use in done.used_by) or "no registered version"
    return f"{done.dataset}/{done.partition}: {now} (commit {done.commit[:12]}){before}; used by {used}"
