"""What every dataset and model shares: resources, executor, jobs over several assets, sensors."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.settings import get_settings
from ml_platform.orchestration.alerts import alert_sensor
from ml_platform.orchestration.automation import hand_jobs
from ml_platform.orchestration.common import REFERENCES, WORKSPACE, WorkspaceResource, partitions_of
from ml_platform.orchestration.data_jobs import data_jobs
from ml_platform.orchestration.estimated import ESTIMATED, estimate_job
from ml_platform.orchestration.histories import history_sensor, refresh_jobs
from ml_platform.orchestration.live import LIVE, live_job, live_sensor
from ml_platform.orchestration.mlflow_run import MLFLOW, mlflow_run
from ml_platform.orchestration.model import DRIFT, drift_job, train_job
from ml_platform.orchestration.reference_io import ReferenceIOManager
from ml_platform.orchestration.runs import WHOLE_LOOP
from ml_platform.orchestration.scores import SCORES, scores_job
from ml_platform.orchestration.sensors import drift_sensor, new_data_sensor


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


def whole_loops(catalogue: Catalogue) -> dict[str, Catalogue]:
    """Jobs over everything, and what they cover.

    One, where all datasets have the same partitions; else one for each kind of partitions, since a run of
    Dagster has only one.
    """
    kinds: dict[str, list[str]] = {}
    for spec in catalogue.datasets.values():
        kinds.setdefault(spec.partitions.model_dump_json(), []).append(spec.name)
    parts = {}
    for names in kinds.values():
        features = [item for item in catalogue.features.values() if item.dataset in names]
        keys = {item.key for item in features}
        models = [item for item in catalogue.models.values() if item.features in keys]
        job = WHOLE_LOOP if len(kinds) == 1 else f"{WHOLE_LOOP}_{names[0]}"
        parts[job] = Catalogue.of([*(catalogue.datasets[name] for name in names), *features, *models])
    return parts


def platform_definitions(catalogue: Catalogue) -> dg.Definitions:
    """Resources, executor, sensors, and the job over everything that is declared."""
    ingest = [
        ingest_job(spec, [item for item in catalogue.features.values() if item.dataset == spec.name])
        for spec in catalogue.datasets.values()
    ]
    train = [train_job(spec) for spec in catalogue.models.values()]
    live = [live_job(name) for name in catalogue.models]
    refresh = refresh_jobs(catalogue)
    owned = [*catalogue.datasets, *catalogue.models]
    whole = [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.key_prefixes(*part.datasets, *part.models)
            - dg.AssetSelection.assets(
                *[dg.AssetKey([model, name]) for model in part.models for name in (DRIFT, SCORES, ESTIMATED, *LIVE)]
            ),
            description="Everything from batch to deployment. Launch it with a range of partitions: one run.",
        )
        for name, part in whole_loops(catalogue).items()
    ]
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.key_prefixes(*catalogue.datasets) if catalogue.datasets else dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=get_settings().sensor_seconds,
    )
    return dg.Definitions(
        resources={WORKSPACE: WorkspaceResource(), REFERENCES: ReferenceIOManager(), MLFLOW: mlflow_run},
        # Steps of a run share one process: imports of the ML libraries cost more than most steps do.
        executor=dg.in_process_executor,
        jobs=[
            *ingest,
            *train,
            *whole,
            *map(drift_job, catalogue.models),
            *map(estimate_job, catalogue.models),
            *(scores_job(ModelContext.of(catalogue, name)) for name in catalogue.models),
            *live,
            *refresh,
            *data_jobs(catalogue),
            *hand_jobs(catalogue),
        ],
        sensors=[
            new_data_sensor(catalogue, [*ingest, *train]),
            drift_sensor(catalogue),
            alert_sensor(catalogue),
            *([live_sensor(catalogue, live)] if live else []),
            *([history_sensor(catalogue, refresh)] if refresh else []),
            automation,
        ]
        if owned
        else [],
    )
