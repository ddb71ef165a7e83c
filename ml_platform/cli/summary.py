"""The table at the end of ``ml-platform run``: data, metrics, verdicts, versions, services, predictions."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml_platform.cli import screen
from ml_platform.cli.outcomes import warns
from ml_platform.cli.output import written
from ml_platform.cli.services import ask, live_url, rows_of
from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.gates.stages import OF_MODEL, ROLLBACK, Stage
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.recorded_evaluations import kept
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ReportRef


def show_summary(
    console: Console,
    workspace: Workspace,
    catalogue: Catalogue,
    before: Any,
    after: Any,
    success: bool,
    json: Path | None,
) -> int:
    """Print everything that counts now; 0 where the run succeeded and everything could be read."""
    parts = Parts()
    found: dict[str, Any] = {
        "success": success,
        "datasets": {},
        "models": {},
        "new": {},
        "unreadable": parts.unreadable,
    }
    for spec in catalogue.datasets.values():
        look = partial(_dataset, console, workspace, catalogue, spec, parts)
        found["datasets"][spec.name] = parts.read(f"dataset {spec.name}", look, [])
    for name in catalogue.models:
        found["models"][name] = _model(console, workspace, ModelContext.of(catalogue, name), parts)
    for note in dict.fromkeys(parts.notes):
        console.print(note, soft_wrap=True, markup=False, highlight=False)
    found["new"] = {name: getattr(after, name) - getattr(before, name) for name in ("commits", "versions", "ledger")}
    new = found["new"]
    text = f"{new['commits']} commits, {new['versions']} versions, {new['ledger']} ledger entries"
    console.print(f"nothing new: {text}" if not any(new.values()) else f"new: {text}")
    written(json, found)
    return 0 if success and not parts.unreadable else 1


def _dataset(
    console: Console, workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec, parts: Parts
) -> list[Any]:
    gates = spec.gates_of("batch")
    features = [item for item in catalogue.features.values() if item.dataset == spec.name]
    table = screen.table(
        "partition", "rows", "content", "commit", "batch gates", "feature gates", title=f"dataset {spec.name}"
    )
    shown: list[Any] = []
    for partition, (branch, info) in sorted(batches.newest(workspace.store, spec.name).items()):
        name = f"{spec.prefix}{partition}"
        judged = partial(workspace.ledger.judgement, name, info.sha256)
        verdicts: dict[str, Verdict] | None = parts.read(f"verdicts on {name}", judged, None)
        text = "?" if verdicts is None else _verdicts(gates, verdicts)
        feature_text = [
            parts.read(f"{item.key} {partition}", partial(_of_features, workspace, item, partition), "?")
            for item in features
        ]
        commit = _commit(workspace, spec, partition, info.sha256) if branch == MAIN else "refused"
        commit = "withdrawn" if _taken_out(verdicts) and branch != MAIN else commit
        rows = info.metadata["rows"]
        table.add_row(partition, f"{int(rows):,}", info.sha256[:12], commit[:12], text, ", ".join(feature_text))
        shown.append(
            {
                "partition": partition,
                "rows": int(rows),
                "sha256": info.sha256,
                "commit": commit,
                "gates": _plain(verdicts or {}),
            }
        )
    console.print(table)
    return shown


def _of_features(workspace: Workspace, spec: FeatureSpec, partition: str) -> str:
    """What the gates said of the features of a partition; a dash where there are none."""
    try:
        ref = workspace.references.load(spec.key, partition)
    except MissingReference:
        return "-"
    return _verdicts(spec.gates_of("features"), workspace.ledger.judgement(f"{spec.key}/{partition}", ref.sha256))


def _commit(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str) -> str:
    return workspace.store.resolve(batches.batch_tag(spec.name, partition, sha256))


def _model(console: Console, workspace: Workspace, context: ModelContext, parts: Parts) -> dict[str, Any]:
    name = context.model.name
    shown: dict[str, Any] = {"gates": {}}
    table = screen.table("what", "value", title=f"model {name}")
    for stage in OF_MODEL:
        # A refit and a comparison of copies are there where they are declared.
        if stage not in ("refit", "shadow") or context.model.gates_of(stage):
            parts.read(f"{name}/{stage}", partial(_stage, workspace, context, stage, table, shown), None)
    parts.read(f"versions of {name}", partial(_version, workspace, name, table, shown), None)
    shown |= _served(workspace, context, table)
    console.print(table)
    return shown


def _stage(workspace: Workspace, context: ModelContext, stage: Stage, table: Table, shown: dict[str, Any]) -> None:
    """Add what a stage of a model came to."""
    try:
        # Copies are answered, and compared, by what the deployment began with.
        asset = "deployment" if stage == "shadow" else stage
        ref = workspace.references.load(f"{context.model.name}/{asset}")
    except MissingReference:
        table.add_row(stage, "not materialized")
        return
    if stage == "evaluation":
        _measured(workspace, ref, table, shown)
    verdicts = workspace.ledger.verdicts(ref.sha256)
    table.add_row(f"{stage} gates", _verdicts(context.model.gates_of(stage), verdicts))
    shown["gates"] |= _plain({gate: verdict for gate, verdict in verdicts.items() if verdict.stage == stage})


def _measured(workspace: Workspace, ref: ReportRef, table: Table, shown: dict[str, Any]) -> None:
    """Add the metrics of an evaluation beside those of the baselines."""
    evaluation = kept(workspace, ref.model_ref)
    for metric in [name for name in evaluation.kind().compared if name in evaluation.metrics]:
        best = {model: f"{values[metric]:.4f}" for model, values in evaluation.baselines.items() if metric in values}
        beside = ", ".join(f"{model} {value}" for model, value in best.items())
        shown_beside = f"  ({beside})" if beside else ""
        table.add_row(f"{metric} on the holdout", f"{evaluation.metrics[metric]:.4f}{shown_beside}")
    shown |= {
        "metrics": evaluation.metrics,
        "baselines": evaluation.baselines,
        "model_sha256": ref.sha256,
        "report": (report := str(workspace.settings.local / ref.html)),
    }
    table.add_row("report", report)


def _version(workspace: Workspace, name: str, table: Table, shown: dict[str, Any]) -> None:
    """Add the version that the model above is registered as: after code was put back that is not the newest."""
    version = workspace.registry.latest(name)
    if version is not None:
        with suppress(MissingReference):
            version = workspace.registry.get(name, workspace.references.load(f"{name}/registered_model").version)
        decision = standing(workspace, version)
        table.add_row("version", f"{version.version} ({decision.said}), model {version.sha256[:12]}")
        shown |= {"version": version.version, "approval": decision.status}


def _served(workspace: Workspace, context: ModelContext, table: Table) -> dict[str, Any]:
    from ml_platform.validation.schema import MASK

    try:
        url = live_url(workspace, context.model.name)
        row = rows_of(workspace, context, "", 1)
        answer = ask(workspace, context.model.name, row)
    except PlatformError as error:
        table.add_row("live service", str(error))
        return {"url": None, "prediction": None}
    private = context.dataset.private()
    key = {name: MASK if name in private else row[0][name] for name in context.function.key if name in row[0]}
    table.add_row("live service", url)
    value = answer["predictions"][0]
    said = value if isinstance(value, str) else f"{value:.4f}"
    table.add_row("prediction", f"{said} by version {answer['version']}{f' for {key}' if key else ''}")
    return {"url": url, "prediction": answer}


def _verdicts(gates: tuple[Gate, ...], verdicts: dict[str, Verdict]) -> str:
    if _taken_out(verdicts):
        # Whatever its gates said of it.
        return verdicts[ROLLBACK].reason
    bad = []
    for gate in gates:
        verdict = verdicts.get(gate.name)
        if verdict is None:
            bad.append(f"{gate.name} missing{warns(gate)}")
        elif not verdict.passed:
            bad.append(f"{gate.name} {verdict.shown}{warns(gate)}")
    good = len(gates) - len(bad)
    alone = sum(verdicts[gate.name].uncompared for gate in gates if gate.name in verdicts)
    parts = [f"{good} passed", *([f"{alone} of them with nothing to compare with"] if alone else []), *bad]
    return ", ".join(parts)


def _taken_out(verdicts: dict[str, Verdict] | None) -> bool:
    """Whether a person withdrew the content that these are about."""
    return bool(verdicts) and ROLLBACK in verdicts and verdicts[ROLLBACK].holds_back


def _plain(verdicts: dict[str, Verdict]) -> dict[str, Any]:
    return {
        name: {
            "status": "overridden" if verdict.override else verdict.status,
            "observed": verdict.observed,
            "threshold": verdict.threshold,
            "reason": verdict.reason,
            **({"uncompared": True} if verdict.uncompared else {}),
        }
        for name, verdict in verdicts.items()
    }
