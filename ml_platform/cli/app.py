"""Commands and how they end: 0 done, 1 refused or failed, 2 bad usage. A mistake is one line, no traceback."""

import gc
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ml_platform.cli.alerts import try_channels
from ml_platform.cli.automation import pause, resume, skip, train
from ml_platform.cli.backup import backup, prune, restore
from ml_platform.cli.data import data
from ml_platform.cli.demo import demo
from ml_platform.cli.estimate import estimate
from ml_platform.cli.evidence import evidence
from ml_platform.cli.gates import gates
from ml_platform.cli.ledger import ledger
from ml_platform.cli.live import live
from ml_platform.cli.new import new
from ml_platform.cli.output import (
    HELPS,
    BadUsage,
    By,
    Json,
    OnlyDatasets,
    OnlyModels,
    Reason,
    Version,
    only_json,
    say,
    supervised,
)
from ml_platform.cli.proofs import prove, suggest
from ml_platform.cli.rollout import rollout, serve, withdraw
from ml_platform.cli.score import score
from ml_platform.cli.ui import ui
from ml_platform.cli.why import why
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.project import read_env_file
from ml_platform.foundation.raised import explained
from ml_platform.foundation.settings import get_settings

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=HELPS)
cli.add_typer(ledger, name="ledger")
cli.add_typer(data, name="data")
cli.add_typer(rollout, name="rollout")
cli.command()(new)
cli.command()(gates)


