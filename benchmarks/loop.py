"""What orchestration costs: the whole loop by Dagster, the same domain functions in a row, and the bare minimum.

    python benchmarks/loop.py [--repeat 3] [--to 2013-12-01] [--against REVISION or PATH]

Each way runs in a fresh process and a fresh folder, in turn, so that a busy machine is unfair to none of them; with
``--against``, the loop of another checkout takes its turn too. Prints Markdown: median seconds of each stage, ratios,
processor time (without services, which outlive the loop), peak memory.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from against import ROOT, Checkout, against, here

LINE = re.compile(r"\[ *[\d.]+ s\] (\S+) +([\d.]+) s$")
STAGES = (
    "batch", "batch gates", "dataset", "features", "features gates", "split", "split gates", "model", "evaluation",
    "evaluation gates", "registered_model", "service", "service gates", "deployment", "deployment gates",
)  # fmt: skip


def by_dagster(last: str) -> dict[str, float]:
    """Seconds by stage of ``ml-platform run``; its own process reports them as progress."""
    done = subprocess.run(["ml-platform", "run", "--to", last], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    seconds: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if found := LINE.match(line.strip()):
            stage = found[1].rpartition("/")[2] if "/" in found[1] else _gates(found[1])
            seconds[stage] = seconds.get(stage, 0.0) + float(found[2])
    return seconds


def _gates(step: str) -> str:
    return next(f"{stage} gates" for stage in STAGES if step.endswith(f"_{stage}_gates"))


def in_a_row(last: str) -> dict[str, float]:
    """The same domain functions, called one after the other in this process."""
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline import data, evaluation, inspections, registration, release, training
    from ml_platform.pipeline.workspace import Workspace

    seconds: dict[str, float] = {}

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began
        return result

    workspace, catalogue, run = Workspace(), project_catalogue(), Run.new()
    dataset, features = catalogue.datasets["flights"], catalogue.features["flights/features"]
    months = [name for name in dataset.load_source().partitions() if name <= last]
    batches = timed("batch", lambda: {name: data.ingest(workspace, dataset, name, run) for name in months})
    timed("batch gates", lambda: [data.audit(workspace, dataset, ref, run) for ref in batches.values()])
    published = timed(
        "dataset", lambda: {name: data.publish(workspace, dataset, ref, run) for name, ref in batches.items()}
    )
    built = timed("features", lambda: data.featurize(workspace, features, dataset, published, run))
    timed(
        "features gates",
        lambda: [data.inspect_features(workspace, features, dataset, ref, run) for ref in built.values()],
    )
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        split = timed("split", lambda: training.split(workspace, context, built, run))  # noqa: B023 - called at once
        timed("split gates", lambda: training.inspect_split(workspace, context, split, run))  # noqa: B023
        trained = timed("model", lambda: training.fit(workspace, context, split, run))  # noqa: B023
        report = timed("evaluation", lambda: evaluation.evaluate(workspace, context, trained, run))  # noqa: B023
        timed("evaluation gates", lambda: inspections.inspect_evaluation(workspace, context, report, run))  # noqa: B023
        version = timed("registered_model", lambda: registration.register(workspace, context, report, run))  # noqa: B023
        service = timed("service", lambda: release.package(workspace, context, version, run))  # noqa: B023
        timed("service gates", lambda: release.inspect_service(workspace, context, service, run))  # noqa: B023
        live = timed("deployment", lambda: release.deploy(workspace, context, service, run))  # noqa: B023
        timed("deployment gates", lambda: release.inspect_deployment(workspace, context, live, run))  # noqa: B023
    return seconds


def bare(last: str) -> dict[str, float]:
    """Read, features, train, score: nothing is kept, checked, registered or served."""
    import polars as pl

    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.features.build import build, matrix
    from ml_platform.features.contract import feature_names
    from ml_platform.features.history import History, daily
    from ml_platform.models.predictor import load_predictor
    from ml_platform.training.trainer import trainer_of

    seconds: dict[str, float] = {}
    catalogue = project_catalogue()
    dataset, features = catalogue.datasets["flights"], catalogue.features["flights/features"]
    source, function = dataset.load_source(), features.load_function()
    began = time.perf_counter()
    raw = {name: source.read(name) for name in source.partitions() if name <= last}
    seconds["batch"] = time.perf_counter() - began
    began = time.perf_counter()
    tables = [daily(function, frame) for frame in raw.values()]
    built = [
        build(function, frame, History.from_tables(function, tables[: index + 1], features.history_lag))
        for index, frame in enumerate(raw.values())
    ]
    seconds["features"] = time.perf_counter() - began
    for name in catalogue.models:
        spec = ModelContext.of(catalogue, name).model
        cut = len(built) - spec.split.newest
        began = time.perf_counter()
        names, task = feature_names(function), spec.kind()
        with tempfile.TemporaryDirectory() as work:
            trained = trainer_of(spec.trainer).train(
                *(lambda: iter(built[:cut]), names, spec.target, task, spec.parameters),  # noqa: B023
                *(Path(work), 0),
            )
            predictor = load_predictor(trained.format, trained.file, 1, trained.types)
        seconds["model"] = seconds.get("model", 0.0) + time.perf_counter() - began
        began = time.perf_counter()
        known, y = task.labels(pl.concat(built[cut:]), spec.target)
        task.measure(y, predictor.predict(matrix(known, names)))
        seconds["evaluation"] = seconds.get("evaluation", 0.0) + time.perf_counter() - began
    return seconds


WAYS: dict[str, Callable[[str], dict[str, float]]] = {"dagster": by_dagster, "in a row": in_a_row, "bare": bare}


def measured(way: str, last: str, where: Checkout) -> dict[str, Any]:
    """One run of one way in a fresh process and folder: seconds by stage, in all, of processors, peak memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        environment = where.environment(ML_PLATFORM_LOCAL=folder)
        script = where.root / "benchmarks" / "loop.py"
        used, began = _processors(), time.perf_counter()
        done = subprocess.run(
            [where.python, script, "--only", way, "--to", last], env=environment, capture_output=True, text=True
        )
        seconds, cpu = time.perf_counter() - began, _processors() - used
        subprocess.run(
            [where.python.with_name("ml-platform"), "stop"], env=environment, capture_output=True, check=True
        )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "total": seconds, "cpu": cpu}


