"""Clean data through the loop once: the state that every break starts from, and what became of each."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline import data, evaluation, inspections, refit, registration, training
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.findings import Finding
from ml_platform.proving.scratch import Clean, Judged, clean_data, copied, delivering, let_through, scratch_settings
from ml_platform.references.refs import ModelRef, ReportRef, SplitRef, VersionRef
from ml_platform.training.trainer import limited, trainer_of


class Stopped(Exception):
    """A break was noticed; nothing behind it is run."""


class Proof:
    """The proof of one model, below a folder that the caller removes."""

    def __init__(self, context: ModelContext, workspace: Workspace, folder: Path, most: int, rounds: int = 0) -> None:
        """``most`` partitions, the newest, and at most ``rounds`` boosting rounds (0: as declared)."""
        self.folder = folder
        self.run = Run.new()
        self.clean: Clean = clean_data(_with_rounds(context, rounds), workspace, most)
        clean = Workspace(scratch_settings(workspace.settings, folder / "clean"))
        self.workspace = delivering(clean.with_(now=workspace.now), self.clean.frames)
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
        for name in self.clean.partitions:
            self.run_partition(name)

    def run_partition(self, name: str) -> None:
        """One clean partition behind those before it; of the newest, the state before it is kept for breaks.

        Without partitions a break comes after the clean table, which it is to replace.
        """
        timed = self.context.dataset.partitions.timed
        if not timed:
            self.arrive(name)
        if name == self.clean.newest:
            self.before = copied(self.workspace, self.folder / "before")
        if timed:
            self.arrive(name)

    def arrive(self, name: str) -> None:
        """One clean partition, from its source to its features."""
        context, workspace = self.context, self.workspace
        ref = data.ingest(workspace, context.dataset, name, self.run)
        self.keep("batch", name, data.audit(workspace, context.dataset, ref, self.run))
        published = data.publish(workspace, context.dataset, ref, self.run)
        found = data.featurize(workspace, context.feature_set, context.dataset, {name: published}, self.run)[name]
        verdicts = data.inspect_features(workspace, context.feature_set, context.dataset, found, self.run)
        self.keep("features", name, verdicts)
        self.clean.features[name] = found

    def run_model(self) -> None:
        """The clean model up to its registration; it becomes the champion that candidates are compared with."""
        context, workspace = self.context, self.workspace
        self.split = training.split(workspace, context, self.clean.features, self.run)
        self.keep("split", "", training.inspect_split(workspace, context, self.split, self.run))
        self.model = training.fit(workspace, context, self.split, self.run)
        self.report = evaluation.evaluate(workspace, context, self.model, self.run)
        self.keep("evaluation", "", inspections.inspect_evaluation(workspace, context, self.report, self.run))
        refitted = None
        if context.model.split.refit:
            refitted = refit.refit(workspace, context, self.report, self.run)
            self.keep("refit", "", inspections.inspect_refit(workspace, context, refitted, self.run))
        self.version = registration.register(workspace, context, self.report, self.run, refitted)
        workspace.registry.set_alias(context.model.name, "champion", self.version.version)

    def keep(self, stage: Stage, partition: str, verdicts: list[Verdict]) -> None:
        """Remember verdicts on clean content, and let it through whatever they are."""
        self.clean.judged += [Judged(stage, partition, verdict) for verdict in verdicts]
        let_through(self.workspace, verdicts, self.run)

    def asked(
        self, finding: Finding, workspace: Workspace, stage: Stage, partition: str, verdicts: list[Verdict]
    ) -> None:
        """Note what the gates of a stage say. Raises Stopped where one holds back that lets the clean twin pass.

        One that could not judge has noticed nothing: where no other holds back, that is what is noted.
        """
        alarms = self.clean.alarms(stage, partition)
        finding.asked[stage] = finding.asked.get(stage, 0) + len(verdicts)
        finding.warned += [one.gate for one in verdicts if not one.blocking and not one.passed]
        holding = [one for one in verdicts if one.holds_back and one.gate not in alarms]
        if holding:
            finding.caught = sorted(holding, key=lambda one: one.status == "errored")
            if (first := finding.caught[0]).status == "errored":
                finding.caught, finding.errored = [], f"{first.gate}: {first.reason}"[:500]
            raise Stopped
        let_through(workspace, verdicts, self.run)

    @contextmanager
    def watched(self, finding: Finding) -> Generator[None]:
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
        """A workspace in the state of ``state``, which may be broken."""
        self._copies += 1
        return copied(state, self.folder / f"copy{self._copies}", self.workspace)


def _with_rounds(context: ModelContext, rounds: int) -> ModelContext:
    """The declarations with fewer rounds of training, for the clean model and for all that are compared with it."""
    if not rounds:
        return context
    parameters = limited(trainer_of(context.model.trainer), context.model.parameters, rounds)
    return replace(context, model=context.model.model_copy(update={"parameters": parameters}))