def app() -> None:
    """Entry point of the console script."""
    # Objects between two collections (Python's own: 700): a command mostly loads libraries, which leave no garbage.
    gc.set_threshold(10_000)
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with only_json(arguments):
            sys.exit(cli(arguments, prog_name="ml-platform", standalone_mode=True))
    except PlatformError as error:
        if debug:
            raise
        say(f"ml-platform: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadUsage) else 1)
    except Exception as error:
        if debug or (told := explained(error)) is None:
            raise
        say(f"ml-platform: {told}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        say("ml-platform: interrupted", file=sys.stderr)
        sys.exit(130)


@cli.callback()
def main(
    context: typer.Context,
    version: Version = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a mistake, not only its line.")] = False,
) -> None:
    """From versioned data to a served model, with every gate on the way.

    Ends with 0: done, 1: refused or failed, 2: bad usage.
    """
    read_env_file()
    # Whatever the command reads of them: what was meant by a variable that nobody reads is never guessed.
    if not {*HELPS["help_option_names"]} & {*sys.argv}:
        supervised(get_settings(), context.invoked_subcommand or "")


@cli.command()
def run(
    first: Annotated[str, typer.Option("--from", help="First partition; default: the first at the source.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last partition; default: the newest at the source.")] = "",
    dataset: OnlyDatasets = None,
    model: OnlyModels = None,
    json: Json = None,
) -> None:
    """Take everything from the source to a served prediction, in one run, and show what came out."""
    from ml_platform.cli.run import run_loop

    raise typer.Exit(run_loop(first, last, json, datasets=dataset or (), models=model or ()))


@cli.command()
def validate(json: Json = None) -> None:
    """Check every declaration; one line with file, key and reason for each mistake."""
    from ml_platform.cli.validate import validate_project

    raise typer.Exit(validate_project(json))


@cli.command()
def check(
    dataset: OnlyDatasets = None,
    model: OnlyModels = None,
    json: Json = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write a comment for a pull request to this file.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="A row for each partition, passed ones too.")] = False,
    branch: Annotated[
        str,
        typer.Option(
            "--branch",
            help="Make the models anew from published data, with features on this branch of the store, and judge them.",
        ),
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the branch of --branch in the store.")] = False,
) -> None:
    """Apply every gate to the current content; exit 1 where a blocking one fails, errs or has nothing to judge.

    With --branch it is what the code here would make of the published data: for pull requests. Nothing is published,
    registered or deployed.
    """
    from ml_platform.cli.check import check_project

    raise typer.Exit(check_project(dataset or (), model or (), json, junit, markdown, every, branch, keep))


cli.command()(prove)
cli.command()(suggest)


@cli.command()
def trace(
    target: Annotated[str, typer.Argument(help="MODEL, MODEL@ALIAS, MODEL@VERSION or MODEL/scores/PARTITION.")] = "",
    from_dataset: Annotated[
        str, typer.Option("--from-dataset", help="The other way: what depends on this dataset commit, tag or content.")
    ] = "",
    request: Annotated[
        str, typer.Option("--request", help="Id of a request: its answer, and what it came from; MODEL is optional.")
    ] = "",
    at: Annotated[str, typer.Option("--at", help="The version of MODEL that answered at this ISO time.")] = "",
    json: Json = None,
) -> None:
    """Follow a service back to version, MLflow run, manifest, dataset commits, code and every verdict."""
    wrong = bool(from_dataset or at) if request else bool(target) == bool(from_dataset)
    if wrong or (at and not target):
        raise BadUsage("give a model, with --at TIME or not, --request with an id, or --from-dataset with a commit")
    if from_dataset:
        from ml_platform.cli.data import trace_from_dataset

        trace_from_dataset(from_dataset, json)
        return
    from ml_platform.cli import trace as traces

    if request:
        traces.trace_request(request, target, json)
    elif at:
        traces.trace_at(target, at, json)
    else:
        traces.trace_model(target, json)


@cli.command()
def approve(
    target: Annotated[str, typer.Argument(help="MODEL@VERSION, or MODEL@VERSION:SHA256 with its first digits.")],
    by: By,
    reason: Reason,
    json: Json = None,
) -> None:
    """Approve a registered version, so that it may be packaged and deployed; its gates must let it pass."""
    from ml_platform.cli.approve import decide

    decide(target, "approved", by, reason, json)


@cli.command()
def reject(
    target: Annotated[str, typer.Argument(help="MODEL@VERSION, or MODEL@VERSION:SHA256 with its first digits.")],
    by: By,
    reason: Reason,
    rollback: Annotated[
        bool | None,
        typer.Option(
            "--rollback/--no-rollback",
            help="Where the version answers: fail without one to go back to / leave it.",
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Reject a registered version: it is neither packaged nor deployed, whatever its gates say later.

    Where it answers, the version before it answers again; where there is none, the command says so.
    """
    from ml_platform.cli.approve import decide

    decide(target, "rejected", by, reason, json, rollback=rollback)


@cli.command()
def loosen(model: str, by: By, reason: Reason, json: Json = None) -> None:
    """Accept gates that are looser than those of the champion at its registration; asked for where a person approves.

    Holds for exactly the changes that the command shows.
    """
    from ml_platform.cli.approve import accept_looser_gates

    accept_looser_gates(model, by, reason, json)


@cli.command()
def override(
    gate: Annotated[str, typer.Argument(help="Name of the gate, as shown.")],
    subject: Annotated[str, typer.Argument(help="Hash of the content, or the name of what has it.")],
    by: By,
    reason: Reason,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How long it holds.")],
    json: Json = None,
) -> None:
    """Let exactly this content pass a gate that holds it back, for some days; shown everywhere as an override."""
    from ml_platform.cli.approve import override_gate

    override_gate(gate, subject, by, reason, days, json)


@cli.command()
def replay(
    target: Annotated[str, typer.Argument(help="MODEL@VERSION or MODEL@ALIAS.")],
    environment: Annotated[
        Literal["recorded", "present"],
        typer.Option(help="recorded: install the lock of the commit, once, where another is here; present: do not."),
    ] = "recorded",
    json: Json = None,
) -> None:
    """Rebuild a registered model from its manifest, code, lock and seed in a fresh process; 1 where it is not equal."""
    from ml_platform.cli.replay import replay_version

    raise typer.Exit(replay_version(target, environment, json))


@cli.command()
def predict(
    model: str,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help='File of rows: JSON ({"rows": [...]} or a list), or a table in CSV or Parquet.'),
    ] = None,
    partition: Annotated[str, typer.Option(help="Take rows of this published partition; default: the newest.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rows of the partition.")] = 1,
) -> None:
    """Ask the live service of a model."""
    from ml_platform.cli.services import predict_rows

    predict_rows(model, rows, partition, limit)


@cli.command()
def refresh(dataset: OnlyDatasets = None, model: OnlyModels = None, json: Json = None) -> None:
    """Let what answers read all outcomes that are known now, those of days of a partition under way included.

    A new process with the same package takes the place of the old one. 1 where a gate holds it back.
    """
    from ml_platform.cli.histories import refresh_histories

    raise typer.Exit(refresh_histories(dataset or (), model or (), json))


@cli.command()
def status(
    dataset: OnlyDatasets = None,
    model: OnlyModels = None,
    json: Json = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again whenever it changes, until Ctrl+C.")] = False,
) -> None:
    """What is published, registered and live."""
    from ml_platform.cli.status import show_status, watch_status

    if watch and json is not None:
        raise BadUsage("status: --watch shows it to people, --json writes it once; take one of them")
    chosen = (dataset or (), model or ())
    watch_status(*chosen) if watch else show_status(json, *chosen)


for added in (
    score,
    live,
    estimate,
    evidence,
    withdraw,
    pause,
    resume,
    train,
    skip,
    backup,
    restore,
    prune,
    why,
    serve,
    demo,
):
    cli.command()(added)


cli.command("test-alert")(try_channels)


@cli.command("serve-hooks")
def serve_hooks(
    install: Annotated[
        str, typer.Option("--install", help="Address at which lakeFS reaches this process; sets up its hook, once.")
    ] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: the first free one of ML_PLATFORM_PORTS.")] = 0,
) -> None:
    """Answer lakeFS before it merges into main: yes only where the ledger allows everything that would change."""
    from ml_platform.cli.hooks import serve_merge_hook

    serve_merge_hook(install, port)


@cli.command()
def stop() -> None:
    """Stop every service and the supervisor."""
    from ml_platform.cli.services import stop_everything

    stop_everything()


cli.command()(ui)
