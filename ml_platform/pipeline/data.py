"""From a source to published batches and validated features: write, audit, publish."""

from typing import TYPE_CHECKING

from ml_platform.datasets import batches, publishing
from ml_platform.datasets.quarantine import labels, new_columns_of, quarantined, separate
from ml_platform.datasets.store import MAIN, NotFound
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.foundation.names import some
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.kinds import OVERRIDE, PUBLICATION, VERDICT
from ml_platform.pipeline.earlier_columns import EarlierColumns
from ml_platform.pipeline.judging import batch_gates, feature_gates, judged, require, unjudged
from ml_platform.pipeline.published import (
    labels_of,
    name_of,
    published_batches,
    published_before,
    require_asked,
)
from ml_platform.pipeline.rollback import require_none_again, withdrawal, withdrawn
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from ml_platform.datasets.store import ObjectInfo

    #: Partition to an object of its content and the branch that holds it.
    Contents = dict[str, tuple[str, ObjectInfo]]


def ingest(workspace: Workspace, spec: DatasetSpec, partition: str, run: Run) -> DatasetRef:
    """Read one partition at its source and commit it on a staging branch. Nothing is published.

    Where the dataset declares a quarantine, rows that break a rule are set aside into the same commit; how many
    may be is for the gate to say. Raises MissingReference for a partition that the source lacks, or that has not ended:
    what is refused of half a month would stay refused.
    """
    _, end = spec.partitions.window(partition)
    if partition in spec.partitions.to_come(workspace.now()):
        until = spec.partitions.key(end)
        raise MissingReference(f"{spec.name}: partition {partition} has not ended, wait until {until}")
    require_asked(workspace, spec.name, ingesting=True)
    # Named before any code is loaded: what is edited from here on is another context.
    batch_gates(workspace, spec)
    source = workspace.source(spec)
    if partition not in source.partitions():
        raise MissingReference(
            f"{spec.name}: the source has no partition {partition}; it has {_span(source.partitions())}"
        )
    frame, aside = source.read(partition), None
    if spec.quarantine is not None:
        frame, aside = separate(spec.load_schema(), frame, new_columns=spec.new_columns)
    return publishing.stage(
        workspace.store,
        spec.name,
        partition,
        frame,
        run_id=run.id,
        provenance=run.provenance,
        set_aside=aside,
        labels=labels(_unknown(spec, frame)),
    )


def reordered(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef) -> str:
    """That a staged batch has the rows that are published, in another order: its source broke its promise. Else empty.

    Only where content differs and as many rows came: both are read then.
    """
    there = published_batches(workspace, spec.name).get(ref.partition)
    if there is None or there.sha256 == ref.sha256 or int(there.metadata.get("rows", ref.rows)) != ref.rows:
        return ""
    before = batches.read_at(workspace.store, MAIN, there.path, there.sha256)
    now = batches.read(workspace.store, ref)
    if before.schema != now.schema or before.height != now.height:
        return ""
    if not before.hash_rows().sort().equals(now.hash_rows().sort()):
        return ""
    return (
        f"{spec.name}: partition {ref.partition} has the rows that are published, in another order, which is another "
        "batch: everything is made again from it; let the source give equal content in equal order (sort it in read)"
    )


def offered(workspace: Workspace, spec: DatasetSpec) -> tuple[dict[str, str], list[str]]:
    """Fingerprints of the partitions that the source offers and that have ended, and the names of all others, sorted.

    Raises what the source does, and DeclarationError where it names partitions otherwise than they are declared.
    """
    there, ended = workspace.source(spec).partitions(), {*spec.partitions.keys(workspace.now())}
    return {name: mark for name, mark in there.items() if name in ended}, sorted(there.keys() - ended)


def no_partitions(spec: DatasetSpec, names: list[str]) -> str:
    """That what a source offers cannot be ingested."""
    return (
        f"{spec.name}: the source offers {some(names)}, which is no partition that has ended ({spec.partitions.shown})"
    )


def _unknown(spec: DatasetSpec, frame: "pl.DataFrame") -> set[str]:
    """Columns that the schema does not know, where such are accepted."""
    if spec.new_columns == "refuse":
        return set()
    from ml_platform.validation.schema import columns

    return set(frame.columns) - {column.name for column in columns(spec.load_schema())}


