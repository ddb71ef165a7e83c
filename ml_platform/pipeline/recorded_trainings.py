"""Which trainings were done here, by the ledger: a model's reference is a file that anybody can edit, in MLflow too.

The sha256 of a model says nothing of what it was trained on: manifest, parameters, code and run are bound by the
ledger's entry on the training, and everything that goes on from a reference asks for it here.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import TRAINING, VERDICT
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef
from ml_platform.registry.tracking import MODEL_REF

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry

#: Names in its body: hashes of the references that were made; whether an earlier release made them.
REFERENCES, ADOPTED = "references", "adopted"


def content(reference: ModelRef) -> str:
    """sha256 of everything that a model's reference says, its manifest included.

    Without what has its default, so that a later field leaves the hash of an earlier reference alone.
    """
    return sha256_bytes(canonical_json(reference.model_dump(mode="json", exclude_defaults=True)))


def note(workspace: Workspace, reference: ModelRef, run: Run) -> None:
    """Let the ledger name a training, by the content of its reference; once."""
    if content(reference) not in _named(_entries(workspace, reference)):
        _write(workspace, reference, {REFERENCES: [content(reference)]}, run)


def known(workspace: Workspace, reference: ModelRef) -> bool:
    """Whether the ledger names this training, or would take it over as one of an earlier release."""
    return not doubt(workspace, reference)


def doubt(workspace: Workspace, reference: ModelRef) -> str:
    """Why a reference is not believed, with the way out; empty where it is :func:`known`."""
    return _doubt(_entries(workspace, reference), reference)


def require(workspace: Workspace, reference: ModelRef, run: Run) -> None:
    """:func:`require_known` by a step that may write: what an earlier release trained is named by the ledger then."""
    entries = _entries(workspace, reference)
    if why := _doubt(entries, reference):
        raise PlatformError(why)
    if _early(entries):
        # Once for a model, so with every reference to it that there is: no later one is taken for early any more.
        found = {content(one) for one in (reference, *_registered(workspace, reference))}
        _write(workspace, reference, {REFERENCES: sorted(found), ADOPTED: True}, run)


def require_known(workspace: Workspace, reference: ModelRef) -> None:
    """Raise PlatformError for a reference that is not as its training left it."""
    if why := doubt(workspace, reference):
        raise PlatformError(why)


def mend(workspace: Workspace, model: str) -> None:
    """Write references that were edited in MLflow again, from the copies here that are as the training left them."""
    for copy in _copies(workspace, model):
        if not known(workspace, copy):
            continue
        try:
            kept = workspace.tracking.model_ref(copy.mlflow_run_id)
        except PlatformError:
            # It is gone or cannot be read; so may be its run, which is no matter of this training.
            continue
        if kept != copy and not known(workspace, kept):
            workspace.tracking.log_artifact(copy.mlflow_run_id, MODEL_REF, copy.model_dump_json(indent=1))


def _copies(workspace: Workspace, model: str) -> Iterator[ModelRef]:
    """The references to trainings that are kept beside MLflow, each once."""
    found: dict[str, ModelRef] = {}
    for step in ("model", "evaluation", "refit", "registered_model"):
        try:
            ref: Any = workspace.references.load(f"{model}/{step}")
        except MissingReference:
            continue
        one: ModelRef = ref if step in ("model", "refit") else ref.model_ref
        found.setdefault(content(one), one)
    return iter(found.values())


def _registered(workspace: Workspace, reference: ModelRef) -> list[ModelRef]:
    return [one.model_ref for one in workspace.registry.of_model(reference.model, reference.sha256)]


def _doubt(entries: "list[Entry]", reference: ModelRef) -> str:
    if content(reference) in _named(entries) or _early(entries):
        return ""
    about = f"{reference.model} ({reference.sha256[:12]})"
    if not entries:
        return f"{about}: the ledger knows nothing of this model; name the ledger that does (ML_PLATFORM_LEDGER_URL)"
    return (
        f"{about}: the ledger names no training as its reference tells of (manifest, parameters, code or run were "
        f"edited); materialize {reference.model}/model again, or restore MLflow from a backup"
    )


def _early(entries: "list[Entry]") -> bool:
    """Whether an earlier release judged a model, which named no training, and nothing was taken over from it yet."""
    judged = min((one.sequence for one in entries if one.kind == VERDICT), default=None)
    noted = [one for one in entries if one.kind == TRAINING]
    # This release names a training before anything else is said of the model.
    return (
        judged is not None
        and all(judged < one.sequence for one in noted)
        and not any(one.body.get(ADOPTED) for one in noted)
    )


def _named(entries: "Iterable[Entry]") -> set[str]:
    return {one for entry in entries if entry.kind == TRAINING for one in entry.body[REFERENCES]}


def _entries(workspace: Workspace, reference: ModelRef) -> "list[Entry]":
    return workspace.ledger.entries(subject=reference.sha256, subject_name=_name(reference))


def _write(workspace: Workspace, reference: ModelRef, body: dict[str, Any], run: Run) -> None:
    workspace.ledger.decide(
        TRAINING,
        subject=reference.sha256,
        subject_name=_name(reference),
        body={**body, "manifest": reference.manifest_sha256, "mlflow_run": reference.mlflow_run_id},
        run_id=run.id,
        provenance=run.provenance,
    )


def _name(reference: ModelRef) -> str:
    return f"{reference.model}/model"
