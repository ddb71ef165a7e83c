"""From validated features to a trained model: split and train."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.features.materialize import Materializer
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict, judge
from ml_platform.pipeline.data import refused_partitions
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ManifestEntry, ModelRef, SplitRef

if TYPE_CHECKING:
    import polars as pl


def split(
    workspace: Workspace, context: ModelContext, features: dict[str, DatasetRef], run: Run, *, first: str = ""
) -> SplitRef:
    """Divide the accepted partitions, those from ``first`` on where it is given, into training and holdout.

    Raises Refused, MissingReference or Stale where a partition of the window is not there as declared:
    the training set is never made smaller in silence.
    """
    from ml_platform.training.split import plan

    prefix = f"{context.feature_set.key}/"
    held = {name.removeprefix(prefix): verdicts for name, verdicts in workspace.ledger.refused(prefix).items()}
    held |= refused_partitions(workspace, context.dataset)
    refused = held.keys()
    materializer = Materializer.of(workspace, context.feature_set, context.dataset)
    standing = materializer.standing()
    candidates = {partition: ref for partition, ref in sorted(features.items()) if partition not in refused}
    for ref in candidates.values():
        materializer.check_current(ref, standing)
    workspace.ledger.require_each(
        {f"{prefix}{partition}": ref.sha256 for partition, ref in candidates.items()},
        context.feature_set.gates_of("features"),
    )
    available = {partition: _entry(context, ref) for partition, ref in candidates.items()}
    known = sorted(available.keys() | refused)
    if not known:
        raise PlatformError(
            f"{context.model.name}: no features of {context.model.features} yet; materialize them first"
        )
    last = context.dataset.partitions.window(known[-1])[1]
    expected = [partition for partition in context.dataset.partitions.keys(last) if partition >= first]
    why = {
        name: ", ".join(f"{verdict.gate} {verdict.status.replace('_', ' ')}" for verdict in verdicts)
        for name, verdicts in held.items()
    }
    train, holdout, left_out = plan(context.model.split, expected, available, refused, why)
    return SplitRef(
        run_id=run.id,
        provenance=run.provenance,
        model=context.model.name,
        dataset=context.feature_set.key,
        train=train,
        holdout=holdout,
        refused=left_out,
    )


def inspect_split(workspace: Workspace, context: ModelContext, ref: SplitRef, run: Run) -> list[Verdict]:
    """Judge a split and write the verdicts to the ledger."""
    verdicts = judge(context.model.gates_of("split"), ref, subject=ref.sha256, subject_name=f"{ref.model}/split")
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return workspace.ledger.with_overrides(verdicts)


def frames(workspace: Workspace, entries: tuple[ManifestEntry, ...]) -> "Iterator[pl.DataFrame]":
    """The feature frames of manifest entries, in order, each verified against its hash."""
    for entry in entries:
        yield batches.read_at(workspace.store, entry.commit, entry.path, entry.sha256)


def fit(workspace: Workspace, context: ModelContext, manifest: SplitRef, run: Run) -> ModelRef:
    """Train on the manifest's training part, or adopt the model of an equal finished training."""
    from ml_platform.pipeline.training import train_and_log
    from ml_platform.training.code import code_versions, training_key
    from ml_platform.training.trainer import trainer_of

    workspace.ledger.require(manifest.sha256, context.model.gates_of("split"), subject_name=f"{manifest.model}/split")
    model = context.model
    key, *equal_keys = (
        training_key(
            *(manifest, model.trainer, model.task, model.target, context.names, model.parameters, code, model.classes)
        )
        for code in code_versions(trainer_of(model.trainer))
    )
    return train_and_log(
        workspace.tracking,
        manifest,
        lambda: frames(workspace, manifest.train),
        context.names,
        model.target,
        model.task,
        model.parameters,
        trainer=model.trainer,
        run_id=run.id,
        training_key=key,
        equal_keys=equal_keys,
        provenance=run.provenance,
        extra_tags={"dagster_run_id": run.id},
        threads=workspace.settings.threads,
        classes=model.classes,
    )


def _entry(context: ModelContext, ref: DatasetRef) -> ManifestEntry:
    first, after = context.dataset.partitions.window(ref.partition)
    return ManifestEntry(
        partition=ref.partition,
        sha256=ref.sha256,
        commit=ref.commit,
        path=ref.path,
        rows=ref.rows,
        first=first.isoformat(),
        last=(after - timedelta(days=1)).isoformat(),
        inputs=ref.inputs,
    )
