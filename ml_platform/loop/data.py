"""From a source to published batches and validated features: write, audit, publish."""

from ml_platform.datasets import publishing
from ml_platform.declarations import DatasetSpec, FeatureSpec
from ml_platform.errors import MissingReference
from ml_platform.gates.gate import Verdict, judge
from ml_platform.refs import DatasetRef
from ml_platform.workspace import Run, Workspace


def ingest(workspace: Workspace, spec: DatasetSpec, partition: str, run: Run) -> DatasetRef:
    """Read one partition at its source and commit it on a staging branch. Nothing is published."""
    spec.partitions.window(partition)
    source = spec.load_source()
    if partition not in source.partitions():
        raise MissingReference(
            f"{spec.name}: the source has no partition {partition}; it has {_span(source.partitions())}"
        )
    frame = source.read(partition)
    return publishing.stage(workspace.store, spec.name, partition, frame, run_id=run.id, provenance=run.provenance)


def audit(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef, run: Run) -> list[Verdict]:
    """Judge a staged batch by its content and write the verdicts to the ledger."""
    from ml_platform.gates.batch import BatchEvidence

    evidence = BatchEvidence(
        frame=lambda: publishing.read(workspace.store, ref),
        schema=spec.load_schema,
        key=spec.key,
        earlier_rows=accepted_rows(workspace, spec, before=ref.partition),
    )
    verdicts = judge(spec.gates_of("batch"), evidence, subject=ref.sha256, subject_name=f"{spec.prefix}{ref.partition}")
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return verdicts


def accepted_rows(workspace: Workspace, spec: DatasetSpec, *, before: str) -> dict[str, int]:
    """Rows of the earlier partitions whose newest content is not held back.

    Refused batches do not count: a bad March must not change April's verdict.
    """
    objects = publishing.candidates(workspace.store, spec.name)
    held = workspace.ledger.refused(spec.prefix)
    return {
        partition: int(info.metadata["rows"])
        for partition, info in sorted(objects.items())
        if partition < before and f"{spec.prefix}{partition}" not in held
    }


def publish(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef, run: Run) -> DatasetRef:
    """Merge a staged batch into ``main``; raises Refused unless its own content passed every gate."""
    workspace.ledger.require(ref.sha256, spec.gates_of("batch"), subject_name=f"{spec.prefix}{ref.partition}")
    workspace.ledger.decide(
        "publication",
        subject=ref.sha256,
        subject_name=f"{spec.name}/dataset/{ref.partition}",
        body={"rows": ref.rows},
        run_id=run.id,
        provenance=run.provenance,
    )
    return publishing.publish(
        workspace.store,
        ref,
        run_id=run.id,
        ledger_head=workspace.ledger.head(),
        provenance=run.provenance,
    )


def refused_partitions(workspace: Workspace, spec: DatasetSpec) -> dict[str, list[Verdict]]:
    """Partitions whose newest batch is held back and of which nothing is published."""
    published = publishing.published(workspace.store, spec.name)
    held = workspace.ledger.refused(spec.prefix)
    return {
        name.removeprefix(spec.prefix): verdicts
        for name, verdicts in held.items()
        if name.removeprefix(spec.prefix) not in published
    }


def not_published(spec: DatasetSpec, partition: str) -> MissingReference:
    """The error for a partition that is neither published nor refused."""
    return MissingReference(
        f"{spec.name}/dataset/{partition} is neither published nor refused; materialize {spec.name}/batch and "
        f"{spec.name}/dataset for it first"
    )


def featurize(
    workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, refs: dict[str, DatasetRef], run: Run
) -> dict[str, DatasetRef]:
    """Build the features of published partitions, each from its own rows and the history before them."""
    from ml_platform.features.materialize import Materializer

    return Materializer(workspace, spec, dataset).materialize(refs, run)


def inspect_features(
    workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, ref: DatasetRef, run: Run
) -> list[Verdict]:
    """Judge the features of one partition and write the verdicts to the ledger."""
    from ml_platform.features.materialize import Materializer
    from ml_platform.gates.features import FeatureEvidence

    evidence = FeatureEvidence(Materializer(workspace, spec, dataset), ref)
    verdicts = judge(
        spec.gates_of("features"), evidence, subject=ref.sha256, subject_name=f"{spec.key}/{ref.partition}"
    )
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return verdicts


def _span(partitions: dict[str, str]) -> str:
    keys = sorted(partitions)
    return f"{keys[0]} to {keys[-1]}" if keys else "none"
