"""Commands and how they end: 0 done, 1 refused or failed, 2 bad usage. A mistake is one line, no traceback."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_platform.errors import PlatformError

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)
ledger = typer.Typer(no_args_is_help=True, help="The record of every verdict and decision.")
cli.add_typer(ledger, name="ledger")

Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this JSON file.")]


def app() -> None:
    """Entry point of the console script."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        sys.exit(cli(arguments, standalone_mode=True))
    except PlatformError as error:
        if debug:
            raise
        print(f"ml-platform: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("ml-platform: interrupted", file=sys.stderr)
        sys.exit(130)


@cli.command()
def run(
    first: Annotated[str, typer.Option("--from", help="First partition; default: the first at the source.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last partition; default: the newest at the source.")] = "",
    json: Json = None,
) -> None:
    """Take everything from the source to a served prediction, in one run, and show what came out."""
    from ml_platform.cli.run import run_loop

    raise typer.Exit(run_loop(first, last, json))


@cli.command()
def validate() -> None:
    """Check every declaration; one line with file, key and reason for each mistake."""
    from ml_platform.cli.validate import validate_project

    raise typer.Exit(validate_project())


@cli.command()
def check(
    model: Annotated[str, typer.Option("--model", help="Only this model and what it stands on.")] = "",
    json: Json = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
) -> None:
    """Apply every gate to the current content; exit 1 where a blocking one fails, errs or has nothing to judge."""
    from ml_platform.cli.check import check_project

    raise typer.Exit(check_project(model, json, junit))


@cli.command()
def trace(
    target: Annotated[str, typer.Argument(help="MODEL, MODEL@ALIAS or MODEL@VERSION.")], json: Json = None
) -> None:
    """Follow a service back to version, MLflow run, manifest, dataset commits, code and every verdict."""
    from ml_platform.cli.trace import trace_model

    trace_model(target, json)


@cli.command()
def predict(
    model: str,
    rows: Annotated[Path | None, typer.Option("--rows", help='JSON file: {"rows": [...]} or a list of rows.')] = None,
    partition: Annotated[str, typer.Option(help="Take rows of this published partition; default: the newest.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rows of the partition.")] = 1,
) -> None:
    """Ask the live service of a model."""
    from ml_platform.cli.services import predict_rows

    predict_rows(model, rows, partition, limit)


@cli.command()
def status(json: Json = None) -> None:
    """What is published, registered and live."""
    from ml_platform.cli.services import show_status

    show_status(json)


@cli.command()
def serve() -> None:
    """Keep the services of every rollout record running, in the foreground."""
    from ml_platform.rollout.supervisor import supervise
    from ml_platform.settings import get_settings

    supervise(get_settings())


@cli.command()
def stop() -> None:
    """Stop every service and the supervisor."""
    from ml_platform.cli.services import stop_everything

    stop_everything()


@cli.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web server.")] = 3000,
    stop: Annotated[bool, typer.Option("--stop", help="Stop web server and daemon instead.")] = False,
) -> None:
    """Start Dagster's web server and daemon on this installation's storage."""
    from ml_platform import ui as dagster_ui
    from ml_platform.settings import get_settings

    if stop:
        print("stopped the UI" if dagster_ui.stop(get_settings()) else "the UI does not run")
    else:
        print(f"Dagster UI: {dagster_ui.start(get_settings(), port)}")


@ledger.command("verify")
def ledger_verify() -> None:
    """Recompute the hash chain."""
    from ml_platform.workspace import Workspace

    workspace = Workspace()
    count = workspace.ledger.verify()
    print(f"{count} entries, unbroken; head {workspace.ledger.head()[:16]}")


@ledger.command("log")
def ledger_log(
    subject: Annotated[str, typer.Option(help="Name (may end in %) or hash of what was judged.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 30,
    json: Json = None,
) -> None:
    """Show the newest entries."""
    from ml_platform.cli.ledger import show_log

    show_log(subject, limit, json)


def written(path: Path | None, value: Any) -> None:
    """Write ``value`` as JSON where a file was asked for."""
    import json

    from ml_platform.files import write_atomic

    if path is not None:
        write_atomic(path.resolve(), json.dumps(value, indent=1, default=str) + "\n")
