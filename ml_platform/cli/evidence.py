"""``ml-platform evidence``: what somebody else needs to judge a version, in one folder."""

from pathlib import Path
from typing import Annotated

import typer

from ml_platform.cli.output import Json, declared_model, say, written


def evidence(
    target: Annotated[str, typer.Argument(help="MODEL@VERSION; MODEL alone: its champion.", metavar="MODEL@VERSION")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; made where it is not there.")],
    json: Json = None,
) -> None:
    """Write the technical documentation (EU AI Act, Annex IV), bill of materials and signed statements of a version."""
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline import champions
    from ml_platform.pipeline import evidence as packs
    from ml_platform.pipeline.rollout import catch_up
    from ml_platform.pipeline.workspace import Workspace
    from ml_platform.registry.registry import CHAMPION

    catalogue = project_catalogue()
    model, _, which = target.partition("@")
    workspace = Workspace.reading()
    context = ModelContext.of(catalogue, declared_model(model, catalogue))
    catch_up(workspace, [model])
    version = champions.find(workspace, model, which or CHAMPION)
    pack = packs.write(workspace, context, version, out)
    signed = f"signed with {pack.key}" if pack.key else "unsigned: ML_PLATFORM_LEDGER_KEY is not set"
    say(f"{model} version {version.version}: {len(pack.files)} files in {out}; {pack.statements} statements, {signed}")
    say(f"{len(pack.wanted)} items of the documentation wait for people:")
    for item in pack.wanted:
        say(f"  {item.number} {item.title}: {item.wanted}")
    facts = {"model": model, "version": version.version, "folder": str(out), "files": pack.files, "key": pack.key}
    written(json, {**facts, "statements": pack.statements, "wanted": [item._asdict() for item in pack.wanted]})