def audit(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef, run: Run) -> list[Verdict]:
    """Judge a staged batch by its content and write the verdicts to the ledger."""
    from ml_platform.gates.batch import BatchEvidence

    earlier = compared_with(workspace, spec, ref)
    evidence = BatchEvidence(
        frame=lambda: _kept(workspace).keep(ref.sha256, batches.read(workspace.store, ref)),
        schema=spec.load_schema,
        key=spec.key,
        earlier_rows={partition: int(info.metadata["rows"]) for partition, (_, info) in earlier.items()},
        set_aside=lambda: quarantined(workspace.store, ref.commit, ref.dataset, ref.partition),
        new_columns=spec.new_columns,
        earlier_columns=_earlier_columns(spec, earlier),
        earlier=lambda partitions, columns: earlier_rows(workspace, spec, earlier, partitions, columns),
        time=spec.time,
        window=spec.partitions.window(ref.partition),
        now=workspace.now(),
        contents={partition: info.sha256 for partition, (_, info) in earlier.items()},
        replaced=lambda: _replaced(workspace, spec, ref),
        published_later=lambda: _published_later(workspace, spec, ref),
        measured=workspace.shared("measures of earlier batches", dict),
    )
    name = f"{spec.prefix}{ref.partition}"
    return judged(workspace, batch_gates(workspace, spec), evidence, subject=ref.sha256, name=name, run=run)


def _replaced(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef) -> "tuple[str, pl.DataFrame] | None":
    """What was published of the partition before this content, and what it answers to: where several corrections
    follow each other, the first content, or the last that a person let pass; a table without time grows, and answers
    to the one before.
    """
    before = _answered_to(workspace, spec, ref)
    return (before[0], batches.read_batch(workspace.store, spec.name, ref.partition, before[0])) if before else None


def _published_later(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef) -> "Iterator[tuple[str, pl.DataFrame]]":
    """What was published of it after that, each read when it is asked for."""
    for sha256 in _answered_to(workspace, spec, ref)[1:]:
        yield sha256, batches.read_batch(workspace.store, spec.name, ref.partition, sha256)


def _answered_to(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef) -> list[str]:
    """Published contents from the one on that this one answers to, oldest first; empty for the first."""
    before = published_before(workspace, spec.name, ref.partition, ref.sha256)
    if not spec.partitions.timed:
        return before[-1:]
    # From the newest on: no more verdicts are read than up to the last that was let pass.
    let = (at for at in reversed(range(len(before))) if _accepted(workspace, spec, ref.partition, before[at]))
    return before[next(let, 0) :]


def let_in(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str) -> set[str]:
    """Gates that held the content back and that a person had overridden when it was published last."""
    entries, name = workspace.ledger.entries(subject=sha256), name_of(spec.name, partition)
    last = max((one.sequence for one in entries if (one.kind, one.subject_name) == (PUBLICATION, name)), default=0)
    before = [one for one in entries if one.sequence < last and one.subject_name == f"{spec.prefix}{partition}"]
    status = {one.gate: one.body["status"] for one in before if one.kind == VERDICT}
    return {one.gate for one in before if one.kind == OVERRIDE and status.get(one.gate) != "passed"}


def _accepted(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str) -> bool:
    """Whether a person let a content pass that changed more than a correction may.

    What fails only now was published under other gates, and nobody accepted what it changed.
    """
    names = {gate.name for gate in spec.gates if gate.gate == "correction"}
    return not names.isdisjoint(let_in(workspace, spec, partition, sha256))


def _earlier_columns(spec: DatasetSpec, earlier: "Contents") -> tuple[str, ...]:
    """Columns beyond the schema that the batch before has: once accepted, none may vanish unnoticed."""
    if spec.new_columns == "refuse" or not earlier:
        return ()
    return new_columns_of(earlier[max(earlier)][1])


def earlier_rows(
    workspace: Workspace, spec: DatasetSpec, earlier: "Contents", partitions: tuple[str, ...], columns: tuple[str, ...]
) -> "pl.DataFrame":
    """Columns of the contents that a batch is compared with, one after the other."""
    import polars as pl

    kept = _kept(workspace)

    def frame(partition: str) -> "pl.DataFrame":
        branch, info = earlier[partition]
        try:
            return kept.read(branch, info, columns)
        except NotFound:
            # Published by another run since, so that its staging branch is gone.
            return kept.read(batches.batch_tag(spec.name, partition, info.sha256), info, columns)

    return pl.concat([frame(partition) for partition in partitions], how="vertical_relaxed")


def _kept(workspace: Workspace) -> EarlierColumns:
    return workspace.shared("columns of earlier batches", lambda: EarlierColumns(workspace.store))


