"""``ml-platform score``: partitions, as a run of the asset ``<model>/scores``, or a table, by what answers."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_platform.cli.output import BadUsage, Json, declared_model, say, written


def score(
    model: Annotated[str, typer.Argument(help="The model.")],
    first: Annotated[str, typer.Option("--from", help="First partition; default: the newest published one.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last partition; default: the first.")] = "",
    table: Annotated[
        str, typer.Option("--table", help="Score the rows of this CSV or Parquet file (any address of fsspec) instead.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="With --table: a Parquet file for them, too.")] = None,
    json: Json = None,
) -> None:
    """Score published partitions, or a table, by the version that answers; the Parquet files are in the store, on
    branch `scores`.

    1 where nothing was scored, or one partition was refused.
    """
    if table:
        if first or last:
            raise BadUsage("--table: the rows of a table are no partitions; leave --from and --to out")
        return _score_table(declared_model(model), table, out, json)
    if out is not None:
        raise BadUsage("--out: only with --table; scores of partitions are in the store")
    raise typer.Exit(_score(declared_model(model), first, last, json))


def _score(model: str, first: str, last: str, json: Path | None) -> int:
    import dagster as dg

    from ml_platform.cli import run, screen
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.errors import PlatformError
    from ml_platform.foundation.processes import process_identity
    from ml_platform.foundation.settings import default_home
    from ml_platform.orchestration.runs import PROCESS, RANGE_END, RANGE_START
    from ml_platform.pipeline import scores
    from ml_platform.pipeline.materializer import materializer_of
    from ml_platform.pipeline.workspace import Workspace

    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    console, workspace, catalogue = screen.console(), Workspace(), project_catalogue()
    context = ModelContext.of(catalogue, model)
    known = materializer_of(workspace, context.feature_set, context.dataset).published_partitions()
    first = first or (known[-1] if known else "")
    last = last or first
    if wrong := [name for name in (first, last) if name not in known]:
        raise PlatformError(
            f"{context.dataset.name}: {wrong[0] or 'no partition'} is not published; "
            f"published: {', '.join(known) or 'none'}"
        )
    wanted = [name for name in known if first <= name <= last]
    tags = {RANGE_START: first, RANGE_END: last, PROCESS: process_identity()}
    with run.only_one(workspace), dg.DagsterInstance.get() as instance:
        run_id, _ = run.execute_job(instance, f"{model}_scores", tags, catalogue, console, time.monotonic())
    asset = scores.key_of(model)
    done: dict[str, Any] = {}
    for name in sorted(set(workspace.references.partitions(asset)) & set(wanted)):
        if workspace.references.load(asset, name).run_id == run_id:
            done[name] = scores.at(workspace, model, name)
    _print(done)
    written(json, done)
    return 0 if done.keys() == set(wanted) else 1


def _score_table(model: str, where: str, out: Path | None, json: Path | None) -> None:
    from ml_platform.datasets import batches
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.parquet import write_frame
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline import scores, table_scores
    from ml_platform.pipeline.workspace import Workspace

    workspace, context = Workspace(), ModelContext.of(project_catalogue(), model)
    workspace.require_whole({model})
    ref = table_scores.score(workspace, context, where, Run.new())
    if out is not None:
        write_frame(batches.read(workspace.store, ref), out)
    done = {ref.partition: scores.at(workspace, model, ref.partition)}
    _print(done)
    say(f"ml-platform trace {ref.dataset}/{ref.partition} says what they were made from")
    written(json, done)


def _print(done: dict[str, Any]) -> None:
    from ml_platform.cli import screen

    table = screen.table("partition", "rows", "version", "content", "commit", "path")
    for name, one in done.items():
        table.add_row(
            name, str(one["rows"]), str(one["version"]), one["sha256"][:12], one["commit"][:12], str(one["path"])
        )
    screen.console().print(table)
