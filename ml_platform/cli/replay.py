"""``ml-platform replay``: is a registered model what its record says it is?"""

from pathlib import Path

from ml_platform.cli.output import BadUsage, written
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import champions, trained
from ml_platform.pipeline.replaying import replay
from ml_platform.pipeline.workspace import Workspace
from ml_platform.replay.replay import Environment


def replay_version(target: str, environment: Environment, json: Path | None) -> int:
    """Rebuild ``MODEL@VERSION`` (or ``@ALIAS``); 0 where bytes and metrics are equal."""
    model, _, which = target.partition("@")
    catalogue, workspace = project_catalogue(), Workspace.reading()
    if model not in catalogue.models or not which:
        raise BadUsage(f"{target!r}: give MODEL@VERSION or MODEL@ALIAS; models: {', '.join(sorted(catalogue.models))}")
    version = champions.find(workspace, model, which)
    reference = version.model_ref
    trained.require_known(workspace, reference)
    print(f"{model} version {version.version}: code {reference.provenance.code_commit[:12]}, seed {reference.seed}")
    done = replay(
        workspace, catalogue, reference, environment=environment, say=lambda text: print(f"note: {text}", flush=True)
    )
    print(f"environment: {done.environment}")
    odd = done.other_features
    print(f"features: {len(done.features) - len(odd)} of {len(done.features)} partitions equal" + _named(odd))
    print(f"model file: {'equal' if done.bytes_equal else 'different'}, {done.recorded[:16]} → {done.rebuilt[:16]}")
    if not done.metrics:
        print("metrics: none were recorded")
    for name, (was, now) in sorted(done.metrics.items()):
        print(f"metric {name}: {was} → {now}{'' if was == now else '  different'}")
    print(f"{'equal' if done.equal else 'NOT equal'} after {done.seconds:.0f} s")
    run = Run.new()
    body = {"equal": done.equal, "rebuilt": done.rebuilt, "notes": list(done.warnings), "environment": environment}
    workspace.ledger.decide(
        "replay",
        subject=reference.sha256,
        subject_name=f"{model}/model",
        body={**body, "version": version.version},
        run_id=run.id,
        provenance=run.provenance,
    )
    written(json, {**done.__dict__, "equal": done.equal, "version": version.version})
    return 0 if done.equal else 1


def _named(partitions: list[str]) -> str:
    return f"; different: {', '.join(partitions)}" if partitions else ""
