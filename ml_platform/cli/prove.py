"""``ml-platform prove``: break a model's data, code and service, and see which of its gates notice."""

import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from ml_platform.cli import screen
from ml_platform.cli.output import BadUsage, written
from ml_platform.cli.windows import by_window, print_windows
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.settings import default_home
from ml_platform.gates.stages import GATED, Stage
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.findings import Finding, Rate, rates
from ml_platform.proving.proof import Proof
from ml_platform.proving.prove import broken_batches, broken_code
from ml_platform.proving.serving import broken_services
from ml_platform.proving.windows import KEPT, Window, run_windows


def prove_model(name: str, only_alarms: bool, allowed: int, partitions: int, rounds: int, json: Path | None) -> int:
    """Print what caught what, and alarms on clean data; 1 for a break that nothing caught, or too many alarms."""
    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    started = time.monotonic()
    console, catalogue = screen.console(), project_catalogue()
    try:
        context = ModelContext.of(catalogue, name)
    except DeclarationError as error:
        raise BadUsage(f"--model: {error}") from error
    with tempfile.TemporaryDirectory(prefix="ml-platform-prove-") as folder:
        workspace = Workspace()
        proof = Proof(context, workspace, Path(folder), partitions, rounds)
        for line in _about(proof, context):
            console.print(line, highlight=False)
        findings: list[Finding] = []
        windows: list[Window] = []
        if only_alarms:
            windows = run_windows(proof, workspace.settings.local / KEPT, lambda line: _tell(console, line))
        else:
            proof.run_data()
            findings = _findings(proof, console, started)
    alarms = rates(proof.clean.judged, proof.clean.partitions)
    raised = sum(rate.second_alarms for rate in alarms if rate.blocking)
    open_ = [finding for finding in findings if not finding.by]
    _print_alarms(console, proof, alarms, raised)
    if windows:
        print_windows(console, windows, proof.clean.judged)
    if findings:
        _print_findings(console, findings, open_)
    seconds = time.monotonic() - started
    console.print(f"{seconds:.0f} s", highlight=False)
    written(
        json,
        {
            "model": name,
            "partitions": proof.clean.partitions,
            "rounds": _rounds(proof.context),
            "declared_rounds": _rounds(context),
            "alarms": [rate.plain() for rate in alarms],
            "windows": [by_window(window, proof.clean.judged) for window in windows],
            "blocking_alarms_in_later_half": raised,
            "clean": _clean_model(proof),
            "breaks": [finding.plain() for finding in findings],
            "uncaught": len(open_),
            "seconds": round(seconds, 1),
        },
    )
    return 1 if open_ or (only_alarms and raised > allowed) else 0


def _findings(proof: Proof, console: Console, started: float) -> list[Finding]:
    proof.run_model()
    console.print(f"clean data is through the loop after {time.monotonic() - started:.0f} s", highlight=False)
    findings: list[Finding] = []
    parts = (("batches", broken_batches), ("code", broken_code), ("services", broken_services))
    for what, part in parts:
        before = len(findings)
        findings += part(proof)
        done = findings[before:]
        caught = sum(bool(finding.by) for finding in done)
        console.print(
            f"broken {what}: {caught} of {len(done)} caught, after {time.monotonic() - started:.0f} s", highlight=False
        )
    return findings


def _rounds(context: ModelContext) -> int | None:
    """Rounds that a training of the model takes, where its trainer counts them."""
    from ml_platform.training.trainer import rounds_of, trainer_of

    return rounds_of(trainer_of(context.model.trainer), context.model.parameters)


def _about(proof: Proof, declared: ModelContext) -> list[str]:
    """What is proved, and with what."""
    clean, model = proof.clean, proof.context.model
    rows = sum(frame.height for frame in clean.frames.values())
    fewer = "" if model.parameters == declared.model.parameters else f" (declared: {_rounds(declared)})"
    rounds = "" if _rounds(proof.context) is None else f"{_rounds(proof.context)} rounds{fewer}; "
    gates = {stage: _gates(proof.context, stage) for stage in GATED}
    return [
        f"{model.name}: {len(clean.partitions)} partitions of {declared.dataset.name} from its source, "
        f"{clean.partitions[0]} to {clean.newest}, {rows:,} rows; {rounds}scratch "
        "folder, store and registry",
        *(f"gates on {stage}: {', '.join(names) or 'none'}" for stage, names in gates.items()),
    ]


def _gates(context: ModelContext, stage: Stage) -> list[str]:
    owners = (context.dataset, context.feature_set, context.model)
    return [gate.name for owner in owners for gate in owner.gates_of(stage)]


