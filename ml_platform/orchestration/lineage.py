"""Columns in the UI: their schema, and which columns they come from."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_platform.datasets.quarantine import count_of, quarantine_path
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.objects import load_object
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef

if TYPE_CHECKING:
    from ml_platform.features.contract import HistoricalMean

#: Metadata that the `new_data` sensor compares with what the source offers.
FINGERPRINT = "source_fingerprint"
#: Rows on which the lineage of features is observed.
LINEAGE_ROWS = 400


def batch_metadata(workspace: Workspace, spec: DatasetSpec, refs: Mapping[str, DatasetRef]) -> dict[str, Any]:
    """Metadata of staged batches, with the fingerprint of what the source offered."""
    offered = workspace.source(spec).partitions()
    shown = dataset_metadata(workspace, spec, refs)
    return {name: {**shown[name], FINGERPRINT: offered[name]} for name in refs}


def dataset_metadata(workspace: Workspace, spec: DatasetSpec, refs: Mapping[str, DatasetRef]) -> dict[str, Any]:
    """Column schema and address of each partition."""
    columns = _schema(spec.schema_)
    return {
        name: {
            "dagster/column_schema": columns,
            "store": dg.MetadataValue.text(workspace.store.url(ref.commit, ref.path)),
            **_set_aside(workspace, ref),
        }
        for name, ref in refs.items()
    }


def _set_aside(workspace: Workspace, ref: DatasetRef) -> dict[str, Any]:
    """How many rows are in quarantine, and where; nothing where there are none."""
    count = count_of(workspace.store.stat(ref.commit, ref.path))
    if not count:
        return {}
    address = workspace.store.url(ref.commit, quarantine_path(ref.dataset, ref.partition))
    return {"quarantined_rows": count, "quarantine": dg.MetadataValue.text(address)}


def feature_metadata(
    workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, refs: Mapping[str, DatasetRef]
) -> dict[str, Any]:
    """Column schema, column lineage and address of each partition."""
    from ml_platform.features.lineage import observed_lineage

    if not refs:
        return {}
    materializer = materializer_of(workspace, spec, dataset)
    partition = max(refs)
    raw = materializer.raw(partition)
    # Over the whole partition: the rows of its first day have no past, and hardly differ in weather.
    sample = raw.gather_every(max(1, raw.height // LINEAGE_ROWS))
    found = observed_lineage(materializer.function, sample, spec.history_lag)
    source = dg.AssetKey([dataset.name, "dataset"])
    past = {history.name: history for history in materializer.function.histories}
    columns = dg.TableSchema(
        columns=[
            dg.TableColumn(name, "float32", description=_about(past.get(name), found[name], spec.history_lag))
            for name in found
        ]
    )
    lineage = dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(asset_key=source, column_name=column) for column in sorted(inputs)]
            for name, inputs in found.items()
            if inputs
        }
    )
    return {
        name: {
            "dagster/column_schema": columns,
            "dagster/column_lineage": lineage,
            "store": dg.MetadataValue.text(workspace.store.url(ref.commit, ref.path)),
        }
        for name, ref in refs.items()
    }


def _about(history: "HistoricalMean | None", inputs: set[str], lag_days: int) -> str:
    """Description of a feature: what it averages, or the columns that it comes from."""
    if history is None:
        return f"From {', '.join(sorted(inputs))}" if inputs else "The same in every row"
    days = f" over {history.window_days} days" if history.window_days else ""
    days = f" with a half-life of {history.half_life_days:g} days" if history.half_life_days else days
    return f"Past mean of {history.of} by {', '.join(history.by)}{days}, up to {lag_days} day(s) before"


@lru_cache(maxsize=16)
def _schema(path: str) -> dg.TableSchema:
    from ml_platform.validation.schema import columns

    def constraints(nullable: bool) -> dg.TableColumnConstraints:
        return dg.TableColumnConstraints(nullable=nullable)

    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.dtype),
                description=column.description + (" (known afterwards)" if column.outcome else ""),
                constraints=constraints(column.nullable),
                tags={"pii": ""} if column.pii else None,
            )
            for column in columns(load_object(path, "schema"))
        ]
    )
