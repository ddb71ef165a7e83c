"""``ml-platform check``: every gate on the content there is now, outside any run."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from ml_platform.cli.app import written
from ml_platform.datasets import publishing
from ml_platform.declarations import Catalogue, DatasetSpec, FeatureSpec, ModelContext
from ml_platform.errors import MissingReference
from ml_platform.gates.gate import Gate, Stage, Verdict
from ml_platform.loop import data, evaluation, model, release
from ml_platform.orchestration.components import project_catalogue
from ml_platform.orchestration.references import References
from ml_platform.refs import DatasetRef
from ml_platform.settings import default_home
from ml_platform.workspace import Run, Workspace

#: Stages of a model that have gates (named as their assets are), and who judges them.
INSPECTED: dict[Stage, Callable[..., list[Verdict]]] = {
    "split": model.inspect_split,
    "evaluation": evaluation.inspect_evaluation,
    "service": release.inspect_service,
    "deployment": release.inspect_deployment,
}


@dataclass(frozen=True)
class Line:
    """The outcome of one gate; no verdict where there was nothing to judge."""

    asset: str
    partition: str
    gate: Gate
    verdict: Verdict | None
    missing: str = ""

    @property
    def status(self) -> str:
        """Status in words."""
        return self.verdict.status if self.verdict else "missing"

    @property
    def blocks(self) -> bool:
        """Whether the command has to fail."""
        return self.gate.blocking and self.status != "passed"

    @property
    def reason(self) -> str:
        """Why."""
        return self.verdict.reason if self.verdict else self.missing


def check_project(name: str, json: Path | None, junit: Path | None) -> int:
    """Print every gate's outcome; 1 where a blocking one did not pass."""
    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    workspace, catalogue, run = Workspace(), project_catalogue(), Run.new()
    lines = list(_lines(workspace, _selected(catalogue, name), run))
    _print(lines)
    _report(lines)
    plain = [
        {
            "asset": line.asset,
            "partition": line.partition,
            "gate": line.gate.name,
            "status": line.status,
            "blocking": line.gate.blocking,
            "observed": line.verdict.observed if line.verdict else None,
            "threshold": line.gate.threshold,
            "reason": line.reason,
            "subject": line.verdict.subject if line.verdict else None,
        }
        for line in lines
    ]
    written(json, plain)
    if junit is not None:
        _junit(lines, junit)
    return 1 if any(line.blocks for line in lines) else 0


def _selected(catalogue: Catalogue, name: str) -> Catalogue:
    if not name:
        return catalogue
    context = ModelContext.of(catalogue, name)
    return Catalogue.of([context.dataset, context.feature_set, context.model])


def _lines(workspace: Workspace, catalogue: Catalogue, run: Run) -> Iterable[Line]:
    references = References()
    for spec in catalogue.datasets.values():
        yield from _batches(workspace, spec, run)
    for spec in catalogue.features.values():
        yield from _features(workspace, spec, catalogue.dataset(spec.dataset), references, run)
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        for stage, inspect in INSPECTED.items():
            gates = context.model.gates_of(stage)
            try:
                ref = references.load(f"{name}/{stage}", None)
            except MissingReference as error:
                yield from (Line(f"{name}/{stage}", "", gate, None, str(error)) for gate in gates)
                continue
            yield from _joined(f"{name}/{stage}", "", gates, inspect(workspace, context, ref, run))


def _batches(workspace: Workspace, spec: DatasetSpec, run: Run) -> Iterable[Line]:
    asset = f"{spec.name}/batch"
    gates = spec.gates_of("batch")
    found = publishing.candidates(workspace.store, spec.name)
    if not found:
        yield from (Line(asset, "", gate, None, "nothing was ever ingested") for gate in gates)
    published = publishing.published(workspace.store, spec.name)
    for partition, info in sorted(found.items()):
        on_main = partition in published and published[partition].sha256 == info.sha256
        branch = "main" if on_main else publishing.staging_branch(spec.name, partition)
        ref = DatasetRef(
            run_id=run.id,
            provenance=run.provenance,
            dataset=spec.name,
            partition=partition,
            branch=branch,
            commit=workspace.store.resolve(branch),
            path=info.path,
            sha256=info.sha256,
            rows=int(info.metadata["rows"]),
        )
        yield from _joined(asset, partition, gates, data.audit(workspace, spec, ref, run))


def _features(
    workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, references: References, run: Run
) -> Iterable[Line]:
    gates = spec.gates_of("features")
    published = sorted(publishing.published(workspace.store, dataset.name))
    if not published:
        yield from (Line(spec.key, "", gate, None, "no batch was ever published") for gate in gates)
    for partition in published:
        try:
            ref = references.load(spec.key, partition)
        except MissingReference as error:
            yield from (Line(spec.key, partition, gate, None, str(error)) for gate in gates)
            continue
        yield from _joined(spec.key, partition, gates, data.inspect_features(workspace, spec, dataset, ref, run))


def _joined(asset: str, partition: str, gates: tuple[Gate, ...], verdicts: list[Verdict]) -> Iterable[Line]:
    by_name = {verdict.gate: verdict for verdict in verdicts}
    return [Line(asset, partition, gate, by_name.get(gate.name), "the gate gave no verdict") for gate in gates]


def _print(lines: list[Line]) -> None:
    console = Console()
    table = Table("asset", "partition", "gate", "status", "observed", "threshold", "reason")
    for line in lines:
        observed = line.verdict.observed if line.verdict else None
        table.add_row(
            line.asset,
            line.partition,
            line.gate.name,
            line.status.replace("_", " ") + ("" if line.gate.blocking else " (warns)"),
            "-" if observed is None else f"{observed:.4g}",
            line.gate.threshold,
            line.reason[:120],
        )
    console.print(table)
    blocking = [line for line in lines if line.blocks]
    console.print(f"{len(lines)} gates, {len(lines) - len(blocking)} in order, {len(blocking)} blocking")


def _report(lines: list[Line]) -> None:
    """Show the verdicts in the UI too."""
    import dagster as dg

    from ml_platform.orchestration.events import severity
    from ml_platform.orchestration.metadata import verdict_metadata

    with dg.DagsterInstance.get() as instance:
        for line in lines:
            if line.verdict is None:
                continue
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(line.asset.split("/")),
                    check_name=line.gate.name,
                    passed=line.verdict.passed,
                    metadata=verdict_metadata(line.verdict),
                    severity=severity(line.verdict),
                    description=line.verdict.reason,
                    blocking=line.gate.blocking,
                    partition=line.partition or None,
                )
            )


def _junit(lines: list[Line], file: Path) -> None:
    from ml_platform.files import write_atomic

    blocking = [line for line in lines if line.blocks]
    suite = ElementTree.Element(
        "testsuite",
        name="ml-platform gates",
        tests=str(len(lines)),
        failures=str(len(blocking)),
        errors="0",
        skipped="0",
    )
    for line in lines:
        case = ElementTree.SubElement(
            suite, "testcase", classname=line.asset.replace("/", "."), name=f"{line.gate.name}[{line.partition or '-'}]"
        )
        if line.blocks:
            failure = ElementTree.SubElement(case, "failure", message=f"{line.status}: {line.reason}", type=line.status)
            failure.text = f"threshold: {line.gate.threshold}"
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    write_atomic(file.resolve(), ElementTree.tostring(suites, encoding="unicode", xml_declaration=True))
