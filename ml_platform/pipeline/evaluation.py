"""A trained model is measured beside the champion, and judged: in the context of now, or measured anew."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import FOLDER, folder
from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.gates.asked import Asked
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import champions, recorded_trainings
from ml_platform.pipeline.judging import judged, model_context, model_gates, require
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.predictors import loaded, predictor
from ml_platform.pipeline.recorded_evaluations import EVALUATION, kept, measured, note
from ml_platform.pipeline.replay import replay
from ml_platform.pipeline.steps import frames
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, ReportRef, VersionRef

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.evaluation.evaluation import Evaluation, HoldoutRows
    from ml_platform.evaluation.latency import OneRow
    from ml_platform.evaluation.options import EvaluationOptions
    from ml_platform.evaluation.robustness import Unseen
    from ml_platform.training.first_trees import FirstTrees

#: Column of the holdout with what is resampled together, where no day does: some groups (see features.parts).
BUNDLE = "(bundle)"
#: Rows of the holdout in which a category is replaced, and what by.
UNSEEN_ROWS = 2_000
NEVER_SEEN = "never seen before"


def evaluate(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> ReportRef:
    """Measure the model on the holdout of its manifest; writes the report to MLflow and to a local file.

    Raises PlatformError for a reference that the ledger does not name, see
    :mod:`~ml_platform.pipeline.recorded_trainings`.
    """
    import polars as pl

    from ml_platform.documents import report
    from ml_platform.evaluation.evaluate import evaluate as measure
    from ml_platform.features.parts import bundles
    from ml_platform.registry import evaluations

    recorded_trainings.require(workspace, reference, run)
    # Named before any code is loaded: what is edited from here on is another context.
    about = model_context(workspace, context)
    # Recipe against recipe: a refit has seen the holdout, the model that it was judged by has not.
    rival = version.model_ref.evaluated if (version := rival_of(workspace, reference)) else None
    holdout = pl.concat(workspace.steps.evaluation_frames(workspace.store, reference.split.holdout))
    if part := reference.split.holdout[0].part:
        holdout = holdout.with_columns(pl.Series(BUNDLE, bundles(holdout, part)))
    evaluation, _ = measure(
        loaded(workspace, reference),
        masked_groups(holdout, context),
        workspace.steps.evaluation_frames(workspace.store, reference.split.train),
        loaded(workspace, rival) if rival else None,
        options_of(context),
        unseen_categories(workspace, context, reference),
    )
    evaluation = evaluation.model_copy(update={"context": about})
    content = evaluations.content(evaluation)
    # What was measured is for the ledger to say: artifact and reference are files that anybody can edit.
    note(workspace, reference, content, run)
    html = report.render(evaluation, reference)
    name = f"{reference.model}-{reference.sha256[:16]}.html"
    write_atomic(folder(workspace.settings) / name, html)
    return ReportRef(
        run_id=run.id,
        provenance=run.provenance,
        model=reference.model,
        sha256=reference.sha256,
        manifest_sha256=reference.manifest_sha256,
        mlflow_run_id=reference.mlflow_run_id,
        html=f"{FOLDER}/{name}",
        uri=evaluations.save(workspace.tracking, evaluation, reference, html),
        metrics=evaluation.metrics,
        model_ref=reference,
        evaluation=content,
    )


def evaluation_of(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> "Evaluation":
    """The kept evaluation of a model, measured anew unless the ledger names it, in the context of now.

    Raises PlatformError as :func:`evaluate`.
    """
    from ml_platform.registry import evaluations

    recorded_trainings.require(workspace, reference, run)
    try:
        found = evaluations.load(workspace.tracking, reference)
        about = (found.sha256, found.manifest_sha256, found.context, found.options)
        now = (reference.sha256, reference.manifest_sha256, model_context(workspace, context), options_of(context))
        if about == now and evaluations.content(found) in measured(workspace, reference):
            return found
    except MissingReference:
        pass
    evaluate(workspace, context, reference, run)
    return kept(workspace, reference)


def options_of(context: ModelContext) -> "EvaluationOptions":
    """What is measured, as it is declared now; some of it because a gate asks."""
    from ml_platform.evaluation.options import EvaluationOptions, WorstCase

    box = context.model.worst_case or WorstCase()
    return EvaluationOptions(
        threshold=context.model.decision_threshold,
        time=context.function.time,
        cluster=None if context.dataset.partitions.timed else BUNDLE,
        slices=slices_of(context),
        contrasts=contrasts_of(context),
        feature_groups=_feature_groups(context),
        worst_case_within=box.within,
        worst_case_bounds=box.bounds,
    )


def masked_groups(holdout: "pl.DataFrame", context: ModelContext) -> "pl.DataFrame":
    """``holdout`` with the values of slices that are marked ``pii`` replaced: by ``*** 1`` for the largest group, …"""
    import polars as pl

    from ml_platform.validation.schema import MASK

    for name in set(slices_of(context)) & context.dataset.private():
        order = holdout[name].drop_nulls().cast(pl.String).alias("value").value_counts(sort=True)["value"].to_list()
        names = {value: f"{MASK} {place}" for place, value in enumerate(order, 1)}
        masked = pl.col(name).cast(pl.String).replace_strict(names, default=None, return_dtype=pl.String)
        holdout = holdout.with_columns(masked)
    return holdout


def slices_of(context: ModelContext) -> tuple[str, ...]:
    """The slices that are evaluated. One that is a feature as well cannot be masked, so it is left out if it is pii."""
    private = context.dataset.private() & set(context.names)
    return tuple(name for name in context.function.slices if name not in private)


def contrasts_of(context: ModelContext) -> tuple[str, ...]:
    """Columns whose groups a gate holds against each other, in the order of the slices; then the month."""
    from ml_platform.evaluation.options import MONTH

    known = slices_of(context)
    gates = [gate for gate in context.model.gates_of("evaluation") if gate.gate == "slices" and gate.against]
    wanted = {name for gate in gates for name in gate.columns or known}
    months = () if MONTH in known or not context.function.time else (MONTH,)
    return tuple(name for name in (*known, *months) if name in wanted)


def unseen_categories(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "Unseen | None":
    """Rows of the last holdout partition that has outcomes, made into features again with a text in each raw column
    that nobody knows.

    None where no input is text, or no row of the holdout has an outcome.
    """
    import polars as pl

    from ml_platform.evaluation.robustness import Unseen
    from ml_platform.features import parts
    from ml_platform.features.build import featurize, matrix
    from ml_platform.models.task import task_of

    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    task = task_of(reference.task, reference.classes)
    for last in reversed(reference.split.holdout):
        raw = materializer.raw_at(last)
        types = raw.schema
        texts = [
            name for name in context.function.inputs if isinstance(types[name], pl.String | pl.Categorical | pl.Enum)
        ]
        if not texts:
            return None
        # By its row in the batch: a part has fewer.
        whole = next(workspace.steps.evaluation_frames(workspace.store, (last.model_copy(update={"part": None}),)))
        stored = parts.of(whole.with_row_index("row in the batch"), last.part)
        known, _ = task.labels(stored, reference.target)
        if not known.height:
            continue
        few = known.gather_every(max(1, known.height // UNSEEN_ROWS)).head(UNSEEN_ROWS)
        few, y = task.labels(few, reference.target)
        history, rows = materializer.history_at(last), raw[few["row in the batch"]]
        changed = {
            name: featurize(context.function, rows.with_columns(pl.lit(NEVER_SEEN).alias(name)), history)
            for name in texts
        }
        return Unseen(matrix(few, reference.features), y, changed)
    return None


def _feature_groups(context: ModelContext) -> dict[str, tuple[str, ...]]:
    """Features that go missing together: all histories, when the service starts without."""
    histories = tuple(history.name for history in context.function.histories)
    return {"every history": histories} if histories else {}


def rival_of(workspace: Workspace, reference: ModelRef) -> VersionRef | None:
    """The champion; for the champion itself the one before it, so that judging it again gives the same. A version that
    a person rejected is no bar, though it may still answer."""
    for version, rejected in champions.rivals(workspace, reference.model):
        if not rejected and version.model_ref.evaluated.sha256 != reference.evaluated.sha256:
            return version
    return None


def judge_model(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> list[Verdict]:
    """Judge a model by its evaluation (:func:`evaluation_of`) and write the verdicts on its file to the ledger."""
    from ml_platform.registry import evaluations

    evaluation = evaluation_of(workspace, context, reference, run)
    compared = {EVALUATION: evaluations.content(evaluation)}
    if evaluation.champion is not None:
        compared["champion"] = evaluation.champion.sha256
    catalogue = Catalogue.of([context.dataset, context.feature_set, context.model])
    # What the evaluation does not hold: a time differs from one measurement to the next, a replay costs a second
    # training, first trees a part of one, and rows are no numbers.
    asked: Asked = {
        "rows": partial(holdout_rows, workspace, context, reference),
        "one_row": partial(one_row_latency, workspace, reference),
        "replay": partial(replay, workspace, catalogue, reference),
        "first_trees": partial(trained_on, workspace, reference),
    }
    gates, name = model_gates(workspace, context, "evaluation"), f"{reference.model}/model"
    return judged(
        workspace, gates, evaluation, subject=reference.sha256, name=name, run=run, asked=asked, compared=compared
    )


def require_model(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> list[Verdict]:
    """The verdicts on a trained model, all of which let it pass. Raises Refused by name where one does not.

    What was judged otherwise than as declared now, in the context of now, is judged again before. A model that predicts
    something else than is declared now is refused as such, and one whose reference was edited is a PlatformError.
    """
    recorded_trainings.require(workspace, reference, run)
    require_declared(context, reference)
    return require(
        workspace,
        reference.sha256,
        model_gates(workspace, context, "evaluation"),
        name=f"{reference.model}/model",
        again=lambda: judge_model(workspace, context, reference, run),
    )


def compare_with_champion(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> None:
    """Evaluate and judge a model anew where another version became champion since its gates compared it.

    Asked before a version is approved: what was no worse than the champion of then may be worse than that of now, and
    what was refused beside one that was rejected since may pass. Nothing is done for a model that was never judged, and
    raised as :func:`evaluate` does.
    """
    rival = rival_of(workspace, reference)
    gates = model_gates(workspace, context, "evaluation")
    known = workspace.ledger.judgement(f"{reference.model}/model", reference.sha256, gates)
    compared = {verdict.compared.get("champion") for verdict in known.values()}
    wanted = rival.model_ref.evaluated.sha256 if rival is not None else None
    if known and wanted not in compared:
        evaluate(workspace, context, reference, run)
        judge_model(workspace, context, reference, run)


def require_declared(context: ModelContext, reference: ModelRef) -> None:
    """Raise Refused for a model that predicts something else, or from something else, than is declared now."""
    model = context.model
    facts = {
        "features": (reference.split.dataset, model.features),
        "target": (reference.target, model.target),
        "task": (reference.task, model.task),
        "classes": (reference.classes, model.classes),
        "columns of the features": (reference.features, context.names),
    }
    if other := [name for name, (trained, declared) in facts.items() if trained != declared]:
        raise Refused(
            f"{reference.model} ({reference.sha256[:12]}) was trained under other declarations: {', '.join(other)}; "
            f"train it again (job {reference.model}_train)"
        )


def holdout_rows(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "HoldoutRows":
    """The labelled rows of the holdout, with what the model says of each."""
    import polars as pl

    from ml_platform.evaluation.evaluation import HoldoutRows
    from ml_platform.features.build import matrix
    from ml_platform.models import outputs
    from ml_platform.models.task import task_of

    rows = pl.concat(workspace.steps.evaluation_frames(workspace.store, reference.split.holdout))
    task = task_of(reference.task, reference.classes, context.model.decision_threshold)
    known, y = task.labels(masked_groups(rows, context), reference.target)
    model = predictor(workspace, reference, workspace.settings.threads)
    said = outputs.series("prediction", model.predict(matrix(known, reference.features)))
    return HoldoutRows(known.with_columns(label=pl.Series(y), prediction=said), reference.features, model)


def one_row_latency(workspace: Workspace, reference: ModelRef) -> "OneRow":
    """How long the model takes for single rows of its newest partition, in one thread as in the service."""
    from ml_platform.evaluation.latency import ROWS, one_row
    from ml_platform.features.build import matrix

    features = next(workspace.steps.evaluation_frames(workspace.store, (reference.split.newest,)))
    spread = features.gather_every(max(1, features.height // ROWS)).head(ROWS)
    return one_row(predictor(workspace, reference, threads=1), matrix(spread, reference.features))


def trained_on(workspace: Workspace, reference: ModelRef) -> "FirstTrees":
    """The model's first trees beside those of the rows that its manifest names.

    The rows are read by their hashes, and not by the step that hands them to the training: what that step might
    add is the question.
    """
    from ml_platform.training.first_trees import first_trees

    def rows() -> "Iterator[pl.DataFrame]":
        return frames(workspace.store, reference.split.train)

    file, trainer = workspace.tracking.model_path(reference), workspace.steps.trainer(reference.trainer)
    return first_trees(file, reference, trainer, rows, workspace.settings.threads)
