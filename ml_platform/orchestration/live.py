"""The assets of a model in use, ``<model>/predictions``: their job, and the sensor that asks for it."""

from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.orchestration.common import WORKSPACE, asset_options, code_version, plainly, workspace_of
from ml_platform.orchestration.dataset import spec_store
from ml_platform.orchestration.events import step_run
from ml_platform.orchestration.metadata import ref_metadata, sentences
from ml_platform.orchestration.sensors import Tick
from ml_platform.pipeline import predictions
from ml_platform.references.refs import LiveRef

PREDICTIONS = "predictions"
#: Assets that follow what a service is asked, not what it was trained on.
LIVE = (PREDICTIONS,)
#: Tag of a run with what it was requested for.
REASON = "ml_platform/live_for"


def live_assets(context: ModelContext) -> list[Any]:
    """The assets of a model in use."""
    spec = context.model

    @dg.asset(
        key=dg.AssetKey([spec.name, PREDICTIONS]),
        deps=[dg.AssetKey([spec.name, "deployment"])],
        description=sentences(
            spec.description or f"Model {spec.name}",
            "what its services answered, day by day, without what is personal.",
        ),
        code_version=code_version(predictions.VERSION),
        required_resource_keys={WORKSPACE},
        **asset_options(spec, spec.name, kinds={"parquet", spec_store()}),
    )
    @plainly
    def ingested(context_: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        ref = predictions.ingest(workspace_of(context_), context, step_run(context_))
        return _materialized(ref, {"days": len(ref.contents)})

    return [ingested]


def _materialized(ref: LiveRef, metadata: dict[str, Any]) -> dg.MaterializeResult[Any]:
    shown = {"dagster/row_count": ref.rows, "branch": ref.branch, "commit": ref.commit}
    return dg.MaterializeResult(
        value=ref, metadata={**ref_metadata(ref), **shown, **metadata}, data_version=dg.DataVersion(ref.sha256)
    )


def live_job(name: str) -> Any:
    """The job ``<model>_live``."""
    return dg.define_asset_job(
        f"{name}_live",
        selection=dg.AssetSelection.assets(*[dg.AssetKey([name, asset]) for asset in LIVE]),
        description=f"Ingest what services of {name} answered on days that are over.",
        tags={"ml_platform/model": name},
    )


def live_sensor(catalogue: Catalogue, jobs: list[Any]) -> dg.SensorDefinition:
    """What services answered is ingested once a day is over."""

    @dg.sensor(
        name="live",
        jobs=jobs,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ingests what services answered, once a day is over.",
    )
    def live(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = Tick(context, catalogue)
        for name in catalogue.models:
            if not tick.paused(name):
                _look(tick, ModelContext.of(catalogue, name))
        return tick.result()

    return live


def _look(tick: Tick, context: ModelContext) -> None:
    name = context.model.name
    if tick.busy(name, f"{name}_live", "ingestion of predictions"):
        return
    try:
        days = predictions.pending(tick.workspace, name)
    except PlatformError as error:
        tick.notes.append(f"{name}: {error}")
        return
    if not days:
        tick.notes.append(f"{name}: every day of predictions that is over is ingested")
        return
    reason = f"{name}/{predictions.fingerprint(days)}"
    tick.ask(name, f"{name}_live", (REASON, reason), f"predictions of {', '.join(days)}", "attempts to ingest them")
