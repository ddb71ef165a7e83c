"""``ml-platform live``: how good the answers of a model were, as far as it is known what came of them."""

from typing import Annotated, Any

import typer

from ml_platform.cli.output import Json, declared_model, written

#: Windows that are shown.
SHOWN = 12


def live(model: Annotated[str, typer.Argument(help="The model.")], json: Json = None) -> None:
    """How good the answers of a model were, window by window, beside what its evaluation showed, and what it was asked.

    As the assets `<model>/live_performance` and `live_drift` measured it last: the sensor `live` has it done as days
    end and labels come.
    1 where the newest window of the version that answers is below its evaluation.
    """
    raise typer.Exit(_live(declared_model(model), json))


def _live(model: str, json: Json) -> int:
    from ml_platform.cli import screen
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.live.performance import judged_metrics
    from ml_platform.pipeline import live_drift, performance
    from ml_platform.pipeline.workspace import Workspace

    workspace, console = Workspace.reading(), screen.console()
    context = ModelContext.of(project_catalogue(), model)
    windows, now = performance.known(workspace, model), performance.statement(workspace, model)
    judged = judged_metrics(context.model.kind())
    table = screen.table("window", "version", "predictions", "labelled", *judged, "")
    for one in windows[-SHOWN:]:
        found = [one.metrics.get(name) for name in judged]
        shown = [f"{each.value:.3f} [{each.lower:.3f}, {each.upper:.3f}]" if each else "-" for each in found]
        table.add_row(one.window, str(one.version), f"{one.predictions:,}", f"{one.share:.0%}", *shown, one.status)
    console.print(table)
    console.print(f"{model}: {now.said}", markup=False, soft_wrap=True, highlight=False)
    drift = live_drift.statement(workspace, model)
    console.print(f"{model}, asked: {drift.said}", markup=False, soft_wrap=True, highlight=False)
    told: dict[str, Any] = {
        "model": model,
        "newest": now._asdict(),
        "fallen": performance.fallen(workspace, context),
        "drift": drift._asdict(),
        "drift_windows": [one.model_dump(mode="json") for one in live_drift.known(workspace, model)],
        "windows": [one.model_dump(mode="json") for one in windows],
    }
    written(json, told)
    return 1 if now.status == "below" else 0
