"""Models as the code of a pull request makes them: from published data, on a branch, beside the champions.

Batches are judged again as declared now; features go to a branch of their own in the named store; training,
evaluation and package stay in a folder. Nothing of it is published, registered or deployed.
"""

import shutil
import traceback
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from pydantic import SecretStr

from ml_platform.datasets import batches
from ml_platform.datasets.names import check_name
from ml_platform.datasets.store import MAIN
from ml_platform.datasets.view import StoreView
from ml_platform.declarations.context import ModelContext
from ml_platform.features.materialize import BRANCH
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import GATED, Stage
from ml_platform.pipeline import champions, data, evaluation, inspections, refit, registration, release, training
from ml_platform.pipeline.published import adopt, published_batches
from ml_platform.pipeline.workspace import Ports, Workspace
from ml_platform.references.refs import DatasetRef

#: Stages that a trial judges, in order. There is no deployment.
STAGES: tuple[Stage, ...] = GATED[: GATED.index("deployment")]
#: Start of the name of every branch that a trial makes.
PREFIX = "check-"


class Judged(NamedTuple):
    """The verdicts on one content; none, and why, where a stage was not reached."""

    stage: Stage
    partition: str
    verdicts: list[Verdict]
    missing: str = ""


class Trial:
    """Trials of several models on one branch; what they share (batches, features) is made and judged once.

    Raises InvalidName for a branch that the store cannot hold.
    """

    def __init__(self, workspace: Workspace, branch: str, run: Run) -> None:
        check_name("branch", branch)
        self.named, self.run = workspace, run
        self.branch = f"{PREFIX}{branch}"
        self._folder = workspace.settings.local / "check" / branch
        self._judged: dict[tuple[str, str], list[Verdict]] = {}
        self._made = False

    @cached_property
    def workspace(self) -> Workspace:
        """A workspace whose store is a view of the named one, with ledger and MLflow in an empty folder of the trial.

        It makes none of the named ledger's entries; overrides in that one hold here too.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        settings = self.named.settings.model_copy(
            update={
                "local": self._folder,
                # Of this trial alone: it does not go on from that of the one before.
                "ledger_url": SecretStr(f"sqlite:///{self._folder / f'ledger-{self.run.id}.db'}"),
                "ledger_key": SecretStr(""),
                "adapters": "",
                "mlflow_tracking_uri": SecretStr(""),
                "approval": "automatic",
            }
        )
        self._made = True
        # Store and registry of the named workspace note the head of its ledger, not of this one.
        scratch = Workspace(settings, Ports(anchors=lambda _: ()))
        return scratch.with_(store=StoreView(self.named.store, {BRANCH: self.branch}))

    def close(self) -> None:
        """Remove the branch. What the trial left in its folder stays until the next one of the same name."""
        if self._made:
            self.named.store.delete_branch(self.branch)

    def of(self, context: ModelContext) -> Iterator[Judged]:
        """Run and judge every stage of a model; one that cannot be reached says why, and so do all after it.

        A store without published batches and a champion that a gate asks for and that is not there are missing
        evidence, not a pass. So is what the code of the pull request breaks; its traceback goes to stderr.
        """
        reached = 0
        try:
            refs = self._batches(context)
            adopt(self.workspace, self.named, context.dataset.name, self.run)
            for partition, ref in refs.items():
                yield Judged("batch", partition, self._judge(context, ref))
            reached = 1
            workspace, run = self.workspace, self.run
            features = data.featurize(workspace, context.feature_set, context.dataset, refs, run)
            for partition, ref in features.items():
                yield Judged("features", partition, self._judge(context, ref))
            reached = 2
            split = training.split(workspace, context, features, run, first=min(refs))
            yield Judged("split", "", training.inspect_split(workspace, context, split, run))
            reached = 3
            reference = training.fit(workspace, context, split, run)
            self._bring_champion(context)
            # Compared is with the champion of the named registry; registered is in the trial's own.
            beside = workspace.with_(registry=self.named.registry)
            report = evaluation.evaluate(beside, context, reference, run)
            yield Judged("evaluation", "", inspections.inspect_evaluation(beside, context, report, run))
            reached, refitted = 4, None
            if context.model.split.refit:
                refitted = refit.refit(workspace, context, report, run)
                yield Judged("refit", "", inspections.inspect_refit(beside, context, refitted, run))
            reached = 5
            version = registration.register(workspace, context, report, run, refitted, compared=True)
            service = release.package(workspace, context, version, run)
            yield Judged("service", "", release.inspect_service(workspace, context, service, run))
        except Exception as error:
            if isinstance(error, PlatformError):
                why = str(error)
            else:
                traceback.print_exc()
                why = f"{type(error).__name__}: {error}"
            left: list[Stage] = [one for one in STAGES[reached:] if one != "refit" or context.model.split.refit]
            yield from (Judged(stage, "", [], why) for stage in left)

    def _batches(self, context: ModelContext) -> dict[str, DatasetRef]:
        """References to the newest published batches, as many as the model declares for a trial."""
        store, name = self.named.store, context.dataset.name
        there = published_batches(self.named, name)
        chosen = sorted(there)[-(context.model.check_partitions or len(there)) :]
        if not chosen and (held := batches.published(store, name)):
            raise MissingReference(
                f"repository {store.repository} has {len(held)} batches of {name}, and the ledger knows of no "
                "publication of them; name the ledger that does (ML_PLATFORM_LEDGER_URL)"
            )
        if not chosen:
            raise MissingReference(
                f"repository {store.repository} has no published batch of {name}; "
                "name the store that has (ML_PLATFORM_STORE and its settings)"
            )
        head = store.resolve(MAIN)
        return {
            partition: batches.reference(there[partition], name, partition, MAIN, head, self.run)
            for partition in chosen
        }

    def _judge(self, context: ModelContext, ref: DatasetRef) -> list[Verdict]:
        """The verdicts on a batch or on features, with the overrides that hold in the named ledger."""
        key = (ref.dataset, ref.partition)
        if key not in self._judged:
            workspace, dataset, run = self.workspace, context.dataset, self.run
            workspace.ledger.adopt_overrides(self.named.ledger, [ref.sha256], run_id=run.id, provenance=run.provenance)
            self._judged[key] = (
                data.audit(workspace, dataset, ref, run)
                if ref.dataset == dataset.name
                else data.inspect_features(workspace, context.feature_set, dataset, ref, run)
            )
        return self._judged[key]

    def _bring_champion(self, context: ModelContext) -> None:
        """Put the files of the champion, and of the one before it, where the trial's MLflow looks for models."""
        name, named, workspace = context.model.name, self.named, self.workspace
        asked = [gate.name for gate in context.model.gates_of("evaluation") if gate.gate in ("champion", "churn")]
        if asked and champions.champion(named, name) is None:
            raise MissingReference(
                f"{name}: the registry at {named.tracking.address} has no champion, which {', '.join(asked)} asks for; "
                "name the MLflow that has (ML_PLATFORM_MLFLOW_TRACKING_URI), or deploy a first version"
            )
        champions.adopt(workspace, named, name, self.run)
        for version in champions.compared(named, name):
            for reference in (version.model_ref, version.model_ref.evaluated):
                source, target = named.tracking.model_path(reference), workspace.tracking.cached(reference)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
