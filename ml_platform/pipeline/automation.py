"""A person's hand on what runs by itself: pause, resume, train now, skip this one. Kept in the ledger, so that it holds
at once, in every process, and without a restart."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.names import meant
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import AUTOMATION
from ml_platform.pipeline import training
from ml_platform.pipeline.loosening import require_person
from ml_platform.pipeline.workspace import Workspace

#: Stands for every dataset and model.
EVERYTHING = "everything"

Action = Literal["pause", "resume", "train", "skip"]


class Order(NamedTuple):
    """What a person wants of one training."""

    #: Number of the entry, which names the order.
    sequence: int
    #: Who wants what, and why.
    said: str


def act(workspace: Workspace, catalogue: Catalogue, action: Action, name: str, *, by: str, reason: str) -> str:
    """Note what a person wants; returns what follows, in a sentence. ``name``: dataset, model or :data:`EVERYTHING`.

    A pause ends nothing that is under way. Raises PlatformError without a name or a reason, for a name that is not
    declared, and for a training to skip where none could be begun.
    """
    require_person(f"{action} of {name}", by, reason)
    known = sorted(catalogue.models if action in ("train", "skip") else {**catalogue.datasets, **catalogue.models})
    if name not in known and (action in ("train", "skip") or name != EVERYTHING):
        what = "model" if action in ("train", "skip") else "dataset or model"
        raise PlatformError(f"{action}: there is no {what} {name!r}; declared: {', '.join(known)}{meant(name, known)}")
    run = Run.new()
    body: dict[str, Any] = {"action": action, "by": by, "because": reason}
    subject = sha256_bytes(name)
    if action == "skip":
        context = ModelContext.of(catalogue, name)
        features = workspace.references.all(context.feature_set.key)
        body["split"] = subject = training.split(workspace, context, features, run).sha256
    if action == "train" and (before := [one for one in _entries(workspace, name) if one.body["action"] == "train"]):
        # An order that was carried out does not stand for the next one in the same words.
        body["after"] = before[-1].sequence
    workspace.ledger.decide(
        AUTOMATION,
        subject=subject,
        subject_name=f"{name}/{AUTOMATION}",
        body=body,
        run_id=run.id,
        provenance=run.provenance,
    )
    return {
        "pause": f"{name} is paused: sensors leave it alone; ml-platform resume ends that",
        "resume": f"{name} goes on at the next tick of the sensors",
        "train": f"{name} is trained at the next tick of the sensor new_data, whatever limits its retraining; where no "
        f"daemon runs, launch {name}_train",
        "skip": f"{name} is not trained on the data of now; other data, or ml-platform train, ends that",
    }[action]


def paused(workspace: Workspace, catalogue: Catalogue) -> dict[str, str]:
    """Datasets and models that are to be left alone, each with who says so. Raises SettingsMistake."""
    found = dict.fromkeys(catalogue.paused(workspace.settings.paused), "paused by ML_PLATFORM_PAUSED")
    every = _paused(workspace, EVERYTHING)
    for name in (*catalogue.datasets, *catalogue.models):
        if said := _paused(workspace, name):
            found[name] = f"{said}; ml-platform resume {name} lets it go on"
        elif every:
            found[name] = f"{every}; ml-platform resume lets everything go on"
    return found


def ordered(workspace: Workspace, model: str) -> Order | None:
    """The newest wish to train a model now, whether it was carried out or not."""
    entries = [one for one in _entries(workspace, model) if one.body["action"] == "train"]
    return Order(entries[-1].sequence, f"train now, wanted by {_who(entries[-1])}") if entries else None


def skipped(workspace: Workspace, model: str, split: str) -> str:
    """Who wants no training on exactly this split, and why; empty where nobody does."""
    entries = [one for one in _entries(workspace, model) if one.body.get("split") == split]
    return f"skipped by {_who(entries[-1])}" if entries else ""


def _paused(workspace: Workspace, name: str) -> str:
    entries = [one for one in _entries(workspace, name) if one.body["action"] in ("pause", "resume")]
    return f"paused by {_who(entries[-1])}" if entries and entries[-1].body["action"] == "pause" else ""


def _who(entry: Entry) -> str:
    return f"{entry.body['by']} ({entry.body['because']})"


def _entries(workspace: Workspace, name: str) -> Sequence[Entry]:
    return workspace.ledger.entries(subject_name=f"{name}/{AUTOMATION}", kind=AUTOMATION)
