"""The assets of a model in use, ``<model>/predictions`` and ``<model>/live_performance``: their job, and the sensor
that asks for it."""

import base64
from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.live.performance import Window, judged_metrics
from ml_platform.orchestration.common import WORKSPACE, asset_options, code_version, plainly, workspace_of
from ml_platform.orchestration.dataset import spec_store
from ml_platform.orchestration.events import step_run
from ml_platform.orchestration.metadata import ref_metadata, sentences, table
from ml_platform.orchestration.publications import published_key
from ml_platform.orchestration.sensors import Tick, model_sensor
from ml_platform.pipeline import logged_predictions, performance
from ml_platform.references.refs import LiveRef

PREDICTIONS, PERFORMANCE = "predictions", "live_performance"
#: Assets that follow what a service is asked, not what it was trained on.
LIVE = (PREDICTIONS, PERFORMANCE)
#: Name of the check of live performance.
KEPT = "not_below_evaluation"
#: Tag of a run with what it was requested for.
REASON = "ml_platform/live_for"


def live_assets(context: ModelContext) -> list[Any]:
    """The assets of a model in use."""
    spec = context.model
    about = spec.description or f"Model {spec.name}"

    def options(name: str, text: str, deps: list[dg.AssetKey], *kinds: str, version: int) -> dict[str, Any]:
        return {
            "key": dg.AssetKey([spec.name, name]),
            "deps": deps,
            "description": sentences(about, text),
            "code_version": code_version(version),
            "required_resource_keys": {WORKSPACE},
            **asset_options(spec, spec.name, kinds={*kinds, spec_store()}),
        }

    said = "what its services answered, day by day, without what is personal."
    deployment = dg.AssetKey([spec.name, "deployment"])

    @dg.asset(**options(PREDICTIONS, said, [deployment], "parquet", version=logged_predictions.VERSION))
    @plainly
    def ingested(context_: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        ref = logged_predictions.ingest(workspace_of(context_), context, step_run(context_))
        return _materialized(ref, {"days": len(ref.contents)})

    said = "how good its answers were, by version, day and slice, as far as it is known what came of them."
    before = [dg.AssetKey([spec.name, PREDICTIONS]), published_key(context.outcomes.name)]

    @dg.asset(**options(PERFORMANCE, said, before, "json", version=performance.VERSION))
    @plainly
    def measured(context_: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        ref, windows = performance.update(workspace, context, step_run(context_))
        performance.write_series(workspace, context, windows)
        return _materialized(ref, _shown(context, windows))

    return [ingested, measured]


def live_check(context: ModelContext) -> Any:
    """Whether the version that answers is not worse in use than its evaluation lets expect. It holds nothing back."""
    name = context.model.name
    key = dg.AssetKey([name, PERFORMANCE])
    spec = dg.AssetCheckSpec(
        KEPT,
        asset=key,
        blocking=False,
        description="The newest window of the version that answers is not below its evaluation, by more than both "
        "intervals allow. No result where too few labels are known.",
    )

    @dg.multi_asset_check(name=f"{name}_{PERFORMANCE}_check", specs=[spec], required_resource_keys={WORKSPACE})
    @plainly
    def check(context_: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        found = performance.statement(workspace_of(context_), name)
        context_.log.info(f"{name}: {found.said}")
        if found.status == "unknown":
            # Neither a pass nor an alarm: the page shows no result.
            yield dg.Output(None, output_name=spec.get_python_identifier())
            return
        yield dg.AssetCheckResult(
            check_name=KEPT,
            passed=found.status == "kept",
            severity=dg.AssetCheckSeverity.WARN,
            description=found.said,
            metadata={"window": found.window, "version": found.version},
        )

    return check


def _materialized(ref: LiveRef, metadata: dict[str, Any]) -> dg.MaterializeResult[Any]:
    shown = {"dagster/row_count": ref.rows, "branch": ref.branch, "commit": ref.commit}
    return dg.MaterializeResult(
        value=ref, metadata={**ref_metadata(ref), **shown, **metadata}, data_version=dg.DataVersion(ref.sha256)
    )


def _shown(context: ModelContext, windows: list[Window]) -> dict[str, Any]:
    from ml_platform.documents.live import figure

    judged = judged_metrics(context.model.kind())
    rows = [
        {"window": one.window, "version": one.version, "predictions": one.predictions, "labelled": one.share}
        | {name: one.metrics[name].value if name in one.metrics else None for name in judged}
        | {"status": one.status, "said": one.said}
        for one in reversed(windows)
    ]
    newest = windows[-1]
    shown: dict[str, Any] = {"windows": table(rows), "labelled": newest.share, "said": newest.said}
    for column, groups in newest.slices.items():
        if groups:
            shown[f"by_{column}"] = table(groups)
    if plot := figure(windows, judged):
        content = base64.b64encode(plot.encode()).decode()
        shown["plot"] = dg.MetadataValue.md(f"![live performance](data:image/svg+xml;base64,{content})")
    return shown


def live_job(name: str) -> Any:
    """The job ``<model>_live``."""
    return dg.define_asset_job(
        f"{name}_live",
        selection=dg.AssetSelection.assets(*[dg.AssetKey([name, asset]) for asset in LIVE]),
        description=f"Ingest what services of {name} answered on days that are over, and measure how good that was.",
        tags={"ml_platform/model": name},
    )


def live_sensor(catalogue: Catalogue, jobs: list[Any]) -> dg.SensorDefinition:
    """What services answered is ingested once a day is over, and measured again once labels come."""
    description = "Ingests what services answered once a day is over, and measures it as labels are published."
    return model_sensor(catalogue, "live", _look, description, jobs)


def _look(tick: Tick, context: ModelContext) -> None:
    name, dataset = context.model.name, context.outcomes.name
    if tick.busy(name, f"{name}_live", "a look at its predictions"):
        return
    try:
        days = logged_predictions.days(tick.workspace, name)
    except PlatformError as error:
        tick.notes.append(f"{name}: {error}")
        return
    if not days:
        tick.notes.append(f"{name}: no day of predictions is over")
        return
    # Labels are about to change: once is enough.
    if tick.busy(dataset, f"{dataset}_ingest", "ingestion"):
        return
    reason = f"{name}/{performance.about(tick.workspace, context, days)}"
    if tick.done(REASON, reason):
        tick.notes.append(f"{name}: its {len(days)} days of predictions are measured by all labels that are published")
        return
    tick.ask(name, f"{name}_live", (REASON, reason), "predictions or their labels changed", "attempts to measure them")
