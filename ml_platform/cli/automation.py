"""``pause``, ``resume``, ``train``, ``skip``: a person's hand on what runs by itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import By, Json, Reason, say, written

if TYPE_CHECKING:
    from ml_platform.pipeline.automation import Action

Name = Annotated[str, typer.Argument(help="Dataset or model; default: everything.")]
Model = Annotated[str, typer.Argument(help="The model.")]


def pause(by: By, reason: Reason, name: Name = "everything", json: Json = None) -> None:
    """Let sensors leave a dataset or model alone from now on; what is under way ends as it would.

    Kept in the ledger: it holds in every process, at once, until `resume`.
    """
    _act("pause", name, by, reason, json)


def resume(by: By, reason: Reason, name: Name = "everything", json: Json = None) -> None:
    """Let sensors look after a dataset or model again."""
    _act("resume", name, by, reason, json)


def train(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Have a model trained at the sensors' next tick, whatever its `retrain` says of limits and refusals."""
    _act("train", model, by, reason, json)


def skip(model: Model, by: By, reason: Reason, json: Json = None) -> None:
    """Have a model not trained on the data of now; other data, or `train`, ends that."""
    _act("skip", model, by, reason, json)


def _act(action: "Action", name: str, by: str, reason: str, json: Json) -> None:
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.automation import act
    from ml_platform.pipeline.workspace import Workspace

    said = act(Workspace(), project_catalogue(), action, name, by=by, reason=reason)
    say(said)
    written(json, {"action": action, "name": name, "by": by, "reason": reason, "said": said})
