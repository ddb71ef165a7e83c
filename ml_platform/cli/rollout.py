"""``ml-platform rollout``: begin, follow and end the rollout of a version; ``withdraw``, ``serve``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_platform.cli.output import By, Json, Reason, declared_model, say, written
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    from ml_platform.pipeline.rollout import Decision

rollout = typer.Typer(no_args_is_help=True, help="Which version of a model answers, and which is to.")

Model = Annotated[str, typer.Argument(help="The model.")]


@rollout.command()
def start(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Let the newest package of a model become its version, as the asset `deployment` does; its gates must let it."""
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline.loosening import require_person
    from ml_platform.pipeline.release import deploy
    from ml_platform.pipeline.workspace import Workspace
    from ml_platform.references.refs import ServiceRef

    require_person(f"start of {model}", by, reason)
    workspace, context = Workspace(), ModelContext.of(project_catalogue(), declared_model(model))
    ref: Any = workspace.references.load(f"{model}/service")
    assert isinstance(ref, ServiceRef)
    deployed = deploy(workspace, context, ref, Run.new(), by=by, why=reason)
    _say(model, json)
    say(f"asked at {deployed.url}")


@rollout.command()
def status(model: Model, json: Json = None) -> None:
    """What answers, what is to, how far that is, and the last change."""
    _say(model, json)


@rollout.command()
def promote(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Give a candidate that answers all requests now, whatever its steps still ask for."""
    _decide(model, "promote", by, reason)
    _say(model, json)


@rollout.command()
def pause(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Hold a rollout where it is; what breaks a rule is rolled back all the same."""
    _decide(model, "pause", by, reason)
    _say(model, json)


@rollout.command()
def resume(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Let a rollout that was paused go on."""
    _decide(model, "resume", by, reason)
    _say(model, json)


@rollout.command()
def abort(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Give a candidate up: the version that answers goes on."""
    _decide(model, "abort", by, reason)
    _say(model, json)


@rollout.command()
def rollback(
    model: Model,
    by: By,
    reason: Reason,
    to: Annotated[int, typer.Option("--to", min=0, help="The version; 0: the one that answered before.")] = 0,
    json: Json = None,
) -> None:
    """Let a version that answered before answer again; it needs no verdict of today."""
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline.answering import roll_back

    version, url = roll_back(_workspace(), declared_model(model), Run.new(), by=by, reason=reason, to=to)
    say(f"version {version.version} answers at {url}")
    _say(model, json)


@rollout.command()
def history(model: Model, json: Json = None) -> None:
    """Every change of the rollout record: when, who, what, why."""
    from ml_platform.cli import screen

    workspace = _workspace()
    changes = workspace.rollouts.history(declared_model(model))
    table = screen.table("revision", "at", "by", "change", "stable", "candidate", "share", "why")
    for change in changes:
        stable = change.stable.version if change.stable else change.after
        table.add_row(
            str(change.revision),
            change.at[:19],
            change.who,
            change.action,
            str(stable or "-"),
            str(change.candidate.version) if change.candidate else "-",
            f"{change.weight} %" if change.candidate else "-",
            change.why,
        )
    screen.console().print(table)
    for line in _doubts(workspace, model):
        say(line)
    written(json, [change.model_dump(mode="json") for change in changes])


def withdraw(model: Model, by: By, reason: Reason) -> None:
    """Take the service of a model down, without another in its place; its address stays its own."""
    _decide(model, "withdraw", by, reason)
    say(f"{model} is withdrawn by {by}: {reason}; ml-platform rollout start {model} lets it answer again")


def serve(
    detach: Annotated[bool, typer.Option("--detach", help="In the background, with a log that is rotated.")] = False,
) -> None:
    """Keep the services of every rollout record running, and carry rollouts out; in the foreground.

    Where it ends, services go on: `ml-platform stop` ends them.
    """
    from ml_platform.foundation.settings import get_settings

    settings = get_settings()
    if detach:
        from ml_platform.rollout.control import ensure_running

        state = ensure_running(settings)
        say(f"the supervisor runs (pid {state.pid}); it logs to {settings.local / 'rollout' / 'logs'}")
        return
    import logging

    from ml_platform.rollout.supervisor import supervise

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    supervise(settings)


def _decide(model: str, what: "Decision", by: str, reason: str) -> None:
    from ml_platform.pipeline.rollout import decide

    if untold := decide(_workspace(), declared_model(model), what, by=by, reason=reason):
        say(f"{model}: it is done, and will be told to ledger and registry by the next command: {untold}")


def _workspace() -> Any:
    from ml_platform.pipeline.workspace import Workspace

    return Workspace()


def copies_said(workspace: Any, record: Any) -> list[str]:
    """What gates on copies of requests would say now, a line each, after why the supervisor believes none of it."""
    from ml_platform.rollout.processes import read_state
    from ml_platform.rollout.shadow import compare

    if not record.compares:
        return []
    route = read_state(workspace.settings).routes.get(record.model)
    doubt = [f"{record.model}: {route.error}"] if route is not None and route.error else []
    try:
        return doubt + [f"gate {one.reason}: {one.status}" for one in compare(workspace.settings, record)]
    except PlatformError as error:
        return [*doubt, f"{record.model}: the answers to copies cannot be compared: {error}"]


def _doubts(workspace: Any, model: str) -> list[str]:
    """What the record tells and the platform did not do, a line each."""
    from ml_platform.pipeline.rollout import unfounded

    try:
        return unfounded(workspace, model)
    except PlatformError as error:
        # The record says what answers, also while ledger or registry are away.
        return [f"{model}: whether that was promoted is not known: {error}"]


def _say(model: str, json: Any) -> None:
    """Print where a model's rollout stands."""
    from ml_platform.pipeline.answering import answering, under_way
    from ml_platform.rollout.processes import read_state

    workspace = _workspace()
    record = workspace.rollouts.load(declared_model(model))
    _, url, phase = answering(read_state(workspace.settings), model)
    stable = record.stable.said if record.stable else "no version"
    say(f"{model}: {stable}: {phase}{f' at {url}' if url else ''}")
    doubts = _doubts(workspace, model)
    for line in [*doubts, *filter(None, [under_way(record)]), *copies_said(workspace, record)]:
        say(line)
    if record.change is not None:
        say(f"last change: {record.change.action} by {record.change.who}: {record.change.why}")
    written(json, {**record.model_dump(mode="json"), "url": url, "phase": phase, "unfounded": doubts})
