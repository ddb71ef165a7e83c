"""What every dataset and model shares: resources, executor, jobs over several assets, sensors."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ml_platform.declarations import Catalogue, DatasetSpec, FeatureSpec
from ml_platform.orchestration.common import REFERENCES, WORKSPACE, WorkspaceResource, partitions_of
from ml_platform.orchestration.model import train_job
from ml_platform.orchestration.references import ReferenceIOManager
from ml_platform.orchestration.sensors import drift_sensor, new_data_sensor

#: The job over every asset: launched with a range of partitions it is one run.
WHOLE_LOOP = "whole_loop"


def ingest_job(spec: DatasetSpec, features: Sequence[FeatureSpec]) -> Any:
    """The job ``<dataset>_ingest``: batch, dataset and features of some partitions, with every check."""
    keys = [dg.AssetKey([spec.name, name]) for name in ("batch", "dataset", *(item.name for item in features))]
    return dg.define_asset_job(
        f"{spec.name}_ingest",
        selection=dg.AssetSelection.assets(*keys),
        partitions_def=partitions_of(spec),
        description=f"Stage, judge and publish batches of {spec.name}, and build their features.",
        tags={"ml_platform/dataset": spec.name},
    )


def platform_definitions(catalogue: Catalogue) -> dg.Definitions:
    """Resources, executor, sensors, and the job over everything that is declared."""
    ingest = [
        ingest_job(spec, [item for item in catalogue.features.values() if item.dataset == spec.name])
        for spec in catalogue.datasets.values()
    ]
    train = [train_job(name) for name in catalogue.models]
    owned = [*catalogue.datasets, *catalogue.models]
    whole = dg.define_asset_job(
        WHOLE_LOOP,
        selection=dg.AssetSelection.key_prefixes(*owned) if owned else dg.AssetSelection.all(),
        description="Everything from batch to deployment. Launch it with a range of partitions: one run.",
    )
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.key_prefixes(*catalogue.datasets) if catalogue.datasets else dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
    return dg.Definitions(
        resources={WORKSPACE: WorkspaceResource(), REFERENCES: ReferenceIOManager()},
        # Steps of a run share one process: imports of the ML libraries cost more than most steps do.
        executor=dg.in_process_executor,
        jobs=[*ingest, *train, *([whole] if owned else [])],
        sensors=[new_data_sensor(catalogue, [*ingest, *train]), drift_sensor(catalogue, train), automation]
        if owned
        else [],
    )
