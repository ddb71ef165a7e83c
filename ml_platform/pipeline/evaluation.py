"""From a trained model to a registered version: evaluate beside the champion, judge, register."""

from functools import partial

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import anchors, approval, cards, trained
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.loosening import require_accepted
from ml_platform.pipeline.measuring import evaluate, evaluation_of, judge_model, require_model
from ml_platform.pipeline.model import require_split
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ReportRef, VersionRef

__all__ = ["evaluate", "inspect_evaluation", "register"]


def inspect_evaluation(workspace: Workspace, context: ModelContext, ref: ReportRef, run: Run) -> list[Verdict]:
    """Judge an evaluation and write the verdicts on the model file to the ledger.

    A candidate that they hold back is thereby rejected: that is a result, and is kept as a decision.
    """
    verdicts = judge_model(workspace, context, ref.model_ref, run)
    gates, name = model_gates(workspace, context, "evaluation"), f"{ref.model}/model"
    try:
        workspace.ledger.require(ref.model_ref.sha256, gates, subject_name=name)
    except Refused as refusal:
        approval.reject(workspace, ref.model, ref.model_ref.sha256, refusal, verdicts, run)
    return verdicts


def register(workspace: Workspace, context: ModelContext, report: ReportRef, run: Run) -> VersionRef:
    """Register the evaluated model; raises Refused by name where a verdict on it does not allow that, or
    where a person approves and gates are looser than the champion's.

    The approval is automatic where the settings say so; otherwise the version waits as ``pending``. What a person
    rejected stays rejected.
    """
    reference = report.model_ref
    trained.require(workspace, reference, run)
    try:
        require_split(workspace, context, reference.split, run)
        verdicts = require_model(workspace, context, reference, run)
    except Refused as refusal:
        about = {f"{reference.model}/split": reference.split.sha256, f"{reference.model}/model": reference.sha256}
        judged = workspace.ledger.judged(about).values()
        verdicts = [verdict for found in judged for verdict in found.values()]
        approval.reject(workspace, reference.model, reference.sha256, refusal, verdicts, run)
        raise
    require_accepted(workspace, context)
    outcome = approval.admit(workspace, context, reference, run)
    card = cards.render(
        context,
        reference,
        evaluation_of(workspace, context, reference, run),
        verdicts,
        approval.told(workspace, reference.model, reference.sha256),
    )
    anchor = workspace.ledger.anchor()
    version = workspace.registry.register(
        reference,
        approval=outcome,
        ledger_head=anchor.head,
        tags={"ml_platform.report": report.uri, "dagster_run_id": run.id, **anchors.tags(anchor)},
        card_markdown=card,
        known=partial(trained.known, workspace),
    )
    if not cards.named(workspace, version):
        # New, or of an earlier release.
        cards.keep(workspace, version, card, run)
    for one in workspace.registry.versions(reference.model):
        cards.mend(workspace, context, one, approval.told(workspace, one.model, one.sha256), run)
    return version
