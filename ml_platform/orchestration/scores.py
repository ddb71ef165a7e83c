"""The asset ``<model>/scores``: what the version that answers predicts for whole partitions, and its check."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.orchestration.common import (
    WORKSPACE,
    asset_options,
    code_version,
    partitions_of,
    plainly,
    workspace_of,
)
from ml_platform.orchestration.dataset import spec_store
from ml_platform.orchestration.events import materialized, step_run
from ml_platform.orchestration.metadata import sentences
from ml_platform.pipeline import scores
from ml_platform.references.refs import DatasetRef

SCORES = "scores"


def scores_asset(context: ModelContext) -> Any:
    """Scores of the partitions of a run; one that is refused holds no other back."""
    spec = context.model
    feature_key = dg.AssetKey(context.feature_set.key.split("/"))
    deployment = dg.AssetKey([spec.name, "deployment"])

    @dg.asset(
        key=dg.AssetKey([spec.name, SCORES]),
        ins={"features": dg.AssetIn(feature_key)},
        deps=[deployment],
        description=sentences(
            spec.description or f"Model {spec.name}",
            "predictions for whole partitions by the version that answers; refused where they are distributed "
            "otherwise than on every partition of the holdout.",
        ),
        code_version=code_version(scores.VERSION),
        partitions_def=partitions_of(context.dataset),
        required_resource_keys={WORKSPACE},
        **asset_options(spec, spec.name, kinds={"parquet", spec_store()}),
    )
    @plainly
    def scored(context_: dg.AssetExecutionContext, features: dict[str, DatasetRef]) -> Iterator[Any]:
        workspace, run = workspace_of(context_), step_run(context_)
        refs: dict[str, DatasetRef] = {}
        refusals = [
            f"{context.feature_set.key} of {name} is not there; materialize it first"
            for name in context_.partition_keys
            if name not in features
        ]
        for name, ref in sorted(features.items()):
            try:
                refs[name] = scores.score(workspace, context, ref, run)
            except Refused as refusal:
                refusals.append(str(refusal))
        for said in refusals:
            context_.log.error(said)
        if not refs:
            raise Refused("; ".join(refusals))
        shown = {
            name: {
                "store": dg.MetadataValue.text(workspace.store.url(ref.commit, ref.path)),
                **{verdict.gate: verdict.reason for verdict in scores.verdicts_on(workspace, ref)},
            }
            for name, ref in refs.items()
        }
        yield from materialized(context_, refs, upstream=features, parent=feature_key, metadata=shown)

    return scored


def scores_job(context: ModelContext) -> Any:
    """The job ``<model>_scores``, launched with a partition or a range of them."""
    name = context.model.name
    return dg.define_asset_job(
        f"{name}_scores",
        selection=dg.AssetSelection.assets(dg.AssetKey([name, SCORES])),
        description=f"Score partitions by the version of {name} that answers.",
        tags={"ml_platform/model": name},
    )