def _clean_model(proof: Proof) -> list[dict[str, Any]]:
    """Verdicts on the clean split, model, package and route."""
    return [
        {"stage": one.stage, "gate": one.verdict.gate, "status": one.verdict.status, "observed": one.verdict.observed}
        for one in proof.clean.judged
        if not one.partition
    ]


def _print_alarms(console: Console, proof: Proof, alarms: list[Rate], raised: int) -> None:
    partitions = proof.clean.partitions
    if len(partitions) == 1:
        _print_alarms_of_one(console, proof)
        return
    half = (len(partitions) + 1) // 2
    first, second = f"{partitions[0]} to {partitions[half - 1]}", f"{partitions[half]} to {partitions[-1]}"
    table = screen.table(
        "stage", "gate", "threshold", f"seen {first}", f"seen {second}", "alarms", "rate", title="Clean data"
    )
    for rate in alarms:
        name = rate.gate if rate.blocking else f"{rate.gate} (warns)"
        alarmed = f"{rate.first_alarms} + {rate.second_alarms}"
        share = f"{rate.second_alarms / rate.second:.0%}" if rate.second else "-"
        cells = (_span(rate.first_range), _span(rate.second_range), alarmed, share)
        table.add_row(rate.stage, name, rate.threshold, *cells)
    console.print(table)
    for rate in alarms:
        for partition, reason in rate.alarms.items():
            console.print(f"alarm of {rate.gate} on {partition}: {reason}", highlight=False, markup=False)
    for one in proof.clean.judged:
        if not one.partition and not one.verdict.passed:
            told = f"alarm of {one.verdict.gate} on the clean {one.stage}: {one.verdict.reason}"
            console.print(told, highlight=False, markup=False)
    console.print(
        f"blocking alarms from {second}: {raised}; the rate is of the partitions of that half", highlight=False
    )


def _print_alarms_of_one(console: Console, proof: Proof) -> None:
    """Of data without partitions there is one clean table, and no rate."""
    alarms = [one for one in proof.clean.judged if not one.verdict.passed and one.verdict.observed is not None]
    for one in alarms:
        told = f"alarm of {one.verdict.gate} on the clean {one.stage}: {one.verdict.reason}"
        console.print(told, highlight=False, markup=False)
    console.print(f"alarms on the clean table: {len(alarms)}", highlight=False)


def _span(values: tuple[float, float] | None) -> str:
    if values is None:
        return "-"
    ends = list(dict.fromkeys(f"{value:.3g}" for value in values))
    return " to ".join(ends)


def _print_findings(console: Console, findings: list[Finding], open_: list[Finding]) -> None:
    table = screen.table("break", "made in", "cases", "caught", "caught first by", "also by", title="Breaks")
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.name, finding.stage), []).append(finding)
    for (name, stage), group in groups.items():
        caught = [finding for finding in group if finding.by]
        first = Counter(_by(finding) for finding in caught)
        also = Counter(verdict.gate for finding in caught for verdict in finding.caught[1:])
        table.add_row(name, stage, str(len(group)), str(len(caught)), _counted(first, caught), _counted(also, caught))
    console.print(table)
    for finding in findings:
        if finding.refused:
            _tell(console, f"{_name(finding)}: refused without a gate: {finding.refused}")
    for finding in open_:
        asked = ", ".join(f"{stage} {count}" for stage, count in finding.asked.items())
        warned = f", warned {', '.join(finding.warned)}" if finding.warned else ""
        crash = f"a step crashed ({finding.crashed}); " if finding.crashed else ""
        held = f"held back by a gate that could not judge ({finding.errored}); " if finding.errored else ""
        _tell(console, f"NOT CAUGHT: {_name(finding)}: {crash}{held}gates asked: {asked or 'none'}{warned}")
    kinds = len(groups)
    console.print(f"{len(findings)} breaks of {kinds} kinds, {len(open_)} that no gate caught", highlight=False)


def _by(finding: Finding) -> str:
    where = "" if not finding.caught or finding.caught[0].stage == finding.stage else f" on {finding.caught[0].stage}"
    return f"{finding.by}{where}"


def _counted(names: Counter[str], caught: list[Finding]) -> str:
    return ", ".join(name if count == len(caught) else f"{name} ({count})" for name, count in names.most_common())


def _name(finding: Finding) -> str:
    return f"{finding.name} ({finding.case})" if finding.case else finding.name


def _tell(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)
