"""Which evaluations of a model were measured here, by the ledger: artifacts are files that anybody can edit."""

from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import MEASUREMENT, VERDICT
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation
    from ml_platform.ledger.chain import Entry

#: Name of the evaluation among the contents that an entry on a model names.
EVALUATION = "evaluation"


def note(workspace: Workspace, reference: ModelRef, content: str, run: Run) -> None:
    """Let the ledger name an evaluation, by the sha256 of its content; once, however often it is measured."""
    if content not in measured(workspace, reference):
        workspace.ledger.decide(
            MEASUREMENT,
            subject=reference.sha256,
            subject_name=_name(reference),
            body={EVALUATION: content, "manifest": reference.manifest_sha256},
            run_id=run.id,
            provenance=run.provenance,
        )


def measured(workspace: Workspace, reference: ModelRef) -> set[str]:
    """sha256 of every evaluation of a model that the platform made, as the ledger has them.

    Earlier releases name them in the verdicts that were given on them, and nowhere else; the first ones not at all.
    """
    return _named(_entries(workspace, reference))


def _named(entries: "list[Entry]") -> set[str]:
    noted = {one.body.get(EVALUATION) for one in entries if one.kind == MEASUREMENT}
    judged = {one.body.get("compared", {}).get(EVALUATION) for one in entries if one.kind == VERDICT}
    return {one for one in noted | judged if one}


def kept(workspace: Workspace, reference: ModelRef) -> "Evaluation":
    """The evaluation of a model as MLflow keeps it, in whatever context it was measured, to be shown or compared.

    Of a model that was judged before the ledger named evaluations there is nothing to hold it against; no verdict of
    that time allows anything now. Raises MissingReference where there is none, PlatformError for one that the ledger
    does not name.
    """
    from ml_platform.registry import evaluations

    found, entries = evaluations.load(workspace.tracking, reference), _entries(workspace, reference)
    known = _named(entries)
    early = not known and any(one.kind == VERDICT for one in entries)
    if evaluations.content(found) not in known and not early:
        raise PlatformError(
            f"{reference.model} ({reference.sha256[:12]}): the ledger names no such evaluation as MLflow has of it; "
            f"materialize {reference.model}/evaluation again"
        )
    return found


def _entries(workspace: Workspace, reference: ModelRef) -> "list[Entry]":
    return workspace.ledger.entries(subject=reference.sha256, subject_name=_name(reference))


def _name(reference: ModelRef) -> str:
    return f"{reference.model}/model"
