"""From a trained model to a registered version: evaluate beside the champion, judge, register."""

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import anchors, approval
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.loosening import require_accepted
from ml_platform.pipeline.measuring import evaluate, evaluation_of, judge_model, require_model
from ml_platform.pipeline.model import require_split
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ReportRef, VersionRef

__all__ = ["evaluate", "inspect_evaluation", "model_card", "register"]


def inspect_evaluation(workspace: Workspace, context: ModelContext, ref: ReportRef, run: Run) -> list[Verdict]:
    """Judge an evaluation and write the verdicts on the model file to the ledger.

    A candidate that they hold back is thereby rejected: that is a result, and is kept as a decision.
    """
    verdicts = judge_model(workspace, context, ref.model_ref, run)
    gates, name = model_gates(workspace, context, "evaluation"), f"{ref.model}/model"
    try:
        workspace.ledger.require(ref.sha256, gates, subject_name=name)
    except Refused as refusal:
        approval.reject(workspace, ref.model, ref.sha256, refusal, verdicts, run)
    return verdicts


def model_card(workspace: Workspace, context: ModelContext, ref: ReportRef, verdicts: list[Verdict], run: Run) -> str:
    """The model card of an evaluated model, as Markdown."""
    from ml_platform.documents.model_card import render

    return render(
        evaluation_of(workspace, context, ref.model_ref, run),
        ref.model_ref,
        verdicts=verdicts,
        purpose=context.model.purpose or context.model.description,
        limits=context.model.limits,
        approvals=approval.table(approval.decisions(workspace, ref.model, ref.sha256)),
        owners=context.model.owners,
    )


def register(workspace: Workspace, context: ModelContext, report: ReportRef, run: Run) -> VersionRef:
    """Register the evaluated model; raises Refused by name where a verdict on it does not allow that, or
    where a person approves and gates are looser than the champion's.

    The approval is automatic where the settings say so; otherwise the version waits as ``pending``. What a person
    rejected stays rejected.
    """
    reference = report.model_ref
    try:
        require_split(workspace, context, reference.split, run)
        verdicts = require_model(workspace, context, reference, run)
    except Refused as refusal:
        about = {f"{report.model}/split": reference.split.sha256, f"{report.model}/model": report.sha256}
        judged = workspace.ledger.judged(about).values()
        verdicts = [verdict for found in judged for verdict in found.values()]
        approval.reject(workspace, report.model, report.sha256, refusal, verdicts, run)
        raise
    require_accepted(workspace, context)
    outcome = approval.admit(workspace, context, report, run)
    anchor = workspace.ledger.anchor()
    return workspace.registry.register(
        reference,
        approval=outcome,
        ledger_head=anchor.head,
        tags={"ml_platform.report": report.uri, "dagster_run_id": run.id, **anchors.tags(anchor)},
        card_markdown=model_card(workspace, context, report, verdicts, run),
    )
