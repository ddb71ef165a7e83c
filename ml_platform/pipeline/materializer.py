"""The features of a workspace: one materializer for every step of a process."""

from functools import partial

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.features.materialize import Materializer
from ml_platform.pipeline import recorded_derivations
from ml_platform.pipeline.judging import batch_gates
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace


def materializer_of(workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec) -> Materializer:
    """The materializer of a feature set in this workspace: what it has read serves every step of the process."""

    def make() -> Materializer:
        return Materializer(
            workspace.store,
            key=spec.key,
            dataset=dataset.name,
            partitions=dataset.partitions,
            published=lambda: published_batches(workspace, dataset.name),
            lag=spec.history_lag,
            refresh=spec.refresh,
            function=partial(workspace.function, spec),
            codes=partial(workspace.feature_codes, spec),
            refused=lambda: [
                name.removeprefix(dataset.prefix)
                for name in workspace.ledger.refused(dataset.prefix, batch_gates(workspace, dataset))
            ],
            history=workspace.steps.history,
            made=partial(recorded_derivations.of, workspace),
            note=partial(recorded_derivations.note, workspace),
        )

    return workspace.shared(f"features {spec.model_dump_json()} {dataset.model_dump_json()}", make)
