"""What is published, as two assets that Dagster compares versions of: so that what depends on a batch that was
corrected or withdrawn is shown as stale, however far it is downstream.

``<dataset>/history`` has a version for each partition: of the content up to and including it. Features of a partition
depend on all of that, and a dependency on every earlier partition of ``<dataset>/dataset`` instead would let one
refused month hold back the automation of every later one. ``<dataset>/published`` is the whole, on which the assets of
a model depend: Dagster compares no versions through all partitions of a time window. Nobody materializes either; both
are observed by whoever publishes or withdraws.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.orchestration.common import WORKSPACE, plainly, workspace_of
from ml_platform.orchestration.dagster_internals import (
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
)
from ml_platform.orchestration.events import input_tags
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace


def history_key(dataset: str) -> dg.AssetKey:
    """Asset of what is published up to and including each partition."""
    return dg.AssetKey([dataset, "history"])


def published_key(dataset: str) -> dg.AssetKey:
    """Asset of all that is published."""
    return dg.AssetKey([dataset, "published"])


def content_version(content: Mapping[str, str]) -> str:
    """Version of published content, given as sha256 by ``<dataset>/<partition>``."""
    return sha256_bytes(canonical_json(dict(sorted(content.items()))))


def publication_definitions(spec: DatasetSpec, partitions: dg.PartitionsDefinition) -> list[Any]:
    """The two assets of a dataset, for the lineage."""
    dataset = dg.AssetKey([spec.name, "dataset"])
    shared: dict[str, Any] = {"group_name": spec.name, "owners": list(spec.owners), "tags": spec.tags}
    history = dg.AssetSpec(
        history_key(spec.name),
        deps=[dataset],
        partitions_def=partitions,
        description="Which batches are published up to and including a partition: features of it depend on all of "
        "them. Observed with each publication and rollback.",
        **shared,
    )
    whole = dg.AssetSpec(
        published_key(spec.name),
        deps=[dataset],
        description="Which batches are published: models depend on all of them. Observed with each publication and "
        "rollback, or by hand.",
        **shared,
    )

    # Dagster looks for observations of an unpartitioned asset only where it can be observed by a step.
    @dg.multi_observable_source_asset(name="__".join(whole.key.path), specs=[whole], required_resource_keys={WORKSPACE})
    @plainly
    def published(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        content = contents(workspace_of(context), spec)
        yield dg.ObserveResult(
            whole.key, data_version=dg.DataVersion(content_version(content)), metadata={"partitions": len(content)}
        )

    return [history, published]


def contents(workspace: Workspace, spec: DatasetSpec) -> dict[str, str]:
    """What is published now: sha256 by ``<dataset>/<partition>``, in order."""
    found = published_batches(workspace, spec.name)
    return {f"{spec.name}/{partition}": info.sha256 for partition, info in sorted(found.items())}


def observed(
    workspace: Workspace, spec: DatasetSpec, since: str
) -> Iterator[dg.AssetObservation | dg.AssetMaterialization]:
    """What is published now, for every published partition from ``since`` on and as a whole."""
    content: dict[str, str] = {}
    for name, sha256 in contents(workspace, spec).items():
        content[name] = sha256
        partition = name.rpartition("/")[2]
        if partition >= since:
            event: dict[str, Any] = {"asset_key": history_key(spec.name), "partition": partition, **_shown(content)}
            # Dagster shows partitions as there by the one, and compares versions by the other.
            yield dg.AssetMaterialization(**event)
            yield dg.AssetObservation(**event)
    yield dg.AssetObservation(asset_key=published_key(spec.name), **_shown(content))


def _shown(content: Mapping[str, str]) -> dict[str, Any]:
    tags = {DATA_VERSION_TAG: content_version(content), DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    return {"metadata": {"partitions": len(content)}, "tags": tags}


def history_tags(
    instance: dg.DagsterInstance, dataset: str, partition: str, content: Mapping[str, str]
) -> dict[str, str]:
    """Tags of features that were built from ``content``: its version, and the observation that had it."""
    key, version = history_key(dataset), content_version(content)
    records = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=20
    ).records
    return input_tags(key, version, records)


def inherited_tags(instance: dg.DagsterInstance, dataset: str, parent: dg.AssetKey) -> dict[str, str]:
    """The tag that says what was published when ``parent`` was made: what is made from it is no younger."""
    event = instance.get_latest_materialization_event(parent)
    made = event.asset_materialization if event is not None else None
    tag = get_input_data_version_tag(published_key(dataset))
    found = ((made.tags if made is not None else None) or {}).get(tag)
    return {tag: found} if found is not None else {}
