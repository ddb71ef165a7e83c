"""Where the batches of a dataset lie in a store, under which names, and how they are read."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ml_platform.datasets import quarantine
from ml_platform.datasets.store import MAIN, NotFound, ObjectInfo, VersionedStore
from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.parquet import read_frame
from ml_platform.foundation.provenance import Run
from ml_platform.references.refs import DatasetRef

if TYPE_CHECKING:
    import polars as pl

_PLAIN_DATASET = re.compile(r"[A-Za-z0-9_]{1,60}")
_PLAIN_PARTITION = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ENDING = ".parquet"
_OF_BATCH = re.compile(rf"datasets/([^/]+)/(?:{quarantine.FOLDER})?(.+){re.escape(_ENDING)}")


class Content(Protocol):
    """What :func:`read` needs: a ``DatasetRef`` and a ``ManifestEntry`` have it."""

    @property
    def commit(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def reference(info: ObjectInfo, dataset: str, partition: str, branch: str, commit: str, run: Run) -> DatasetRef:
    """A batch that lies in a store, as ``run`` found it there."""
    return DatasetRef(
        run_id=run.id,
        provenance=run.provenance,
        dataset=dataset,
        partition=partition,
        branch=branch,
        commit=commit,
        path=info.path,
        sha256=info.sha256,
        rows=int(info.metadata["rows"]),
    )


def _folder(dataset: str) -> str:
    return f"datasets/{dataset}/"


def batch_path(dataset: str, partition: str) -> str:
    """Where a partition of a dataset lies on every branch. Raises PlatformError for a name that quarantine takes."""
    if partition.startswith(quarantine.FOLDER):
        raise PlatformError(f"partition {partition!r}: names below {quarantine.FOLDER} are taken; use another")
    return f"{_folder(dataset)}{partition}{_ENDING}"


def partition_of(path: str) -> tuple[str, str] | None:
    """Dataset and partition of a batch, or of what was set aside from it; None for any other path."""
    found = _OF_BATCH.fullmatch(path)
    return (found[1], found[2]) if found else None


def _name(dataset: str, partition: str) -> str:
    """A name for branches and tags; different partitions never share one."""
    if _PLAIN_DATASET.fullmatch(dataset) and _PLAIN_PARTITION.fullmatch(partition):
        return f"{dataset}-{partition}"
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", f"{dataset}-{partition}")[:100].strip("-")
    return f"{readable}-{sha256_bytes(canonical_json([dataset, partition]))[:12]}".removeprefix("-")


def staging_branch(dataset: str, partition: str) -> str:
    """Branch on which a partition waits for its verdicts."""
    return f"stage-{_name(dataset, partition)}"


def batch_tag(dataset: str, partition: str, sha256: str) -> str:
    """Tag of a published batch."""
    return f"{_name(dataset, partition)}-{sha256[:12]}"


def read(store: VersionedStore, ref: Content, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """The frame that a reference names, read at its commit; all columns or those named.

    Raises NotFound where the commit or path is gone and Corrupt where the content is not ``ref.sha256``.
    """
    return read_at(store, ref.commit, ref.path, ref.sha256, columns)


def published(store: VersionedStore, dataset: str) -> dict[str, ObjectInfo]:
    """Partition to object, for every batch of a dataset on ``main``."""
    return batches_at(store, MAIN, dataset)


def batches_at(store: VersionedStore, ref: str, dataset: str) -> dict[str, ObjectInfo]:
    """Partition to object, for every batch of a dataset at a commit, tag or branch.

    An object that the platform did not put is no batch, wherever it lies; see :mod:`ml_platform.datasets.unasked`.
    """
    folder = _folder(dataset)
    listed = ((_batch_of(info.path, dataset), info) for info in store.list(ref, folder) if info.sha256)
    return {partition: info for partition, info in listed if partition}


def candidates(store: VersionedStore, dataset: str) -> dict[str, ObjectInfo]:
    """Partition to the newest object of a batch: the staged one where there is one, else the published."""
    return {partition: info for partition, (_, info) in newest(store, dataset).items()}


def newest(store: VersionedStore, dataset: str) -> dict[str, tuple[str, ObjectInfo]]:
    """Partition to the newest object of a batch and the branch that holds it: its staging branch, or ``main``."""
    found = {partition: (MAIN, info) for partition, info in published(store, dataset).items()}
    for branch in store.branches("stage-"):
        try:
            commit = store.resolve(branch)
            # What a branch brought, not all that it holds: that is every batch there is, for each of the branches.
            brought = [one.path for one in store.diff(MAIN, commit) if one.type != "removed"]
            staged = {partition: path for path in brought if (partition := _batch_of(path, dataset))}
            for partition, path in staged.items():
                held = found.get(partition)
                if branch == staging_branch(dataset, partition):
                    info = store.stat(commit, path)
                    if info.sha256 and (held is None or held[1].sha256 != info.sha256):
                        found[partition] = branch, info
        except NotFound:
            # Published and deleted by another run since the branches were listed.
            continue
    return found


def _batch_of(path: str, dataset: str) -> str:
    """Partition of a batch of a dataset; empty for any other path."""
    folder = _folder(dataset)
    inner = path.removeprefix(folder)
    batch = path.startswith(folder) and path.endswith(_ENDING) and not inner.startswith(quarantine.FOLDER)
    return inner.removesuffix(_ENDING) if batch else ""


def read_at(
    store: VersionedStore,
    ref: str,
    path: str,
    sha256: str | None = None,
    columns: Sequence[str] | None = None,
) -> "pl.DataFrame":
    """The frame at a path of a commit, tag or branch. Raises Corrupt where it is not content ``sha256``."""
    commit = store.resolve(ref)
    held = store.stat(commit, path).sha256
    if sha256 is not None and held != sha256:
        raise Corrupt(
            f"{path} at commit {commit} is content {held}, but {sha256} was asked for; materialize the asset again"
        )
    return read_frame(store.local_path(commit, path), columns)


def read_batch(
    store: VersionedStore, dataset: str, partition: str, sha256: str, columns: Sequence[str] | None = None
) -> "pl.DataFrame":
    """A published batch by its content, also after it was replaced.

    Raises NotFound where it never was published.
    """
    tag = batch_tag(dataset, partition, sha256)
    try:
        commit = store.resolve(tag)
    except NotFound:
        raise NotFound(
            f"{dataset}/{partition}: content {sha256[:12]} was never published (there is no tag {tag}); "
            "materialize the dataset again"
        ) from None
    return read_at(store, commit, batch_path(dataset, partition), sha256, columns)
