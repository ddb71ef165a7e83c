"""The table at the end of ``ml-platform run``: data, metrics, verdicts, versions, services, predictions."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml_platform.cli import screen
from ml_platform.cli.output import written
from ml_platform.cli.services import ask, live_url, rows_of
from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.gates.stages import OF_MODEL
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.recorded_evaluations import kept
from ml_platform.pipeline.workspace import Workspace

#: Stages of a model that have gates, named as their assets are.


def show_summary(
    console: Console,
    workspace: Workspace,
    catalogue: Catalogue,
    before: Any,
    after: Any,
    success: bool,
    json: Path | None,
) -> int:
    """Print everything that counts now; 0 where the run succeeded and nothing is held back."""
    found: dict[str, Any] = {"success": success, "datasets": {}, "models": {}, "new": {}}
    held = 0
    for spec in catalogue.datasets.values():
        found["datasets"][spec.name], failures = _dataset(console, workspace, catalogue, spec)
        held += failures
    for name in catalogue.models:
        found["models"][name], failures = _model(console, workspace, ModelContext.of(catalogue, name))
        held += failures
    found["new"] = {name: getattr(after, name) - getattr(before, name) for name in ("commits", "versions", "ledger")}
    new = found["new"]
    text = f"{new['commits']} commits, {new['versions']} versions, {new['ledger']} ledger entries"
    console.print(f"nothing new: {text}" if not any(new.values()) else f"new: {text}")
    written(json, found)
    return 0 if success else 1


def _dataset(console: Console, workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec) -> tuple[Any, int]:
    gates = spec.gates_of("batch")
    features = [item for item in catalogue.features.values() if item.dataset == spec.name]
    table = screen.table(
        "partition", "rows", "content", "commit", "batch gates", "feature gates", title=f"dataset {spec.name}"
    )
    shown, held = [], 0
    for partition, (branch, info) in sorted(batches.newest(workspace.store, spec.name).items()):
        verdicts = workspace.ledger.judgement(f"{spec.prefix}{partition}", info.sha256)
        text, failed = _verdicts(gates, verdicts)
        feature_text = []
        for item in features:
            try:
                ref = workspace.references.load(item.key, partition)
            except MissingReference:
                feature_text.append("-")
                continue
            line, more = _verdicts(
                item.gates_of("features"), workspace.ledger.judgement(f"{item.key}/{partition}", ref.sha256)
            )
            feature_text.append(line)
            failed += more
        held += failed
        commit = _commit(workspace, spec, partition, info.sha256) if branch == MAIN else "refused"
        rows = info.metadata["rows"]
        table.add_row(partition, f"{int(rows):,}", info.sha256[:12], commit[:12], text, ", ".join(feature_text))
        shown.append(
            {
                "partition": partition,
                "rows": int(rows),
                "sha256": info.sha256,
                "commit": commit,
                "gates": _plain(verdicts),
            }
        )
    console.print(table)
    return shown, held


def _commit(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str) -> str:
    return workspace.store.resolve(batches.batch_tag(spec.name, partition, sha256))


def _model(console: Console, workspace: Workspace, context: ModelContext) -> tuple[Any, int]:
    name = context.model.name
    shown: dict[str, Any] = {"gates": {}}
    table = screen.table("what", "value", title=f"model {name}")
    held = 0
    for stage in OF_MODEL:
        if stage == "refit" and not context.model.split.refit:
            continue
        try:
            ref = workspace.references.load(f"{name}/{stage}")
        except MissingReference:
            table.add_row(stage, "not materialized")
            continue
        if stage == "evaluation":
            evaluation = kept(workspace, ref.model_ref)
            for metric in [name for name in evaluation.kind().compared if name in evaluation.metrics]:
                best = {
                    model: f"{values[metric]:.4f}" for model, values in evaluation.baselines.items() if metric in values
                }
                beside = ", ".join(f"{model} {value}" for model, value in best.items())
                table.add_row(
                    f"{metric} on the holdout",
                    f"{evaluation.metrics[metric]:.4f}" + (f"  ({beside})" if beside else ""),
                )
            shown |= {
                "metrics": evaluation.metrics,
                "baselines": evaluation.baselines,
                "model_sha256": ref.sha256,
                "report": (report := str(workspace.settings.local / ref.html)),
            }
            table.add_row("report", report)
        verdicts = workspace.ledger.verdicts(ref.sha256)
        text, failed = _verdicts(context.model.gates_of(stage), verdicts)
        held += failed
        table.add_row(f"{stage} gates", text)
        shown["gates"] |= _plain({gate: verdict for gate, verdict in verdicts.items() if verdict.stage == stage})
    version = workspace.registry.latest(name)
    if version is not None:
        decision = standing(workspace, version)
        table.add_row("version", f"{version.version} ({decision.said}), model {version.sha256[:12]}")
        shown |= {"version": version.version, "approval": decision.status}
    shown |= _served(workspace, context, table)
    console.print(table)
    return shown, held


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


def _verdicts(gates: tuple[Gate, ...], verdicts: dict[str, Verdict]) -> tuple[str, int]:
    bad = []
    for gate in gates:
        verdict = verdicts.get(gate.name)
        if verdict is None:
            bad.append(f"{gate.name} missing")
        elif not verdict.passed:
            bad.append(f"{gate.name} {verdict.shown}")
    good = len(gates) - len(bad)
    alone = sum(verdicts[gate.name].uncompared for gate in gates if gate.name in verdicts)
    parts = [f"{good} passed", *([f"{alone} of them with nothing to compare with"] if alone else []), *bad]
    return ", ".join(parts), len(bad)


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
