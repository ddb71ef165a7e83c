"""Who judges which stage of a model; a candidate that is held back is thereby rejected."""

from collections.abc import Callable

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline import approval, refit_verdicts, release, training
from ml_platform.pipeline.evaluation import judge_model
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, ReportRef


def inspect_evaluation(workspace: Workspace, context: ModelContext, ref: ReportRef, run: Run) -> list[Verdict]:
    """Judge an evaluation and write the verdicts on the model file to the ledger.

    A candidate that they hold back is thereby rejected: that is a result, and is kept as a decision.
    """
    verdicts = judge_model(workspace, context, ref.model_ref, run)
    gates, name = model_gates(workspace, context, "evaluation"), f"{ref.model}/model"
    try:
        workspace.ledger.require(ref.model_ref.sha256, gates, subject_name=name)
    except Refused as refusal:
        approval.reject(workspace, ref.model_ref, refusal, verdicts, run)
    return verdicts


def inspect_refit(workspace: Workspace, context: ModelContext, ref: ModelRef, run: Run) -> list[Verdict]:
    """Judge a refit and write the verdicts on its file to the ledger; as of a candidate, what they hold back is
    rejected."""
    verdicts = refit_verdicts.judge(workspace, context, ref, run)
    try:
        workspace.ledger.require(
            ref.sha256, model_gates(workspace, context, "refit"), subject_name=f"{ref.model}/refit"
        )
    except Refused as refusal:
        approval.reject(workspace, ref, refusal, verdicts, run)
    return verdicts


#: Stages of a model that have gates (named as their assets are), and what judges them.
INSPECTIONS: dict[Stage, Callable[..., list[Verdict]]] = {
    "split": training.inspect_split,
    "evaluation": inspect_evaluation,
    "refit": inspect_refit,
    "service": release.inspect_service,
    "deployment": release.inspect_deployment,
}
