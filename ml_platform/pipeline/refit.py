"""The model that passed, trained once more by the same recipe on everything up to the newest label."""

from collections.abc import Callable

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import recorded_trainings
from ml_platform.pipeline.evaluation import require_model
from ml_platform.pipeline.predictors import require_code
from ml_platform.pipeline.refit_verdicts import require_recipe
from ml_platform.pipeline.training import recipes_of, require_split, train
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, ReportRef
from ml_platform.training.split import refitted


def refit(
    workspace: Workspace,
    context: ModelContext,
    report: ReportRef,
    run: Run,
    *,
    known: Callable[[ModelRef], bool] | None = None,
) -> ModelRef:
    """Train the evaluated model's recipe on all that it was trained and judged on; an equal training is adopted, where
    the ledger names it or it is ``known`` otherwise.

    Raises Refused by name unless split and model passed every gate, and where the recipe of now is another than that
    of the model.
    """
    judged = report.model_ref
    require_split(workspace, context, judged.split, run)
    require_model(workspace, context, judged, run)
    made_by = _require_recipe_of_now(workspace, context, judged)
    manifest = refitted(judged.split, context.model.split)
    manifest = manifest.model_copy(update={"run_id": run.id, "provenance": run.provenance})
    found = train(
        workspace,
        context,
        manifest,
        run,
        known=lambda one: one.judged == judged and (known(one) if known else recorded_trainings.known(workspace, one)),
        recipe=made_by,
        judged=judged,
    )
    require_recipe(context, found)
    return found


def _require_recipe_of_now(workspace: Workspace, context: ModelContext, judged: ModelRef) -> str:
    """The recipe of a judged model; raises Refused where that of now is another."""
    require_code(judged)
    now = recipes_of(workspace, context)
    if judged.recipe in (one.sha256 for one in now):
        return judged.recipe
    if not judged.recipe:
        # It was trained before a refit was declared: by this recipe, where its training would be adopted now.
        keys = [one.key(judged.split) for one in now]
        if any(one.info.run_id == judged.mlflow_run_id for one in workspace.tracking.trained(judged.model, *keys)):
            return now[0].sha256
    raise Refused(
        f"{judged.model} ({judged.sha256[:12]}) was trained by another recipe (parameters, trainer, or versions of "
        f"libraries) than that of now; train it again (job {judged.model}_train)",
        because="another recipe",
    )
