"""``ml-platform why``: one answer about what is refused, stale, not live or not trained again."""

from typing import Annotated

import typer

from ml_platform.cli.output import Json, say, written


def why(
    name: Annotated[str, typer.Argument(help="DATASET, DATASET/PARTITION, MODEL, MODEL@VERSION or MODEL/deployment.")],
    json: Json = None,
) -> None:
    """Why something is refused, stale, not live or not trained again, and the command that comes next."""
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.rollout import catch_up
    from ml_platform.pipeline.why import why as explained
    from ml_platform.pipeline.workspace import Workspace

    workspace, catalogue = Workspace(), project_catalogue()
    owner = name.partition("/")[0].partition("@")[0]
    models = {owner} & catalogue.models.keys()
    workspace.require_whole(models, {owner} & catalogue.datasets.keys())
    catch_up(workspace, models)
    answer = explained(workspace, catalogue, name)
    say(*answer.lines, sep="\n")
    written(json, answer._asdict())
