"""Clean data through the loop once, then every break on a copy of that state: which declared gate notices?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Stage, Verdict
from ml_platform.pipeline import data, evaluation, model
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving import serving, steps
from ml_platform.proving.batches import batch_breaks
from ml_platform.proving.findings import Finding
from ml_platform.proving.scratch import Clean, Judged, clean_data, copied, let_through, scratch_settings, with_batch
from ml_platform.references.refs import DatasetRef, ModelRef, ReportRef, SplitRef, VersionRef
from ml_platform.training.trainer import Trained, trainer_of


class Stopped(Exception):
    """A break was noticed; nothing behind it is run."""


class Proof:
    """The proof of one model, below a folder that the caller removes."""

    def __init__(self, context: ModelContext, workspace: Workspace, folder: Path, most: int, rounds: int = 0) -> None:
        """``most`` partitions, the newest, and at most ``rounds`` rounds of training (0: as declared)."""
        self.folder = folder
        self.run = Run.new()
        self.clean: Clean = clean_data(_with_rounds(context, rounds), workspace, most)
        self.workspace = Workspace(scratch_settings(workspace.settings, folder / "clean"))
        #: State before the newest partition arrives.
        self.before: Workspace
        self.split: SplitRef
        self.model: ModelRef
        self.report: ReportRef
        self.version: VersionRef
        self._copies = 0

    @property
    def context(self) -> ModelContext:
        """The user's declarations on the clean batches."""
        return self.clean.context

    def run_data(self) -> None:
        """Every clean partition up to its features, in order; remembers all verdicts."""
        context, workspace, refs = self.context, self.workspace, {}
        for name in self.clean.partitions:
            if name == self.clean.newest:
                self.before = copied(workspace, self.folder / "before")
            ref = data.ingest(workspace, context.dataset, name, self.run)
            self.keep("batch", name, data.audit(workspace, context.dataset, ref, self.run))
            refs[name] = data.publish(workspace, context.dataset, ref, self.run)
            found = data.featurize(workspace, context.feature_set, context.dataset, {name: refs[name]}, self.run)[name]
            verdicts = data.inspect_features(workspace, context.feature_set, context.dataset, found, self.run)
            self.keep("features", name, verdicts)
            self.clean.features[name] = found

    def run_model(self) -> None:
        """The clean model up to its registration; it becomes the champion that candidates are compared with."""
        context, workspace = self.context, self.workspace
        self.split = model.split(workspace, context, self.clean.features, self.run)
        self.keep("split", "", model.inspect_split(workspace, context, self.split, self.run))
        self.model = model.fit(workspace, context, self.split, self.run)
        self.report = evaluation.evaluate(workspace, context, self.model, self.run)
        self.keep("evaluation", "", evaluation.inspect_evaluation(workspace, context, self.report, self.run))
        self.version = evaluation.register(workspace, context, self.report, self.run)
        workspace.registry.set_alias(context.model.name, "champion", self.version.version)

    def keep(self, stage: Stage, partition: str, verdicts: list[Verdict]) -> None:
        """Remember verdicts on clean content, and let it through whatever they are."""
        self.clean.judged += [Judged(stage, partition, verdict) for verdict in verdicts]
        let_through(self.workspace, verdicts, self.run)

    def batches(self) -> Iterator[Finding]:
        """Every break of the newest batch."""
        clean, newest = self.clean, self.clean.newest
        frame, before = clean.frames[newest], clean.frames[clean.partitions[-2]]
        # A staged batch that is refused changes nothing for the next: they may share a workspace up to the audit.
        arrivals = self.copy(self.before)
        for one in batch_breaks(self.context, frame, before):
            finding = Finding(one.name, one.case, "batch")
            with self.watched(finding):
                context = with_batch(self.context, clean.frames, newest, one.change(frame))
                self._arrive(finding, arrivals, context)
                finding.asked.clear()
                workspace = self.copy(self.before)
                ref = self._arrive(finding, workspace, context)
                published = data.publish(workspace, context.dataset, ref, self.run)
                self._features(finding, workspace, context, published)
            yield finding

    def code(self) -> Iterator[Finding]:
        """Every break of feature code, split and training."""
        groups: tuple[tuple[Stage, Iterator[steps.CodeBreak], Callable[..., None]], ...] = (
            ("features", steps.feature_breaks(self.context, self.clean.frames[self.clean.newest]), self._feature_code),
            ("split", steps.split_breaks(), self._train),
            ("evaluation", steps.training_breaks(self.context), self._train),
        )
        for stage, breaks, run in groups:
            for one in breaks:
                finding = Finding(one.name, one.case, stage)
                with self.watched(finding), one.applied():
                    run(finding, self.copy(self.workspace), one.declare(self.context))
                yield finding

    def services(self) -> Iterator[Finding]:
        """Every break of package and deployment, if the model declares gates on them."""
        yield from serving.services(self)

    def _arrive(self, finding: Finding, workspace: Workspace, context: ModelContext) -> DatasetRef:
        ref = data.ingest(workspace, context.dataset, self.clean.newest, self.run)
        self.asked(
            finding, workspace, "batch", self.clean.newest, data.audit(workspace, context.dataset, ref, self.run)
        )
        return ref

    def _features(self, finding: Finding, workspace: Workspace, context: ModelContext, published: DatasetRef) -> None:
        """From a published newest batch on."""
        name = self.clean.newest
        spec, dataset = context.feature_set, context.dataset
        ref = data.featurize(workspace, spec, dataset, {name: published}, self.run)[name]
        self.asked(finding, workspace, "features", name, data.inspect_features(workspace, spec, dataset, ref, self.run))
        self._train(finding, workspace, context, {**self.clean.features, name: ref})

    def _feature_code(self, finding: Finding, workspace: Workspace, context: ModelContext) -> None:
        """Changed code builds every partition anew, the newest first: it is judged before the others are built."""
        features: dict[str, DatasetRef] = {}
        for name in reversed(self.clean.partitions):
            spec, dataset = context.feature_set, context.dataset
            built = data.featurize(workspace, spec, dataset, {name: self.clean.features[name]}, self.run)
            features |= built
            verdicts = data.inspect_features(workspace, spec, dataset, built[name], self.run)
            self.asked(finding, workspace, "features", name, verdicts)
        self._train(finding, workspace, context, features)

    def _train(
        self,
        finding: Finding,
        workspace: Workspace,
        context: ModelContext,
        features: dict[str, DatasetRef] | None = None,
    ) -> None:
        """Split, train and evaluate."""
        split = model.split(workspace, context, features or self.clean.features, self.run)
        self.asked(finding, workspace, "split", "", model.inspect_split(workspace, context, split, self.run))
        with self._known_training(finding, split, context):
            trained = model.fit(workspace, context, split, self.run)
        report = evaluation.evaluate(workspace, context, trained, self.run)
        self.asked(
            finding, workspace, "evaluation", "", evaluation.inspect_evaluation(workspace, context, report, self.run)
        )

    @contextmanager
    def _known_training(self, finding: Finding, split: SplitRef, context: ModelContext) -> Iterator[None]:
        """Where the training rows are the clean ones the model is the clean one: training gives the same bytes."""
        from ml_platform.pipeline import training

        content = [[entry.sha256 for entry in one.train] for one in (split, self.split)]
        if finding.stage == "evaluation" or content[0] != content[1] or context.names != self.context.names:
            yield
            return
        file = self.workspace.tracking.model_path(self.model)
        known = Trained(file, self.model.format, sum(entry.rows for entry in split.train), 0, self.model.types)
        with steps.replaced(training, "trainer_of", lambda _: lambda name: _Known(known)):
            yield

    def asked(
        self, finding: Finding, workspace: Workspace, stage: Stage, partition: str, verdicts: list[Verdict]
    ) -> None:
        """Note what the gates of a stage say. Raises Stopped where one holds back that lets the clean twin pass."""
        alarms = self.clean.alarms(stage, partition)
        finding.asked[stage] = finding.asked.get(stage, 0) + len(verdicts)
        finding.warned += [one.gate for one in verdicts if not one.blocking and not one.passed]
        holding = [one for one in verdicts if one.holds_back and one.gate not in alarms]
        if holding:
            finding.caught = sorted(holding, key=lambda one: one.status == "errored")
            raise Stopped
        let_through(workspace, verdicts, self.run)

    @contextmanager
    def watched(self, finding: Finding) -> Iterator[None]:
        """Turn how a break ended into its finding."""
        try:
            yield
        except Stopped:
            return
        except PlatformError as error:
            finding.refused = f"{type(error).__name__}: {error}"
        except Exception as error:
            # Whatever it is: the loop stopped, and nobody was told what to do about it.
            finding.crashed = f"{type(error).__name__}: {error}"[:500]

    def copy(self, state: Workspace) -> Workspace:
        self._copies += 1
        return copied(state, self.folder / f"copy{self._copies}", self.workspace)


class _Known:
    """A trainer that has trained already."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained

    def train(self, *_: Any) -> Trained:
        """The model that it has."""
        return self.trained


def _with_rounds(context: ModelContext, rounds: int) -> ModelContext:
    """The declarations with fewer rounds of training, for the clean model and for all that are compared with it."""
    if not rounds:
        return context
    parameters = trainer_of(context.model.trainer).limited(context.model.parameters, rounds)
    spec = context.model.model_copy(update={"parameters": parameters})
    return ModelContext(spec, context.feature_set, context.dataset)
