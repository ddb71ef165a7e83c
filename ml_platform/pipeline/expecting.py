"""What a registered version leads one to expect of partitions that it did not learn from, and what they came to."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext
from ml_platform.features.materialize import Stale
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.pipeline import champions
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.predictors import predictor
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ManifestEntry, ModelRef, SplitRef

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.evaluation.expectation import Expectation, Gap, Gaps, Rows
    from ml_platform.models.task import Task


#: Column of a frame with what the model says of its rows.
PREDICTION = "(prediction)"
#: Rows drawn of each partition that a model learned from: PSI of deciles needs no more.
REFERENCE_ROWS = 20_000
#: Rows for each value of a column of the key, on average, below which it is an identifier.
REPEATED = 10


def predicted(
    workspace: Workspace, context: ModelContext, reference: ModelRef, frame: "pl.DataFrame"
) -> "pl.DataFrame":
    """A frame of features with the outputs of a model, in the column :data:`PREDICTION`."""
    from ml_platform.features.build import matrix
    from ml_platform.models import outputs

    model = predictor(workspace, reference, workspace.settings.threads)
    return frame.with_columns(outputs.series(PREDICTION, model.predict(matrix(frame, reference.features))))


def labelled(context: ModelContext, reference: ModelRef, frame: "pl.DataFrame") -> "Rows":
    """Those rows of a :func:`predicted` frame whose outcomes are known."""
    import polars as pl

    from ml_platform.evaluation.expectation import Rows
    from ml_platform.features.parts import bundles
    from ml_platform.foundation.times import days, instants

    known, y = task_of_model(context, reference).labels(frame, reference.target)
    time, part = context.function.time, reference.split.holdout[0].part
    if part is not None:
        clusters = pl.Series(bundles(known, part))
    elif context.dataset.partitions.hourly:
        clusters = instants(known[time]).dt.truncate("1h")
    else:
        clusters = days(known[time])
    return Rows(known.select(_slices(context)), y, known[PREDICTION].to_numpy(), clusters)


def task_of_model(context: ModelContext, reference: ModelRef) -> "Task":
    """The task of a trained model, with the threshold that is declared now."""
    from ml_platform.models.task import task_of

    return task_of(reference.task, reference.classes, context.model.decision_threshold)


def held_out(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "pl.DataFrame":
    """The holdout of a model, :func:`predicted`."""
    import polars as pl

    def make() -> pl.DataFrame:
        frames = workspace.steps.evaluation_frames(workspace.store, reference.split.holdout)
        return predicted(workspace, context, reference, pl.concat(frames))

    return workspace.shared(f"predicted holdout {reference.sha256} {reference.split.sha256}", make)


def learned_inputs(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "pl.DataFrame":
    """Raw inputs of the rows that a model was trained on, evenly drawn where a partition has very many."""
    import polars as pl

    from ml_platform.features import parts

    materializer = materializer_of(workspace, context.feature_set, context.dataset)

    def make() -> pl.DataFrame:
        frames = (
            parts.of(materializer.raw_at(entry).select(context.function.inputs), entry.part)
            for entry in reference.split.train
        )
        return pl.concat(frame.gather_every(max(1, frame.height // REFERENCE_ROWS)) for frame in frames)

    return workspace.shared(f"inputs learned by {reference.sha256} {context.function.inputs}", make)


def compared_columns(inputs: "pl.DataFrame", context: ModelContext) -> list[str]:
    """Inputs that can drift: not the day, no column of the group that a split keeps together, and no part of the
    key that names few rows by itself, as an order's number does: others come next month."""
    function = context.function

    def names_rows(column: str) -> bool:
        return inputs[column].n_unique() * REPEATED > max(inputs.height, 1)

    return [
        name
        for name in function.inputs
        if name not in (function.time, *context.model.split.group) and not (name in function.key and names_rows(name))
    ]


def moved(usual: "pl.Series", now: "pl.Series") -> float:
    """PSI of outputs beside usual ones; of several classes the largest. Raises PlatformError without rows."""
    from ml_platform.models import outputs
    from ml_platform.validation.drift import psi

    return max(psi(*pair) for pair in zip(outputs.each(usual), outputs.each(now), strict=True))