def _processors() -> float:
    """Seconds of processors that ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown of the medians."""
    ways = list(runs)
    lines = [f"| stage | {' | '.join(ways)} |", f"|---|{'---:|' * len(ways)}"]

    def row(name: str, value: Callable[[dict[str, Any]], float | None], digits: int = 1) -> None:
        cells = []
        for way in ways:
            values = [found for found in map(value, runs[way]) if found is not None]
            cells.append(f"{statistics.median(values):,.{digits}f}" if values else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")

    for stage in STAGES:
        row(stage, lambda run: run["stages"].get(stage))  # noqa: B023 - called at once
    row("**seconds in all**", lambda run: run["total"])
    row("processor seconds", lambda run: run["cpu"])
    row("peak memory, MiB", lambda run: run["peak"], 0)
    lines += [
        "",
        *(
            f"Ratios of {what}: {_ratios(runs, key)}"
            for what, key in (("seconds", "total"), ("processor seconds", "cpu"))
        ),
    ]
    return "\n".join(lines)


def _ratios(runs: dict[str, list[dict[str, Any]]], key: str) -> str:
    first, *others = runs
    total = {way: statistics.median(run[key] for run in found) for way, found in runs.items()}
    return ", ".join(f"{first} / {other} = {total[first] / total[other]:.2f}" for other in others)


def main() -> None:
    """Run every way in turn, or one of them for its parent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--to", default="2013-12-01", help="last partition")
    parser.add_argument("--against", help="revision or folder of another checkout")
    parser.add_argument("--only", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        stages = WAYS[options.only](options.to)
        who = resource.RUSAGE_CHILDREN if options.only == "dagster" else resource.RUSAGE_SELF
        print(json.dumps({"stages": stages, "peak": resource.getrusage(who).ru_maxrss / 1024}))
        return
    turns = [(way, way, here()) for way in WAYS]
    if options.against:
        other = against(options.against)
        turns.append((f"dagster at {other.name}", "dagster", other))
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name, _, _ in turns}
    for _ in range(options.repeat):
        for name, way, where in turns:
            runs[name].append(measured(way, options.to, where))
            print(f"{name}: {runs[name][-1]['total']:.1f} s", file=sys.stderr)
    print(report(runs))


if __name__ == "__main__":
    main()
