"""From an evaluated model, or its refit, to a registered version."""

from functools import partial

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import anchors, approval, cards, recorded_trainings, recorded_versions, refit_verdicts
from ml_platform.pipeline.evaluation import compare_with_champion, evaluation_of
from ml_platform.pipeline.loosening import require_accepted
from ml_platform.pipeline.training import require_split
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, ReportRef, VersionRef


def register(
    workspace: Workspace,
    context: ModelContext,
    report: ReportRef,
    run: Run,
    refitted: ModelRef | None = None,
    *,
    compared: bool = False,
) -> VersionRef:
    """Register the evaluated model, or its refit where one is declared; raises Refused by name where a verdict on
    either does not allow that, or where a person approves and gates are looser than the champion's.

    The approval is automatic where the settings say so; otherwise the version waits as ``pending``. What a person
    rejected stays rejected. Refused is a refit of another model than was evaluated, too. ``compared``: it was evaluated
    beside the champion of now, which is another registry's.
    """
    reference, judged = refitted or report.model_ref, report.model_ref
    if reference.evaluated != judged or (refitted is None and context.model.split.refit):
        made = "was never made" if refitted is None else "is of another model than was evaluated"
        raise Refused(
            f"{judged.model}/refit {made} (evaluated: {judged.sha256[:12]}); materialize {judged.model}/refit again",
            because=f"a refit that {made}",
        )
    recorded_trainings.require(workspace, reference, run)
    if not compared:
        compare_with_champion(workspace, context, judged, run)
    try:
        require_split(workspace, context, judged.split, run)
        verdicts = refit_verdicts.require(workspace, context, reference, run)
    except Refused as refusal:
        about = {"split": judged.split.sha256, "model": judged.sha256, "refit": reference.sha256}
        found = workspace.ledger.judged({f"{judged.model}/{stage}": sha256 for stage, sha256 in about.items()})
        verdicts = [verdict for one in found.values() for verdict in one.values()]
        approval.reject(workspace, reference, refusal, verdicts, run)
        raise
    require_accepted(workspace, context)
    outcome = approval.admit(workspace, context, reference, run)
    card = cards.render(
        context,
        reference,
        evaluation_of(workspace, context, judged, run),
        verdicts,
        approval.told(workspace, reference),
    )
    anchor, before = workspace.ledger.anchor(), dict(workspace.registry.tags(reference.model))
    version = workspace.registry.register(
        reference,
        approval=outcome,
        ledger_head=anchor.head,
        tags={"ml_platform.report": report.uri, "dagster_run_id": run.id, **anchors.tags(anchor)},
        card_markdown=card,
        known=partial(recorded_trainings.known, workspace),
    )
    recorded_versions.note(workspace, version, run, new=version.version not in before)
    if not cards.named(workspace, version):
        # New, or of an earlier release.
        cards.keep(workspace, version, card, run)
    for one in workspace.registry.versions(reference.model):
        cards.mend(workspace, context, one, approval.told(workspace, one.model_ref), run)
    return version
