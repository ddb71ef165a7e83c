"""``ml-platform replay``: is a registered model what its record says it is?"""

from pathlib import Path
from typing import Any

from ml_platform.cli.output import BadUsage, say, written
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import REPLAY
from ml_platform.pipeline import champions, recorded_trainings
from ml_platform.pipeline.replay import replay
from ml_platform.pipeline.rollout import catch_up
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef
from ml_platform.replay.replay import Environment


def replay_version(target: str, environment: Environment, json: Path | None) -> int:
    """Rebuild ``MODEL@VERSION`` (or ``@ALIAS``); 0 where bytes and metrics are equal."""
    model, _, which = target.partition("@")
    catalogue, workspace = project_catalogue(), Workspace.reading()
    if model not in catalogue.models or not which:
        raise BadUsage(f"{target!r}: give MODEL@VERSION or MODEL@ALIAS; models: {', '.join(sorted(catalogue.models))}")
    catch_up(workspace, [model])
    version = champions.find(workspace, model, which)
    recorded_trainings.require_known(workspace, version.model_ref)
    say(f"{model} version {version.version}: code {version.provenance.code_commit[:12]}, seed {version.model_ref.seed}")
    of, judged = version.model_ref, version.model_ref.judged
    refit = _replayed(workspace, catalogue, of, version.version, environment)
    if judged is None:
        written(json, refit)
        return 0 if refit["equal"] else 1
    say(f"it is a refit; the model of the same recipe that was judged, {judged.sha256[:12]}:")
    before = _replayed(workspace, catalogue, judged, version.version, environment)
    written(json, {**refit, "judged": before})
    return 0 if refit["equal"] and before["equal"] else 1


def _replayed(
    workspace: Workspace, catalogue: Catalogue, reference: ModelRef, version: int, environment: Environment
) -> dict[str, Any]:
    """Rebuild one model, say what came out, and note it in the ledger."""
    done = replay(
        workspace, catalogue, reference, environment=environment, say=lambda text: say(f"note: {text}", flush=True)
    )
    say(f"environment: {done.environment}")
    odd = done.other_features
    say(f"features: {len(done.features) - len(odd)} of {len(done.features)} partitions equal" + _named(odd))
    say(f"model file: {'equal' if done.bytes_equal else 'different'}, {done.recorded[:16]} → {done.rebuilt[:16]}")
    if not done.metrics:
        say(f"metrics: {'a refit has none' if reference.judged else 'none were recorded'}")
    for name, (was, now) in sorted(done.metrics.items()):
        say(f"metric {name}: {was} → {now}{'' if was == now else '  different'}")
    say(f"{'equal' if done.equal else 'NOT equal'} after {done.seconds:.0f} s")
    run = Run.new()
    body = {"equal": done.equal, "rebuilt": done.rebuilt, "notes": list(done.warnings), "environment": environment}
    workspace.ledger.decide(
        REPLAY,
        subject=reference.sha256,
        subject_name=f"{reference.model}/model",
        body={**body, "version": version},
        run_id=run.id,
        provenance=run.provenance,
    )
    return {**done.__dict__, "equal": done.equal, "version": version}


def _named(partitions: list[str]) -> str:
    return f"; different: {', '.join(partitions)}" if partitions else ""
