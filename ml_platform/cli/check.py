"""``ml-platform check``: every gate on the content there is now, outside any run."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ml_platform.cli import screen
from ml_platform.cli.outcomes import Changed, Line, junit, markdown, plain, warns
from ml_platform.cli.output import BadUsage, limited, saved, say, written
from ml_platform.datasets import batches
from ml_platform.datasets.store import InvalidName
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import default_home
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.gates.stages import Stage
from ml_platform.ledger.chain import Broken
from ml_platform.pipeline import data
from ml_platform.pipeline.inspections import INSPECTIONS
from ml_platform.pipeline.loosening import since_champion
from ml_platform.pipeline.published import published_batches, require_asked
from ml_platform.pipeline.rollout import catch_up
from ml_platform.pipeline.trial import Trial
from ml_platform.pipeline.workspace import Workspace

#: Name under which the verdicts are shown among the runs.
JOB = "ml_platform_check"


def check_project(
    datasets: Sequence[str],
    models: Sequence[str],
    json: Path | None,
    junit_file: Path | None,
    comment: Path | None,
    every: bool = False,
    branch: str = "",
    keep: bool = False,
) -> int:
    """Print every gate's outcome; 1 where a blocking one did not pass. ``every``: a row for each partition.

    With ``branch`` the models are made anew from published data, by the code that is here, before they are judged;
    the branch is removed afterwards unless ``keep`` is set.
    """
    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    workspace, catalogue, run = Workspace.reading(), project_catalogue(), Run.new()
    selected = _selected(catalogue, datasets, models)
    catch_up(workspace, selected.models)
    lines = list(_trials(workspace, selected, branch, keep, run) if branch else _lines(workspace, selected, run))
    changed = list(_changed(workspace, selected)) if branch else []
    _print(lines, every)
    for change in changed:
        say(change.text)
    if not branch:
        _report(lines, run)
    written(json, plain(lines) + [change.plain for change in changed])
    if junit_file is not None:
        saved("--junit", junit_file, junit(lines))
    if comment is not None:
        named = ", ".join((*datasets, *models))
        saved(
            "--markdown",
            comment,
            markdown(lines, f"Gates of {named}" if named else "Gates", changed).encode(),
        )
    return 1 if any(line.blocks for line in lines) else 0


def _selected(catalogue: Catalogue, datasets: Sequence[str], models: Sequence[str]) -> Catalogue:
    """What is checked: of models alone their own features, and no others of their datasets."""
    chosen = limited(catalogue, datasets, models)
    if not models or datasets:
        return chosen
    own = {spec.features for spec in chosen.models.values()}
    return replace(chosen, features={key: spec for key, spec in chosen.features.items() if key in own})


def _changed(workspace: Workspace, catalogue: Catalogue) -> Iterable[Changed]:
    """What became of every gate since the champion was registered: a reviewer sees what no verdict shows."""
    for name in catalogue.models:
        try:
            for seen in since_champion(workspace, ModelContext.of(catalogue, name)):
                yield Changed(name, seen.version, seen.change, seen.accepted)
        except PlatformError as error:
            yield Changed(name, 0, None, unknown=str(error))


def _lines(workspace: Workspace, catalogue: Catalogue, run: Run) -> Iterable[Line]:
    for spec in catalogue.datasets.values():
        yield from _batches(workspace, spec, run)
    for spec in catalogue.features.values():
        yield from _features(workspace, spec, catalogue.dataset(spec.dataset), run)
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        for stage in INSPECTIONS:
            judged = partial(_stage, workspace, context, stage, run)
            yield from _each(f"{name}/{stage}", "", context.model.gates_of(stage), judged)


def _stage(workspace: Workspace, context: ModelContext, stage: Stage, run: Run) -> list[Verdict]:
    ref = workspace.references.load(f"{context.model.name}/{stage}")
    return INSPECTIONS[stage](workspace, context, ref, run)


def _each(asset: str, partition: str, gates: tuple[Gate, ...], judged: Callable[[], list[Verdict]]) -> Iterable[Line]:
    """The lines of a content; where it cannot be read they say so, and what comes after it is judged all the same."""
    try:
        return _joined(asset, partition, gates, judged())
    except Broken:
        raise  # the ledger: no verdict can be kept
    except PlatformError as error:
        return [Line(asset, partition, gate, None, str(error)) for gate in gates]


def _trials(workspace: Workspace, catalogue: Catalogue, branch: str, keep: bool, run: Run) -> Iterable[Line]:
    """Gates of every model that the code here makes of published data; shared batches and features are shown once."""
    try:
        trial = Trial(workspace, branch, run)
    except InvalidName as error:
        raise BadUsage(f"--branch: {error}") from error
    try:
        yield from _tried(trial, catalogue)
    finally:
        if not keep:
            trial.close()


def _tried(trial: Trial, catalogue: Catalogue) -> Iterable[Line]:
    seen: set[tuple[str, str]] = set()
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        of_stage: dict[Stage, tuple[str, tuple[Gate, ...]]] = {
            "batch": (f"{context.dataset.name}/batch", context.dataset.gates_of("batch")),
            "features": (context.feature_set.key, context.feature_set.gates_of("features")),
            **{stage: (f"{name}/{stage}", context.model.gates_of(stage)) for stage in INSPECTIONS},
        }
        for found in trial.of(context):
            asset, gates = of_stage[found.stage]
            if (asset, found.partition) in seen:
                continue
            seen.add((asset, found.partition))
            if found.missing:
                yield from (Line(asset, found.partition, gate, None, found.missing) for gate in gates)
            else:
                yield from _joined(asset, found.partition, gates, found.verdicts)


def _batches(workspace: Workspace, spec: DatasetSpec, run: Run) -> Iterable[Line]:
    asset = f"{spec.name}/batch"
    gates = spec.gates_of("batch")
    try:
        require_asked(workspace, spec.name)
        found = batches.newest(workspace.store, spec.name)
    except PlatformError as error:
        yield from (Line(asset, "", gate, None, str(error)) for gate in gates)
        return
    if not found:
        yield from (Line(asset, "", gate, None, "nothing was ever ingested") for gate in gates)
    for partition, (branch, info) in sorted(found.items()):
        ref = batches.reference(info, spec.name, partition, branch, workspace.store.resolve(branch), run)
        yield from _each(asset, partition, gates, partial(data.audit, workspace, spec, ref, run))


def _features(workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, run: Run) -> Iterable[Line]:
    gates = spec.gates_of("features")
    published = sorted(published_batches(workspace, dataset.name))
    if not published:
        yield from (Line(spec.key, "", gate, None, "no batch was ever published") for gate in gates)

    def judged(partition: str) -> list[Verdict]:
        ref = workspace.references.load(spec.key, partition)
        return data.inspect_features(workspace, spec, dataset, ref, run)

    for partition in published:
        yield from _each(spec.key, partition, gates, partial(judged, partition))


def _joined(asset: str, partition: str, gates: tuple[Gate, ...], verdicts: list[Verdict]) -> Iterable[Line]:
    by_name = {verdict.gate: verdict for verdict in verdicts}
    return [Line(asset, partition, gate, by_name.get(gate.name), "the gate gave no verdict") for gate in gates]


def _print(lines: list[Line], every: bool) -> None:
    console = screen.console()
    table = screen.table("asset", "partition", "gate", "status", "observed", "threshold", "reason")
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.asset, line.gate.name), []).append(line)
    for group in groups.values():
        passed = [line for line in group if line.status == "passed"]
        together = passed if len(passed) > 1 and not every else []
        if together:
            table.add_row(group[0].asset, f"{len(together)} of {len(group)}", *_cells(together), "")
        for line in group:
            if line not in together:
                table.add_row(line.asset, line.partition, *_cells([line]), line.reason[:200])
    console.print(table)
    blocking = [line for line in lines if line.blocks]
    warned = [line for line in lines if line.status != "passed" and not line.blocks]
    console.print(
        f"{len(lines)} gates applied: {len(lines) - len(blocking) - len(warned)} passed, {len(warned)} warn, "
        f"{len(blocking)} block"
    )
    alone = [line for line in lines if line.verdict is not None and line.verdict.uncompared]
    if alone:
        places = dict.fromkeys(f"{line.asset} {line.partition}".strip() for line in alone)
        console.print(
            f"{len(alone)} of {len(lines)} had nothing to compare with and say nothing, in {', '.join(places)}",
            markup=False,
            soft_wrap=True,
        )


def _cells(lines: list[Line]) -> tuple[str, str, str, str]:
    """Gate, status, observed values and threshold of lines that have gate and status in common."""
    values = [line.verdict.observed for line in lines if line.verdict and line.verdict.observed is not None]
    ends = sorted({f"{value:.4g}" for value in (min(values), max(values))}, key=float) if values else ["-"]
    line = lines[0]
    status = line.status.replace("_", " ") + warns(line.gate)
    return line.gate.name, status, " to ".join(ends), line.gate.threshold


def _report(lines: list[Line], run: Run) -> None:
    """Show the verdicts in the UI too, as those of a run of their own.

    Not as events without a run: of those Dagster's storage takes one per check and partition, ever.
    """
    import dagster as dg

    from ml_platform.orchestration.events import severity
    from ml_platform.orchestration.metadata import verdict_metadata

    def event(kind: dg.DagsterEventType, data: Any = None) -> dg.DagsterEvent:
        return dg.DagsterEvent(kind.value, job_name=JOB, event_specific_data=data)

    with dg.DagsterInstance.get() as instance:
        instance.add_run(dg.DagsterRun(job_name=JOB, run_id=run.id, status=dg.DagsterRunStatus.STARTING))
        instance.report_dagster_event(event(dg.DagsterEventType.RUN_START), run_id=run.id)
        for line in lines:
            if line.verdict is None:
                continue
            evaluation = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(line.asset.split("/")),
                check_name=line.gate.name,
                passed=line.verdict.passed,
                metadata=verdict_metadata(line.verdict),
                severity=severity(line.verdict),
                description=line.verdict.reason,
                blocking=line.gate.blocking,
                partition=line.partition or None,
            )
            instance.report_dagster_event(event(dg.DagsterEventType.ASSET_CHECK_EVALUATION, evaluation), run_id=run.id)
        instance.report_dagster_event(event(dg.DagsterEventType.RUN_SUCCESS), run_id=run.id)
