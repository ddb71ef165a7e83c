"""``ml-platform estimate``: performance before outcomes come, as an estimate with its own back-test."""

from typing import Annotated

import typer

from ml_platform.cli.output import Json, declared_model, written


def estimate(model: Annotated[str, typer.Argument(help="The model.")], json: Json = None) -> None:
    """Estimate how the version that answers does where outcomes have not come; and how far off that was before.

    An estimate from how sure its outputs are: no measurement, and nothing is decided by it.
    """
    from ml_platform.cli import screen
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.estimating import estimate as estimated
    from ml_platform.pipeline.workspace import Workspace

    name, catalogue = declared_model(model), project_catalogue()
    found = estimated(Workspace.reading(), ModelContext.of(catalogue, name))
    table = screen.table("partition", "rows", "metric", "estimated", "measured later", "error")
    for row in found.table:
        shown = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("estimated", "actual", "error")]
        table.add_row(row["partition"], f"{row['rows']:,}", row["metric"], *shown)
    console = screen.console()
    console.print(table)
    console.print(found.text, soft_wrap=True, markup=False, highlight=False)
    written(
        json,
        {
            "model": found.model,
            "version": found.version,
            "estimates": found.table,
            "largest_error": found.off,
            "said": found.text,
        },
    )
