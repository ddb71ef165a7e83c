"""Outcomes of a partition that is under way: a provisional batch, which history reads and nothing else.

A source that already offers the partition gives the rows of the days that have ended. They are judged by the gates
that look at rows alone, on a branch of their own, which goes once the partition has arrived as a whole.
"""

import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_derived
from ml_platform.datasets.quarantine import separate
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.times import days
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.pipeline.judging import batch_gates, held_by, judged, unjudged
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

#: Gates that look at each row or at rows of one key. What needs a whole partition or earlier ones says nothing here.
ROW_GATES = ("schema", "rules", "duplicates", "window")


class Provisional(NamedTuple):
    """What is known of a partition that is under way."""

    partition: str
    commit: str
    path: str
    sha256: str


class Taken(NamedTuple):
    """What came of asking a source for its partition that is under way."""

    #: The newest content that its gates let pass, from this or an earlier day; None where there is none.
    accepted: Provisional | None
    #: The verdicts on what came now.
    verdicts: list[Verdict]


def row_gates(workspace: Workspace, spec: DatasetSpec) -> tuple[Gate, ...]:
    """The declared gates of a batch that look at rows alone."""
    return tuple(gate for gate in batch_gates(workspace, spec) if gate.gate in ROW_GATES)


def offered(workspace: Workspace, spec: DatasetSpec) -> tuple[str, str] | None:
    """The partition under way that the source offers, and what changes when there may be more of it."""
    today = workspace.now().date()
    partition = _under_way(workspace, spec)
    fingerprint = workspace.source(spec).partitions().get(partition) if partition else None
    return (partition, sha256_bytes(canonical_json([fingerprint, today]))) if partition and fingerprint else None


def _under_way(workspace: Workspace, spec: DatasetSpec) -> str | None:
    """The partition of which days have ended, and not all; of an hour none has."""
    return None if spec.partitions.hourly else spec.partitions.under_way(workspace.now())


def take(workspace: Workspace, spec: DatasetSpec, run: Run) -> Taken:
    """Read, commit and judge the days of the partition under way that have ended.

    Where its gates refuse what came, an earlier day's content stays in use. Branches of partitions that have arrived
    as a whole are deleted.
    """
    arrived = batches.newest(workspace.store, spec.name)
    for branch in workspace.store.branches(_branch(spec, "")):
        if branch.removeprefix(_branch(spec, "")) in arrived:
            workspace.store.delete_branch(branch)
    today = workspace.now().date()
    partition = _under_way(workspace, spec)
    if not partition or partition in arrived or offered(workspace, spec) is None:
        return Taken(None, [])
    frame = _days(workspace, spec, partition, today)
    verdicts: list[Verdict] = []
    if frame.height:
        path = f"provisional/{spec.name}/{partition}.parquet"
        with tempfile.TemporaryDirectory(prefix="provisional-") as folder:
            file = Path(folder) / "rows.parquet"
            sha256 = write_frame(frame, file)
            said = f"Days of {spec.name}/{partition} before {today}"
            labels = {path: {"rows": str(frame.height), "until": str(frame[spec.time].max())[:10]}}
            commit_derived(workspace.store, _branch(spec, partition), {path: file}, run, said, labels)
        verdicts = _judge(workspace, spec, partition, frame, sha256, run)
    return Taken(accepted(workspace, spec, partition), verdicts)


def accepted(workspace: Workspace, spec: DatasetSpec, partition: str) -> Provisional | None:
    """The newest content of a partition under way that no gate holds back; None where there is none."""
    branch, path = _branch(spec, partition), f"provisional/{spec.name}/{partition}.parquet"
    if branch not in workspace.store.branches(branch):
        return None
    gates, name = row_gates(workspace, spec), _name(spec, partition)
    seen: set[str] = set()
    for commit in workspace.store.log(branch):
        if not any(info.path == path for info in workspace.store.list(commit.id, path)):
            return None
        sha256 = workspace.store.stat(commit.id, path).sha256
        if sha256 in seen:
            continue
        seen.add(sha256)
        known = workspace.ledger.judgement(name, sha256, gates)
        if not held_by(known, gates) and not unjudged(known, gates):
            return Provisional(partition, commit.id, path, sha256)
    return None


def rows(workspace: Workspace, found: Provisional) -> "pl.DataFrame":
    """The rows of a provisional batch, verified."""
    return batches.read_at(workspace.store, found.commit, found.path, found.sha256)


def _name(spec: DatasetSpec, partition: str) -> str:
    return f"{spec.name}/provisional/{partition}"


def _branch(spec: DatasetSpec, partition: str) -> str:
    return f"provisional-{spec.name}-{partition}"


def _days(workspace: Workspace, spec: DatasetSpec, partition: str, today: date) -> "pl.DataFrame":
    """The rows of the partition's days that have ended, as a batch of them would be."""
    frame = workspace.source(spec).read(partition)
    if spec.quarantine is not None:
        frame, _ = separate(spec.load_schema(), frame, new_columns=spec.new_columns)
    day = days(frame[spec.time])
    return frame.filter((day >= date.fromisoformat(partition)) & (day < today))


def _judge(
    workspace: Workspace, spec: DatasetSpec, partition: str, frame: "pl.DataFrame", sha256: str, run: Run
) -> list[Verdict]:
    from ml_platform.gates.batch import BatchEvidence

    evidence = BatchEvidence(
        frame=lambda: frame,
        schema=spec.load_schema,
        key=spec.key,
        earlier_rows={},
        new_columns=spec.new_columns,
        time=spec.time,
        window=spec.partitions.window(partition),
        now=workspace.now(),
    )
    name = _name(spec, partition)
    return judged(workspace, row_gates(workspace, spec), evidence, subject=sha256, name=name, run=run)
