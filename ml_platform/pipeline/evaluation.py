"""From a trained model to a registered version: evaluate beside the champion, judge, register."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_platform.datasets import batches
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import folder
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import anchors, approval
from ml_platform.pipeline.features import materializer_of
from ml_platform.pipeline.judging import judged
from ml_platform.pipeline.loosening import require_accepted
from ml_platform.pipeline.predicting import loaded, predictor
from ml_platform.pipeline.replaying import replay
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, ReportRef, VersionRef

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.evaluation.latency import OneRow
    from ml_platform.evaluation.robustness import Unseen
    from ml_platform.training.first_trees import FirstTrees

#: Rows of the holdout in which a category is replaced, and what by.
UNSEEN_ROWS = 2_000
NEVER_SEEN = "never seen before"


def evaluate(workspace: Workspace, context: ModelContext, reference: ModelRef, run: Run) -> ReportRef:
    """Measure the model on the holdout of its manifest; writes the report to MLflow and to a local file."""
    import polars as pl

    from ml_platform.documents import report
    from ml_platform.evaluation.evaluate import evaluate as measure
    from ml_platform.evaluation.options import EvaluationOptions
    from ml_platform.registry import evaluations

    rival = rival_of(workspace, reference)
    box = context.model.worst_case
    worst_case: dict[str, Any] = {"worst_case_within": box.within, "worst_case_bounds": box.bounds} if box else {}
    options = EvaluationOptions(
        threshold=context.model.decision_threshold,
        time=context.function.time,
        slices=slices_of(context),
        contrasts=contrasts_of(context),
        feature_groups=_feature_groups(context),
        **worst_case,
    )
    evaluation, _ = measure(
        loaded(workspace, reference),
        masked_groups(pl.concat(workspace.steps.evaluation_frames(workspace.store, reference.split.holdout)), context),
        workspace.steps.evaluation_frames(workspace.store, reference.split.train),
        loaded(workspace, rival) if rival else None,
        options,
        unseen_categories(workspace, context, reference),
    )
    html = report.render(evaluation, reference)
    path = write_atomic(folder(workspace.settings) / f"{reference.model}-{reference.sha256[:16]}.html", html)
    return ReportRef(
        run_id=run.id,
        provenance=run.provenance,
        model=reference.model,
        sha256=reference.sha256,
        manifest_sha256=reference.manifest_sha256,
        mlflow_run_id=reference.mlflow_run_id,
        html=str(path),
        uri=evaluations.save(workspace.tracking, evaluation, reference, html),
        metrics=evaluation.metrics,
        model_ref=reference,
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
    return tuple(name for name in (*known, *(() if MONTH in known else (MONTH,))) if name in wanted)


def unseen_categories(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "Unseen | None":
    """Rows of the last holdout partition, made into features again with a text in each raw column that nobody knows.

    None where no input is text.
    """
    import polars as pl

    from ml_platform.evaluation.robustness import Unseen
    from ml_platform.features.build import featurize, matrix
    from ml_platform.models.task import task_of

    last = reference.split.holdout[-1]
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    raw = materializer.raw_at(last)
    texts = [
        name for name in context.function.inputs if isinstance(raw.schema[name], pl.String | pl.Categorical | pl.Enum)
    ]
    if not texts:
        return None
    stored = next(workspace.steps.evaluation_frames(workspace.store, (last,))).with_row_index("row in the batch")
    task = task_of(reference.task, reference.classes)
    known, _ = task.labels(stored, reference.target)
    known, y = task.labels(known.gather_every(max(1, known.height // UNSEEN_ROWS)).head(UNSEEN_ROWS), reference.target)
    history, rows = materializer.history_at(last), raw[known["row in the batch"]]
    return Unseen(
        matrix(known, reference.features),
        y,
        {
            name: featurize(context.function, rows.with_columns(pl.lit(NEVER_SEEN).alias(name)), history)
            for name in texts
        },
    )


def _feature_groups(context: ModelContext) -> dict[str, tuple[str, ...]]:
    """Features that go missing together: all histories, when the service starts without."""
    histories = tuple(history.name for history in context.function.histories)
    return {"every history": histories} if histories else {}


def rival_of(workspace: Workspace, reference: ModelRef) -> ModelRef | None:
    """The champion; for the champion itself the one before it, so that judging it again gives the same."""
    for version in (workspace.registry.champion(reference.model), workspace.registry.previous(reference.model)):
        if version is not None and version.sha256 != reference.sha256:
            return version.model_ref
    return None


def inspect_evaluation(workspace: Workspace, context: ModelContext, ref: ReportRef, run: Run) -> list[Verdict]:
    """Judge an evaluation and write the verdicts on the model file to the ledger.

    A candidate that they hold back is thereby rejected: that is a result, and is kept as a decision.
    """
    from ml_platform.registry import evaluations

    evaluation = evaluations.load(workspace.tracking, ref.model_ref)
    catalogue = Catalogue.of([context.dataset, context.feature_set, context.model])
    # Kinds that the evaluation says nothing about: a time differs from one measurement to the next, a replay costs a
    # second training, first trees a part of one. They are taken when their gate asks.
    asked: dict[str, Callable[[], object]] = {
        "model_latency": partial(one_row_latency, workspace, ref.model_ref),
        "replay": partial(replay, workspace, catalogue, ref.model_ref),
        "trained_on": partial(trained_on, workspace, ref.model_ref),
    }
    gates, name = context.model.gates_of("evaluation"), f"{ref.model}/model"
    verdicts = judged(workspace, gates, evaluation, subject=ref.sha256, name=name, run=run, asked=asked)
    try:
        workspace.ledger.require(ref.sha256, gates, subject_name=name)
    except Refused as refusal:
        approval.reject(workspace, ref.model, ref.sha256, refusal, verdicts, run)
    return verdicts


def one_row_latency(workspace: Workspace, reference: ModelRef) -> "OneRow":
    """How long the model takes for single rows of the last holdout partition, in one thread as in the service."""
    from ml_platform.evaluation.latency import ROWS, one_row
    from ml_platform.features.build import matrix

    features = next(workspace.steps.evaluation_frames(workspace.store, reference.split.holdout[-1:]))
    spread = features.gather_every(max(1, features.height // ROWS)).head(ROWS)
    return one_row(predictor(workspace, reference, threads=1), matrix(spread, reference.features))


def trained_on(workspace: Workspace, reference: ModelRef) -> "FirstTrees":
    """The model's first trees beside those of the rows that its manifest names.

    The rows are read here, by their hashes, and not by the step that hands them to the training: what that step might
    add is the question.
    """
    from ml_platform.training.first_trees import first_trees

    def rows() -> "Iterator[pl.DataFrame]":
        for entry in reference.split.train:
            yield batches.read_at(workspace.store, entry.commit, entry.path, entry.sha256)

    file, trainer = workspace.tracking.model_path(reference), workspace.steps.trainer(reference.trainer)
    return first_trees(file, reference, trainer, rows, workspace.settings.threads)


def model_card(workspace: Workspace, context: ModelContext, ref: ReportRef, verdicts: list[Verdict]) -> str:
    """The model card of an evaluated model, as Markdown."""
    from ml_platform.documents.model_card import render
    from ml_platform.registry import evaluations

    return render(
        evaluations.load(workspace.tracking, ref.model_ref),
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
    name = f"{report.model}/model"
    reference = report.model_ref
    gates = context.model.gates_of("evaluation")
    try:
        workspace.ledger.require(
            reference.split.sha256, context.model.gates_of("split"), subject_name=f"{report.model}/split"
        )
        verdicts = workspace.ledger.require(report.sha256, gates, subject_name=name)
    except Refused as refusal:
        judged = workspace.ledger.judged([reference.split.sha256, report.sha256]).values()
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
        card_markdown=model_card(workspace, context, report, verdicts),
    )
