"""A model as the code of a pull request makes it: from published data, on a branch, beside the champion.

Batches are judged again as declared now; features go to a branch of their own in the named store; training,
evaluation and package stay in a folder. Nothing of it is published, registered or deployed.
"""

import shutil
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from ml_platform.datasets import publishing
from ml_platform.datasets.store import MAIN
from ml_platform.datasets.view import StoreView
from ml_platform.declarations import ModelContext
from ml_platform.errors import MissingReference, PlatformError
from ml_platform.features.materialize import BRANCH
from ml_platform.gates.gate import Stage, Verdict
from ml_platform.loop import data, evaluation, model, release
from ml_platform.refs import DatasetRef
from ml_platform.registry.registry import Registry
from ml_platform.workspace import Run, Workspace

#: Stages that a trial judges, in order. There is no deployment.
STAGES: tuple[Stage, ...] = ("batch", "features", "split", "evaluation", "service")


class Judged(NamedTuple):
    """The verdicts on one content; none, and why, where a stage was not reached."""

    stage: Stage
    partition: str
    verdicts: list[Verdict]
    missing: str = ""


def scratch(workspace: Workspace, branch: str, name: str) -> Workspace:
    """A workspace whose store is a view of the named one, with ledger and MLflow in an empty folder of the trial."""
    folder = workspace.settings.local / "check" / branch / name
    shutil.rmtree(folder, ignore_errors=True)
    settings = workspace.settings.model_copy(
        update={"local": folder, "ledger_url": "", "mlflow_tracking_uri": "", "approval": "automatic"}
    )
    found = Workspace(settings)
    found.__dict__["store"] = StoreView(workspace.store, {BRANCH: f"check-{branch}"})
    found.__dict__["registry"] = workspace.registry
    return found


def trial(workspace: Workspace, context: ModelContext, branch: str, run: Run) -> Iterator[Judged]:
    """Run and judge every stage; a stage that cannot be reached says why, and so do all after it.

    A champion that a gate asks for and that is not there is missing evidence, not a pass. Raises InvalidName for a
    branch that the store cannot hold.
    """
    name = context.model.name
    chosen = sorted(publishing.published(workspace.store, context.dataset.name))
    if context.model.check_partitions:
        chosen = chosen[-context.model.check_partitions :]
    if not chosen:
        yield from _missing(
            STAGES,
            f"repository {workspace.store.repository} has no published batch of {context.dataset.name}; "
            "name the store that has (ML_PLATFORM_STORE and its settings)",
        )
        return
    place = scratch(workspace, branch, name)
    first = context.dataset.partitions.model_copy(update={"start": date.fromisoformat(chosen[0])})
    context = ModelContext(context.model, context.feature_set, context.dataset.model_copy(update={"partitions": first}))
    reached = 0
    try:
        batches = {partition: _batch(place, context, partition, run) for partition in chosen}
        for partition, ref in batches.items():
            yield Judged("batch", partition, data.audit(place, context.dataset, ref, run))
        reached = 1
        features = data.featurize(place, context.feature_set, context.dataset, batches, run)
        for partition, ref in features.items():
            verdicts = data.inspect_features(place, context.feature_set, context.dataset, ref, run)
            yield Judged("features", partition, verdicts)
        reached = 2
        split = model.split(place, context, features, run)
        yield Judged("split", "", model.inspect_split(place, context, split, run))
        reached = 3
        reference = model.fit(place, context, split, run)
        _bring_champion(workspace, place, context)
        report = evaluation.evaluate(place, context, reference, run)
        yield Judged("evaluation", "", evaluation.inspect_evaluation(place, context, report, run))
        reached = 4
        place.__dict__["registry"] = Registry(place.tracking)
        version = evaluation.register(place, context, report, run)
        service = release.package(place, context, version, run)
        yield Judged("service", "", release.inspect_service(place, context, service, run))
    except PlatformError as error:
        yield from _missing(STAGES[reached:], str(error))


def _missing(stages: tuple[Stage, ...], why: str) -> Iterator[Judged]:
    return (Judged(stage, "", [], why) for stage in stages)


def _batch(workspace: Workspace, context: ModelContext, partition: str, run: Run) -> DatasetRef:
    name = context.dataset.name
    info = publishing.published(workspace.store, name)[partition]
    return DatasetRef(
        run_id=run.id,
        provenance=run.provenance,
        dataset=name,
        partition=partition,
        branch=MAIN,
        commit=workspace.store.resolve(MAIN),
        path=info.path,
        sha256=info.sha256,
        rows=int(info.metadata["rows"]),
    )


def _bring_champion(workspace: Workspace, place: Workspace, context: ModelContext) -> None:
    """Put the files of the champion, and of the one before it, where the trial's MLflow looks for models."""
    name = context.model.name
    asked = [gate.name for gate in context.model.gates_of("evaluation") if gate.gate in ("champion", "churn")]
    if asked and workspace.registry.champion(name) is None:
        raise MissingReference(
            f"{name}: the registry at {workspace.tracking.address} has no champion, which {', '.join(asked)} asks for; "
            "name the MLflow that has (ML_PLATFORM_MLFLOW_TRACKING_URI), or deploy a first version"
        )
    for version in (workspace.registry.champion(name), workspace.registry.previous(name)):
        if version is not None:
            source = workspace.tracking.model_path(version.model_ref)
            target = place.tracking.cached(version.model_ref.sha256)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
