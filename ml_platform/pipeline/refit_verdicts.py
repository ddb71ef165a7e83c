"""Refits (:mod:`~ml_platform.pipeline.refit`) are judged: what passed, trained once more on all there is.

Its metrics nobody can know before new outcomes come. It is judged by what can be: it is of the recipe that was judged,
it says nearly the same as the judged model on the holdout, and it passes every gate that needs no outcomes.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.asked import Asked
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import judging, recorded_trainings
from ml_platform.pipeline.evaluation import (
    one_row_latency,
    options_of,
    require_declared,
    require_model,
    rival_of,
    trained_on,
    unseen_categories,
)
from ml_platform.pipeline.judging import judged as judge_by
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.predictors import loaded
from ml_platform.pipeline.replay import replay
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef
from ml_platform.training.split import SplitRule, refitted

if TYPE_CHECKING:
    from ml_platform.evaluation.refit import RefitEvaluation

#: Fields of a reference that are the recipe, beside its hash.
RECIPE = ("model", "task", "target", "classes", "features", "parameters", "seed", "trainer", "format", "code")


def judge(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> list[Verdict]:
    """Judge a refit by what it answers, and write the verdicts on its file to the ledger."""
    require_sound(workspace, context, reference, run)
    assert reference.judged is not None
    rival = rival_of(workspace, reference.judged)
    evidence = examined(workspace, context, reference, rival.model_ref if rival else None)
    compared = {"judged": reference.judged.sha256}
    if evidence.champion is not None:
        compared["champion"] = evidence.champion.sha256
    catalogue = Catalogue.of([context.dataset, context.feature_set, context.model])
    asked: Asked = {
        "one_row": partial(one_row_latency, workspace, reference),
        "replay": partial(replay, workspace, catalogue, reference),
        "first_trees": partial(trained_on, workspace, reference),
    }
    return judge_by(
        workspace,
        model_gates(workspace, context, "refit"),
        evidence,
        subject=reference.sha256,
        name=_name(reference),
        run=run,
        asked=asked,
        compared=compared,
    )


def require(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> list[Verdict]:
    """The verdicts on what a version is made of, all of which let it pass: on its model, or, of a refit, on the judged
    model and then on the refit. Raises Refused by name where one does not, otherwise as
    :func:`~ml_platform.pipeline.evaluation.require_model`.
    """
    found = require_model(workspace, context, reference.evaluated, run)
    if reference.judged is None:
        return found
    require_sound(workspace, context, reference, run)
    of_refit = judging.require(
        workspace,
        reference.sha256,
        model_gates(workspace, context, "refit"),
        name=_name(reference),
        again=lambda: judge(workspace, context, reference, run),
    )
    return [*found, *of_refit]


def require_sound(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> None:
    """Raise Refused for a refit that is none as it is declared now, PlatformError for a reference that was edited."""
    recorded_trainings.require(workspace, reference, run)
    require_declared(context, reference)
    if not context.model.split.refit:
        raise Refused(
            f"{reference.model} ({reference.sha256[:12]}) is a refit, and split.refit is not declared now; train it "
            f"again (job {reference.model}_train)"
        )
    require_recipe(context, reference)


def require_recipe(context: ModelContext, reference: ModelRef) -> None:
    """Raise Refused for a refit of another recipe, or from other rows, than those of its judged model."""
    if other := [*_otherwise(reference, context.model.split)]:
        raise Refused(
            f"{_name(reference)} ({reference.sha256[:12]}) is no refit of the judged model: other {', '.join(other)}; "
            f"materialize {_name(reference)} again",
            because=f"a refit with other {', '.join(other)}",
        )


def _otherwise(reference: ModelRef, rule: SplitRule) -> Iterator[str]:
    judged = reference.judged
    if judged is None:
        yield "kind: it names no judged model"
        return
    for name in RECIPE:
        if getattr(reference, name) != getattr(judged, name):
            yield name
    if judged.recipe not in ("", reference.recipe):
        yield "recipe"
    if reference.split.sha256 != refitted(judged.split, rule).sha256:
        yield "partitions"


def examined(
    workspace: Workspace, context: ModelContext, reference: ModelRef, champion: ModelRef | None
) -> "RefitEvaluation":
    """What a refit answers on the holdout of its judged model, beside that one."""
    import polars as pl

    from ml_platform.evaluation.refit import examine

    if reference.judged is None:
        raise PlatformError(f"{_name(reference)}: it names no judged model; materialize {_name(reference)} again")
    judged = reference.judged
    rows = pl.concat(workspace.steps.evaluation_frames(workspace.store, judged.split.holdout))
    unseen = unseen_categories(workspace, context, judged)
    return examine(
        loaded(workspace, reference),
        loaded(workspace, judged),
        rows,
        loaded(workspace, champion) if champion else None,
        options_of(context),
        unseen._replace(y=None) if unseen else None,
    )


def _name(reference: ModelRef) -> str:
    return f"{reference.model}/refit"
