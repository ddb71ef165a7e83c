"""Assets of a dataset and of its features: batch → dataset → features, each with its checks."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.features import code as feature_code
from ml_platform.foundation.errors import Refused
from ml_platform.orchestration.common import (
    WORKSPACE,
    asset_options,
    code_version,
    gate_check,
    partitions_of,
    plainly,
    workspace_of,
)
from ml_platform.orchestration.events import evaluated, materialized, step_run
from ml_platform.orchestration.lineage import batch_metadata, dataset_metadata, feature_metadata
from ml_platform.orchestration.metadata import sentences
from ml_platform.orchestration.publications import history_key, history_tags, observed, publication_definitions
from ml_platform.orchestration.refusals import tag_refused_partitions
from ml_platform.pipeline import data
from ml_platform.references.refs import DatasetRef


def follow_when_checks_pass(name: str) -> dg.AutomationCondition[dg.AssetKey]:
    """Dataset and features follow their batch as soon as its blocking checks have passed.

    Without the limit to the latest time window: a corrected batch of an old month is as good a reason. A new history
    is none: the sensor `new_data` builds the features of later months anew, in order.
    """
    return (
        dg.AutomationCondition.eager()
        .without(dg.AutomationCondition.in_latest_time_window())
        .ignore(dg.AssetSelection.assets(history_key(name)))
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
    )


def dataset_definitions(spec: DatasetSpec) -> dg.Definitions:
    """Batch and published dataset, with the gates between them."""
    partitions = partitions_of(spec)
    batch_key, dataset_key = dg.AssetKey([spec.name, "batch"]), dg.AssetKey([spec.name, "dataset"])
    shared = asset_options(spec, spec.name, kinds={"parquet", spec_store()})
    shared |= {"partitions_def": partitions, "required_resource_keys": {WORKSPACE}}
    about = spec.description or f"Dataset {spec.name}"

    @dg.asset(
        key=batch_key,
        description=sentences(about, "one batch as it came, staged on a branch of its own and not yet published."),
        code_version=code_version(
            spec.source if isinstance(spec.source, str) else spec.source.model_dump(),
            *([] if spec.quarantine is None else [spec.quarantine.model_dump(), spec.schema_]),
        ),
        **shared,
    )
    @plainly
    def batch(context: dg.AssetExecutionContext) -> Iterator[Any]:
        workspace, run = workspace_of(context), step_run(context)
        refs = {name: data.ingest(workspace, spec, name, run) for name in context.partition_keys}
        for ref in refs.values():
            if said := data.reordered(workspace, spec, ref):
                context.log.warning(said)
        yield from materialized(context, refs, metadata=batch_metadata(workspace, spec, refs))

    def judge_batches(context: Any, subject: dict[str, DatasetRef]) -> Iterator[Any]:
        workspace, run = workspace_of(context), step_run(context)
        verdicts = {name: data.audit(workspace, spec, ref, run) for name, ref in sorted(subject.items())}
        tag_refused_partitions(context, batch_key, verdicts)
        yield from evaluated(context, batch_key, spec.gates_of("batch"), verdicts)

    @dg.asset(
        key=dataset_key,
        ins={"batch": dg.AssetIn(batch_key)},
        description=sentences(about, "batches that passed every gate, merged into main."),
        code_version=code_version(spec.schema_, [gate.declaration for gate in spec.gates_of("batch")]),
        automation_condition=follow_when_checks_pass(spec.name),
        **shared,
    )
    @plainly
    def dataset(context: dg.AssetExecutionContext, batch: dict[str, DatasetRef]) -> Iterator[Any]:
        workspace, run = workspace_of(context), step_run(context)
        refs, refusals = {}, []
        for name, ref in sorted(batch.items()):
            try:
                refs[name] = data.publish(workspace, spec, ref, run)
            except Refused as refusal:
                context.log.error(str(refusal))
                refusals.append(str(refusal))
        if refusals and not refs:
            raise Refused("; ".join(refusals))
        yield from observed(workspace, spec, min(refs))
        yield from materialized(
            context, refs, upstream=batch, parent=batch_key, metadata=dataset_metadata(workspace, spec, refs)
        )

    checks = gate_check(spec.gates_of("batch"), batch_key, judge_batches, partitions=partitions)
    return dg.Definitions(
        assets=list[Any]([batch, dataset, *publication_definitions(spec, partitions)]), asset_checks=checks
    )


def feature_definitions(spec: FeatureSpec, dataset: DatasetSpec) -> dg.Definitions:
    """Features of a dataset, with their gates."""
    partitions = partitions_of(dataset)
    key, dataset_key = dg.AssetKey([spec.dataset, spec.name]), dg.AssetKey([spec.dataset, "dataset"])
    shared = asset_options(spec, spec.dataset, kinds={"parquet", "polars", spec_store()})

    @dg.asset(
        key=key,
        ins={"dataset_refs": dg.AssetIn(dataset_key)},
        deps=[history_key(dataset.name)],
        description=sentences(
            spec.description or f"Features of {spec.dataset}",
            f"outcomes are known to them {spec.history_lag} day(s) later"
            + (", those of their own partition never." if spec.refresh == "partition" else "."),
        ),
        code_version=code_version(spec.function, feature_code.VERSION, *spec.age),
        automation_condition=follow_when_checks_pass(dataset.name),
        partitions_def=partitions,
        required_resource_keys={WORKSPACE},
        **shared,
    )
    @plainly
    def features(context: dg.AssetExecutionContext, dataset_refs: dict[str, DatasetRef]) -> Iterator[Any]:
        workspace, run = workspace_of(context), step_run(context)
        refs = data.featurize(workspace, spec, dataset, wanted(context, dataset_refs), run)
        yield from materialized(
            context,
            refs,
            upstream=dataset_refs,
            parent=dataset_key,
            tags={name: history_tags(context.instance, dataset.name, name, ref.inputs) for name, ref in refs.items()},
            metadata=feature_metadata(workspace, spec, dataset, refs),
        )

    def wanted(context: dg.AssetExecutionContext, refs: dict[str, DatasetRef]) -> dict[str, DatasetRef]:
        refused = data.refused_partitions(workspace_of(context), dataset)
        for name in context.partition_keys:
            if name not in refs and name not in refused:
                raise data.not_published(dataset, name)
        # A withdrawal tells whatever follows by itself, which then has nothing to make of it.
        withdrawn = data.withdrawn_partitions(workspace_of(context), dataset)
        if not refs and not withdrawn.issuperset(context.partition_keys):
            raise Refused(f"{spec.key}: every partition of this run was refused ({', '.join(sorted(refused))})")
        return refs

    def judge_features(context: Any, subject: dict[str, DatasetRef]) -> Iterator[Any]:
        workspace, run = workspace_of(context), step_run(context)
        withdrawn = data.withdrawn_partitions(workspace, dataset)
        verdicts = {
            name: data.inspect_features(workspace, spec, dataset, ref, run)
            for name, ref in sorted(subject.items())
            if name not in withdrawn
        }
        tag_refused_partitions(context, key, verdicts)
        yield from evaluated(context, key, spec.gates_of("features"), verdicts)

    checks = gate_check(spec.gates_of("features"), key, judge_features, partitions=partitions)
    return dg.Definitions(assets=list[Any]([features]), asset_checks=checks)


def spec_store() -> str:
    """Kind shown on assets that live in the dataset store."""
    from ml_platform.datasets.factory import kind_of_store
    from ml_platform.foundation.settings import get_settings

    kind = kind_of_store(get_settings())
    return "git" if kind == "embedded" else kind