def compared_with(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef) -> "Contents":
    """What a batch is compared with: of each earlier partition what is published, and else what waits for that with a
    pass of every gate as it stands now; without partitions what this one is to replace.

    Whatever else lies on a staging branch counts for nothing: anybody may have put it there. Nor does what a gate holds
    back: a bad March must not change April's verdict.
    """
    # Before what is published: what another run publishes meanwhile is missed in neither.
    staged = batches.newest(workspace.store, spec.name) if spec.partitions.timed else {}
    published = {name: (MAIN, info) for name, info in published_batches(workspace, spec.name).items()}
    if not spec.partitions.timed:
        return {name: found for name, found in published.items() if found[1].sha256 != ref.sha256}
    found = {name: one for name, one in sorted((staged | published).items()) if name < ref.partition}
    gates = batch_gates(workspace, spec)
    contents = {f"{spec.prefix}{name}": info.sha256 for name, (_, info) in found.items()}
    held = workspace.ledger.held_back(contents, gates)
    waiting = {about: contents[about] for name in found if (about := f"{spec.prefix}{name}") and name not in published}
    judged = workspace.ledger.judged(waiting, gates)

    def counts(about: str) -> bool:
        return about not in held and (about not in waiting or not unjudged(judged[about], gates))

    return {name: one for name, one in found.items() if counts(f"{spec.prefix}{name}")}


def publish(workspace: Workspace, spec: DatasetSpec, ref: DatasetRef, run: Run) -> DatasetRef:
    """Merge a staged batch into ``main``; raises Refused unless its own content passed every gate."""
    name = f"{spec.prefix}{ref.partition}"
    gates = batch_gates(workspace, spec)
    require(workspace, ref.sha256, gates, name=name, again=lambda: audit(workspace, spec, ref, run))
    if why := withdrawal(workspace, spec.name, ref.partition, ref.sha256):
        raise Refused(
            f"{name} ({ref.sha256[:12]}) was {why}. Deliver a corrected batch, or publish this one again with "
            f"ml-platform data rollback {spec.name} {ref.partition} --to {ref.sha256[:12]}"
        )
    staged = publishing.publishable(workspace.store, ref)
    commit = staged or workspace.store.resolve(MAIN)
    held = workspace.store.stat(commit, ref.path)
    workspace.ledger.decide(
        PUBLICATION,
        subject=ref.sha256,
        subject_name=name_of(spec.name, ref.partition),
        body={"rows": ref.rows, **labels_of(workspace, ref.dataset, ref.partition, held, commit)},
        run_id=run.id,
        provenance=run.provenance,
    )
    anchor = workspace.ledger.anchor()
    return publishing.publish(
        workspace.store,
        ref,
        run_id=run.id,
        ledger_head=anchor.head,
        provenance=run.provenance,
        metadata=anchor.facts,
        staged=staged,
    )


def refused(workspace: Workspace, spec: DatasetSpec) -> dict[str, list[Verdict]]:
    """Partitions whose newest batch is held back, with the verdicts that do so."""
    held = workspace.ledger.refused(spec.prefix, batch_gates(workspace, spec))
    return {name.removeprefix(spec.prefix): verdicts for name, verdicts in held.items()}


def refused_partitions(workspace: Workspace, spec: DatasetSpec) -> dict[str, list[Verdict]]:
    """Partitions whose newest batch is held back and of which nothing is published."""
    published = published_batches(workspace, spec.name)
    held = refused(workspace, spec)
    return {partition: verdicts for partition, verdicts in held.items() if partition not in published}


def withdrawn_partitions(workspace: Workspace, spec: DatasetSpec) -> set[str]:
    """Partitions whose newest content a person took out: it is left alone until another arrives."""
    return withdrawn(refused(workspace, spec))


def refused_corrections(workspace: Workspace, spec: DatasetSpec) -> dict[str, list[Verdict]]:
    """Published partitions whose newest batch is another one and is held back."""
    published = published_batches(workspace, spec.name)
    held = refused(workspace, spec)
    return {
        partition: verdicts
        for partition, verdicts in held.items()
        if partition in published and verdicts[0].subject != published[partition].sha256
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
    from ml_platform.pipeline.materializer import materializer_of

    require_asked(workspace, dataset.name)
    require_none_again(workspace, dataset)
    return materializer_of(workspace, spec, dataset).materialize(refs, run)


def inspect_features(
    workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, ref: DatasetRef, run: Run
) -> list[Verdict]:
    """Judge the features of one partition and write the verdicts to the ledger.

    Raises Stale for a reference that names them otherwise than the store has them.
    """
    from ml_platform.gates.features import FeatureEvidence
    from ml_platform.pipeline.materializer import materializer_of

    materializer = materializer_of(workspace, spec, dataset)
    materializer.require_stored(ref)
    evidence = FeatureEvidence(materializer, ref, dataset.outcomes)
    name = f"{spec.key}/{ref.partition}"
    gates = feature_gates(workspace, spec, dataset)
    return judged(workspace, gates, evidence, subject=ref.sha256, name=name, run=run, compared=ref.inputs)


def _span(partitions: dict[str, str]) -> str:
    keys = sorted(partitions)
    return f"{keys[0]} to {keys[-1]}" if keys else "none"