def expectation(workspace: Workspace, context: ModelContext, reference: ModelRef) -> "Expectation":
    """What the model of a reference leads one to expect, by its holdout. Raises PlatformError without labels there."""
    from ml_platform.evaluation.expectation import Expectation

    def make() -> Expectation:
        rows = labelled(context, reference, held_out(workspace, context, reference))
        if not len(rows.y):
            raise PlatformError(f"{reference.model}: no row of the holdout has an outcome to learn expectations from")
        return Expectation(task_of_model(context, reference), rows, _slices(context))

    return workspace.shared(f"expectation {reference.sha256} {reference.split.sha256} {_slices(context)}", make)


def gaps(workspace: Workspace, context: ModelContext, reference: ModelRef, frame: "pl.DataFrame") -> "list[Gap]":
    """Outcomes of a partition, whose features are :func:`predicted`, beside what the model leads one to expect."""
    return expectation(workspace, context, reference).gaps(labelled(context, reference, frame))


def of_split(workspace: Workspace, context: ModelContext, split: SplitRef) -> "Gaps":
    """The partitions of a split whose content is new to the champion, beside its expectation of them.

    Of what it learned from or was held against itself nothing is said: that was decided when it was approved.
    """
    from ml_platform.evaluation.expectation import Gaps

    champion = champions.champion(workspace, split.model)
    if champion is None:
        return Gaps({}, why="no version answers yet, whose expectation there could be")
    # A refit has learned from its newest partitions: what to expect is for the judged model to say, of all of them.
    reference = champion.model_ref.evaluated
    if why := differs(context, reference):
        return Gaps({}, champion.version, f"version {champion.version} {why}")
    seen = {_own(entry) for one in (reference, champion.model_ref) for entry in one.split.learned}
    new = [entry for entry in split.learned if _own(entry) not in seen]
    if not new:
        return Gaps({}, champion.version, f"nothing is new to version {champion.version}")
    frames = workspace.steps.evaluation_frames(workspace.store, tuple(new))
    found = {
        entry.label: gaps(workspace, context, reference, predicted(workspace, context, reference, frame))
        for entry, frame in zip(new, frames, strict=True)
    }
    return Gaps(found, champion.version)


def current_features(workspace: Workspace, context: ModelContext, partitions: Sequence[str]) -> dict[str, DatasetRef]:
    """Features of those partitions that have some of now; the others follow when theirs are built."""
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    state, found = materializer.partition_state(), dict[str, DatasetRef]()
    for partition in partitions:
        try:
            ref = workspace.references.load(context.feature_set.key, partition)
            assert isinstance(ref, DatasetRef)
            materializer.check_current(ref, state)
            found[partition] = ref
        except (MissingReference, Stale):
            continue
    return found


def complete(context: ModelContext, partitions: Sequence[str]) -> list[str]:
    """Those of the partitions whose outcomes are all there, as `split.label_delay` says: what comes early is not like
    what comes late."""
    delay, known = context.model.split.label_delay, context.dataset.partitions
    if not delay or not known.timed or not partitions:
        return [*partitions]
    until = known.window(max(partitions))[1] - timedelta(days=delay)
    return [name for name in partitions if known.window(name)[1] <= until]


def differs(context: ModelContext, reference: ModelRef) -> str:
    """Why the model of a reference says nothing of the partitions of now; empty where it does."""
    if (reference.target, reference.task, reference.classes) != (
        context.model.target,
        context.model.task,
        context.model.classes,
    ):
        return f"predicts {reference.target} ({reference.task}), which is not what is declared now"
    if missing := [name for name in reference.features if name not in context.names]:
        return f"predicts from {', '.join(missing[:5])}, which is no feature now"
    return ""


def _slices(context: ModelContext) -> tuple[str, ...]:
    """Columns by which outcomes are looked at: values of personal ones are shown to nobody."""
    return tuple(name for name in context.function.slices if name not in context.dataset.private())


def _own(entry: ManifestEntry) -> str:
    """Hash of the batch that the rows of an entry are from, and which part of it."""
    own = next((sha for name, sha in entry.inputs.items() if name.rpartition("/")[2] == entry.partition), entry.sha256)
    return f"{entry.partition} {own}"
