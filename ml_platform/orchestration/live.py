"""The assets of a model in use, ``<model>/predictions``, ``live_performance`` and ``live_drift``: their job, and the
sensor that asks for it."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import report_url
from ml_platform.foundation.errors import PlatformError
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.performance import Window, judged_metrics
from ml_platform.live.traffic import TrafficWindow, share
from ml_platform.orchestration.common import WORKSPACE, asset_options, code_version, plainly, workspace_of
from ml_platform.orchestration.dataset import spec_store
from ml_platform.orchestration.events import step_run
from ml_platform.orchestration.metadata import ref_metadata, sentences, table
from ml_platform.orchestration.publications import published_key
from ml_platform.orchestration.sensors import Tick, model_sensor
from ml_platform.pipeline import live_drift, logged_predictions, performance
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import LiveRef

PREDICTIONS, PERFORMANCE, DRIFT = "predictions", "live_performance", "live_drift"
#: Assets that follow what a service is asked, not what it was trained on.
LIVE = (PREDICTIONS, PERFORMANCE, DRIFT)
#: Names of the checks of live performance and of what was asked.
KEPT, SAME = "not_below_evaluation", "as_trained"
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

    said = "how far what it was asked and answered moved from what it learned from; no label is needed."

    @dg.asset(**options(DRIFT, said, before[:1], "json", version=live_drift.VERSION))
    @plainly
    def compared(context_: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        ref, windows = live_drift.update(workspace, context, step_run(context_))
        live_drift.write_series(workspace, context, windows)
        return _materialized(ref, _traffic(workspace, context, windows))

    return [ingested, measured, compared]


def live_checks(context: ModelContext) -> list[Any]:
    """Whether the version that answers is not worse in use than its evaluation lets expect, and is asked what it
    learned. They hold nothing back."""
    name = context.model.name
    text = (
        "The newest window of the version that answers is not below its evaluation, by more than both intervals allow. "
        "No result where too few labels are known."
    )
    kept = _check(name, PERFORMANCE, KEPT, text, performance.statement, "kept")
    text = (
        "Inputs and outputs of the newest windows that are over are distributed as the version that answers learned "
        "them and was evaluated, by the model's `drift`. No result where too little was asked."
    )
    return [kept, _check(name, DRIFT, SAME, text, live_drift.statement, "same")]


def _check(
    name: str, asset: str, check_name: str, text: str, statement: Callable[[Workspace, str], Any], good: str
) -> Any:
    spec = dg.AssetCheckSpec(check_name, asset=dg.AssetKey([name, asset]), blocking=False, description=text)

    @dg.multi_asset_check(name=f"{name}_{asset}_check", specs=[spec], required_resource_keys={WORKSPACE})
    @plainly
    def check(context_: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        found = statement(workspace_of(context_), name)
        context_.log.info(f"{name}: {found.said}")
        if found.status == "unknown":
            # Neither a pass nor an alarm: the page shows no result.
            yield dg.Output(None, output_name=spec.get_python_identifier())
            return
        yield dg.AssetCheckResult(
            check_name=check_name,
            passed=found.status == good,
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
    return shown | _plot("live performance", figure(windows, judged))


def _traffic(workspace: Workspace, context: ModelContext, windows: list[TrafficWindow]) -> dict[str, Any]:
    from ml_platform.documents.traffic import figure

    rule = context.model.drift or DriftRule()
    rows = [
        {
            "window": one.window,
            "version": one.version,
            "rows": one.rows,
            "drifted_inputs": share(one, rule) if one.inputs else None,
            "outputs_psi": one.outputs,
            "said": one.why,
        }
        for one in reversed(windows)
    ]
    shown: dict[str, Any] = {"windows": table(rows), "said": live_drift.statement(workspace, context.model.name).said}
    compared = [one for one in windows if one.inputs]
    if compared:
        shown["inputs"] = table([{"input": name, "psi": psi} for name, psi in compared[-1].inputs.items()])
    if (path := live_drift.write_report(workspace, context, windows)) is not None:
        shown["report"] = dg.MetadataValue.url(report_url(workspace.settings, path))
    return shown | _plot("live drift", figure(windows, rule))


def _plot(name: str, svg: str) -> dict[str, Any]:
    if not svg:
        return {}
    content = base64.b64encode(svg.encode()).decode()
    return {"plot": dg.MetadataValue.md(f"![{name}](data:image/svg+xml;base64,{content})")}


def live_job(name: str) -> Any:
    """The job ``<model>_live``."""
    return dg.define_asset_job(
        f"{name}_live",
        selection=dg.AssetSelection.assets(*[dg.AssetKey([name, asset]) for asset in LIVE]),
        description=f"Ingest what services of {name} answered on days that are over, measure how good it was, and how "
        "far what was asked moved from what it learned.",
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
