"""From validated features to a trained model: split and train."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.names import some
from ml_platform.foundation.provenance import Run
from ml_platform.gates.asked import Asked
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.kinds import SPLIT, VERDICT
from ml_platform.pipeline import current_splits, expecting, published_verdicts, recorded_trainings
from ml_platform.pipeline.data import inspect_features, refused_partitions
from ml_platform.pipeline.judging import feature_gates, judged, model_gates, require, require_each
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import require_asked
from ml_platform.pipeline.rollback import require_none_again, withdrawn
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ManifestEntry, ModelRef, SplitRef
from ml_platform.sources.partitions import WHOLE
from ml_platform.training.split import Plan

if TYPE_CHECKING:
    from ml_platform.training.code import Recipe


def split(
    workspace: Workspace, context: ModelContext, features: dict[str, DatasetRef], run: Run, *, first: str = ""
) -> SplitRef:
    """Divide the accepted partitions, those from ``first`` on where it is given, into training and holdout.

    Batches and features that were judged otherwise than in the context of now are judged again before.
    Raises Refused, MissingReference or Stale where a partition of the window is not there as declared:
    the training set is never made smaller in silence.
    """
    require_asked(workspace, context.dataset.name)
    require_none_again(workspace, context.dataset)
    prefix = f"{context.feature_set.key}/"
    gates = feature_gates(workspace, context.feature_set, context.dataset)
    held = {name.removeprefix(prefix): verdicts for name, verdicts in workspace.ledger.refused(prefix, gates).items()}
    held |= refused_partitions(workspace, context.dataset)
    refused = held.keys()
    _require_every(workspace, context, {*features, *refused}, first)
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    state = materializer.partition_state()
    candidates = {partition: ref for partition, ref in sorted(features.items()) if partition not in refused}
    for ref in candidates.values():
        materializer.check_current(ref, state)
    published_verdicts.require(workspace, context.dataset, candidates, run)
    require_each(
        workspace,
        {f"{prefix}{partition}": ref.sha256 for partition, ref in candidates.items()},
        gates,
        again=lambda name: inspect_features(
            workspace, context.feature_set, context.dataset, candidates[name.removeprefix(prefix)], run
        ),
    )
    available = {partition: _entry(context, ref) for partition, ref in candidates.items()}
    known = sorted(available.keys() | refused)
    if not known:
        raise PlatformError(
            f"{context.model.name}: no features of {context.model.features} yet; materialize them first"
        )
    if not context.dataset.partitions.timed:
        return _by_group(workspace, context, available, held, run)
    last = context.dataset.partitions.window(known[-1])[1]
    expected = [partition for partition in context.dataset.partitions.keys(last) if partition >= first]
    rule = context.model.split
    expected = rule.labelled(context.dataset.partitions, expected, last)
    plan = workspace.steps.plan(rule, expected, available, refused, _reasons(held), withdrawn(held))
    return _ref(workspace, context, plan, run)


def _require_every(workspace: Workspace, context: ModelContext, there: set[str], first: str) -> None:
    """Raise MissingReference where features were judged whose reference is gone: it is a file that anybody can delete,
    and the last ones would not be missed."""
    prefix, partitions = f"{context.feature_set.key}/", context.dataset.partitions
    judged = {name.removeprefix(prefix) for name in workspace.ledger.newest(prefix)} - there
    declared = {*partitions.keys(partitions.end or workspace.now(), complete=False)}
    if lost := sorted(name for name in judged & declared if name >= first):
        raise MissingReference(
            f"{context.model.name}: features of {some(lost)} were judged and have no reference any more; materialize "
            f"{prefix}{lost[0]} again, or withdraw what they are made of"
        )


def _by_group(
    workspace: Workspace,
    context: ModelContext,
    available: dict[str, ManifestEntry],
    held: Mapping[str, list[Verdict]],
    run: Run,
) -> SplitRef:
    if WHOLE not in available:
        raise Refused(
            f"split: {context.dataset.name} is refused by the gates ({_reasons(held)[WHOLE]}); publish a corrected one"
        )
    key = context.function.key
    plan = workspace.steps.by_group(context.model.split, available[WHOLE], key, context.model.name)
    return _ref(workspace, context, plan, run)


def _reasons(held: Mapping[str, list[Verdict]]) -> dict[str, str]:
    return {
        name: ", ".join(f"{verdict.gate} {verdict.status.replace('_', ' ')}" for verdict in verdicts)
        for name, verdicts in held.items()
    }


def _ref(workspace: Workspace, context: ModelContext, plan: Plan, run: Run) -> SplitRef:
    found = SplitRef(
        run_id=run.id,
        provenance=run.provenance,
        model=context.model.name,
        dataset=context.feature_set.key,
        train=plan.train,
        holdout=plan.holdout,
        refused=plan.refused,
        between=plan.between,
    )
    # Which splits were made is for the ledger to say: one that an editor makes up has none of its refusals.
    workspace.ledger.decide(
        SPLIT,
        subject=found.sha256,
        subject_name=f"{found.model}/split",
        body={"train": len(found.train), "holdout": len(found.holdout)},
        run_id=run.id,
        provenance=run.provenance,
    )
    return found


def inspect_split(workspace: Workspace, context: ModelContext, ref: SplitRef, run: Run) -> list[Verdict]:
    """Judge a split and write the verdicts to the ledger.

    Raises PlatformError for one that was not made here: its reference is a file. An earlier release named no split in
    the ledger, and judged each.
    """
    entries = workspace.ledger.entries(subject=ref.sha256, subject_name=f"{ref.model}/split")
    if not any(one.kind in (SPLIT, VERDICT) for one in entries):
        raise PlatformError(
            f"{ref.model}/split ({ref.sha256[:12]}): the ledger names no split of these partitions and contents "
            f"(its reference was edited); materialize {ref.model}/split again"
        )
    current_splits.require(workspace, ref)
    gates = model_gates(workspace, context, "split")
    asked: Asked = {"gaps": partial(expecting.of_split, workspace, context, ref)}
    return judged(workspace, gates, ref, subject=ref.sha256, name=f"{ref.model}/split", run=run, asked=asked)


def require_split(workspace: Workspace, context: ModelContext, ref: SplitRef, run: Run) -> None:
    """Raise Refused unless it is the split of now, and every gate on it lets it pass in the context of now."""
    require(
        workspace,
        ref.sha256,
        model_gates(workspace, context, "split"),
        name=f"{ref.model}/split",
        again=lambda: inspect_split(workspace, context, ref, run),
    )
    current_splits.require(workspace, ref)


def fit(
    workspace: Workspace,
    context: ModelContext,
    manifest: SplitRef,
    run: Run,
    *,
    known: Callable[[ModelRef], bool] | None = None,
) -> ModelRef:
    """Train on the manifest's training part, or adopt the model of an equal finished training.

    Adopted is what the ledger names (:mod:`~ml_platform.pipeline.recorded_trainings`), or what is ``known`` otherwise.
    """
    require_split(workspace, context, manifest, run)
    recorded_trainings.mend(workspace, context.model.name)
    return train(workspace, context, manifest, run, known=known)


def recipes_of(workspace: Workspace, context: ModelContext) -> "list[Recipe]":
    """The recipe of now, and how earlier releases wrote the same."""
    from ml_platform.training.code import Recipe, code_versions

    model = context.model
    codes = code_versions(model.trainer, workspace.steps.trainer(model.trainer), workspace.steps.training_code)
    return [
        Recipe(model.trainer, model.task, model.target, context.names, model.parameters, code, model.classes)
        for code in codes
    ]


def train(
    workspace: Workspace,
    context: ModelContext,
    manifest: SplitRef,
    run: Run,
    *,
    known: Callable[[ModelRef], bool] | None = None,
    recipe: str = "",
    judged: ModelRef | None = None,
) -> ModelRef:
    """Train on ``manifest.train`` by the recipe of now, or adopt an equal training; whether it may is asked before.

    ``judged``: the model that this one is the refit of; both have the ``recipe``.
    """
    from ml_platform.pipeline.mlflow_training import train_and_log

    model = context.model
    recipes = recipes_of(workspace, context)
    key, *equal_keys = (one.key(manifest) for one in recipes)
    return train_and_log(
        workspace.tracking,
        manifest,
        lambda: workspace.steps.training_frames(workspace.store, manifest.train),
        context.names,
        model.target,
        model.task,
        model.parameters,
        trainer=model.trainer,
        find=workspace.steps.trainer,
        run_id=run.id,
        training_key=key,
        equal_keys=equal_keys,
        known=known or partial(recorded_trainings.known, workspace),
        note=partial(recorded_trainings.note, workspace, run=run),
        provenance=run.provenance,
        extra_tags={"dagster_run_id": run.id},
        threads=workspace.settings.threads,
        classes=model.classes,
        recipe=recipe or (recipes[0].sha256 if model.split.refit else ""),
        judged=judged,
    )


def _entry(context: ModelContext, ref: DatasetRef) -> ManifestEntry:
    partitions = context.dataset.partitions
    timed, (first, after) = partitions.timed, partitions.window(ref.partition)
    return ManifestEntry(
        partition=ref.partition,
        sha256=ref.sha256,
        commit=ref.commit,
        path=ref.path,
        rows=ref.rows,
        first=partitions.key(first) if timed else "",
        last=partitions.key(after - timedelta(hours=1) if partitions.hourly else after - timedelta(days=1))
        if timed
        else "",
        inputs=ref.inputs,
    )
