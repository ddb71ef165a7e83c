"""An estimate of a version's performance where outcomes have not come, and how far such estimates were off before."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import folder
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.pipeline import champions, expecting
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from ml_platform.evaluation.estimation import Back, Labelled

#: Raised when the same outputs and outcomes give another estimate.
VERSION = 1
#: Partitions that estimates were held against before their largest error is given as a margin.
TESTED = 3
#: Share of rows with an outcome from which on a partition is measured, and no longer estimated.
KNOWN = 0.5


@dataclass(frozen=True)
class Estimates:
    """What was estimated of a version, and how far off it was where outcomes are known: never a measurement."""

    model: str
    version: int
    #: Metrics that are shown, those that are compared with a champion.
    metrics: tuple[str, ...]
    #: For each partition without outcomes: rows, and metric to estimate.
    waiting: dict[str, tuple[int, dict[str, float]]]
    #: For each partition with outcomes what would have been estimated from those before it, and the truth.
    tested: "list[Back]"
    #: Metric to the largest distance of both; an estimate is worth nothing without it.
    off: dict[str, float]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A record for each partition and metric: estimated, and actual and error where outcomes are known."""
        found: list[dict[str, Any]] = [
            {
                "partition": one.partition,
                "rows": one.rows,
                "metric": name,
                "estimated": one.estimated[name],
                "actual": one.actual[name],
                "error": one.estimated[name] - one.actual[name],
            }
            for one in self.tested
            for name in self.metrics
            if name in one.actual
        ]
        return found + [
            {
                "partition": partition,
                "rows": rows,
                "metric": name,
                "estimated": values[name],
                "actual": None,
                "error": None,
            }
            for partition, (rows, values) in self.waiting.items()
            for name in self.metrics
            if name in values
        ]

    @property
    def text(self) -> str:
        """What is to be said of it, with the word estimate wherever there is one."""
        head = f"{self.model} version {self.version}"
        if not self.tested:
            back = "estimates were never held against outcomes: there are not yet two partitions with enough of them"
        else:
            off = ", ".join(f"{name} by up to {self.off[name]:.3g}" for name in self.metrics if name in self.off)
            many = "partition" if len(self.tested) == 1 else "partitions"
            few = "" if len(self.tested) >= TESTED else f"; too few for a margin, {TESTED} are needed"
            back = f"held against outcomes of {len(self.tested)} {many}, estimates were off: {off}{few}"
        told = [
            f"{partition} (no outcomes yet): estimated "
            + ", ".join(f"{name} {values[name]:.3g}{self._give(name)}" for name in self.metrics if name in values)
            for partition, (_, values) in self.waiting.items()
        ]
        return f"{head}: {'; '.join([*told, back])}"

    def _give(self, metric: str) -> str:
        return f" ± {self.off[metric]:.2g}" if metric in self.off and len(self.tested) >= TESTED else ""


def estimate(workspace: Workspace, context: ModelContext) -> Estimates:
    """Estimate the champion (else the newest version) on partitions that it did not learn from and that lack outcomes.

    Learned from and tested on are those whose outcomes are known: its holdout and what came after it. Raises
    MissingReference where no version is registered or nothing is known, PlatformError where it says nothing of the
    features of now.
    """
    from ml_platform.evaluation.estimation import ROWS, Estimator, back_test, errors

    name = context.model.name
    version = champions.champion(workspace, name) or workspace.registry.latest(name)
    if version is None:
        raise MissingReference(f"no version of {name} is registered; there is nothing to estimate")
    if why := expecting.differs(context, version.model_ref):
        raise PlatformError(f"{name}: version {version.version} {why}; train it again")
    task = expecting.task_of_model(context, version.model_ref)
    history, open_ = _partitions(workspace, context, version)
    if sum(len(one.y) for one in history.values()) < ROWS:
        raise MissingReference(
            f"{name}: version {version.version} has fewer than {ROWS} outcomes that it did not learn from; there is "
            "nothing to estimate from"
        )
    estimator, tested = Estimator(task, [*history.values()]), back_test(task, history)
    waiting = {label: (len(p), estimator.estimate(p)) for label, p in open_.items() if len(p) >= ROWS}
    return Estimates(name, version.version, tuple(task.compared), waiting, tested, errors(tested))


def _partitions(
    workspace: Workspace, context: ModelContext, version: VersionRef
) -> "tuple[dict[str, Labelled], dict[str, Any]]":
    """Partitions with outcomes, as the model saw them, and the outputs for those without."""
    from ml_platform.evaluation.estimation import Labelled

    # A refit has learned from its holdout: what is estimated is the model that was judged for it.
    reference = version.model_ref.evaluated
    frames: dict[str, pl.DataFrame] = {}
    for entry, frame in zip(
        reference.split.holdout,
        workspace.steps.evaluation_frames(workspace.store, reference.split.holdout),
        strict=True,
    ):
        frames[entry.partition] = frame
    if context.dataset.partitions.timed:
        published = published_batches(workspace, context.dataset.name)
        newer = [one for one in sorted(published) if one > reference.split.holdout[-1].partition]
        features = expecting.current_features(workspace, context, newer)
        frames |= {name: batches.read(workspace.store, ref) for name, ref in features.items()}
    complete = expecting.complete(context, sorted(frames))
    history: dict[str, Labelled] = {}
    waiting: dict[str, Any] = {}
    for name, frame in frames.items():
        predicted = expecting.predicted(workspace, context, reference, frame)
        known = expecting.labelled(context, reference, predicted)
        if name in complete and len(known.y) >= KNOWN * frame.height:
            history[name] = Labelled(known.y, known.p)
        else:
            waiting[name] = predicted[expecting.PREDICTION].to_numpy()
    return history, waiting


def write_page(workspace: Workspace, found: Estimates) -> "Path":
    """Write the estimates as a page for people, and return where it lies."""
    from ml_platform.documents.estimates import render

    path = folder(workspace.settings) / f"{found.model}-estimate-{found.version}.html"
    title = f"{found.model} version {found.version}: estimated performance"
    write_atomic(path, render(title, found.text, found.table, found.off))
    return path
