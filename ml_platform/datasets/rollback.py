"""Take a published batch back: ``main`` holds an earlier content of the partition again, by a new commit."""

from collections.abc import Mapping
from pathlib import Path

from ml_platform.datasets.batches import batch_path, batch_tag, published
from ml_platform.datasets.derived import private_commit, sha256_at
from ml_platform.datasets.history import Known, earlier_contents, publications
from ml_platform.datasets.quarantine import quarantine_path, require_named
from ml_platform.datasets.store import MAIN, Conflict, NotFound, VersionedStore
from ml_platform.datasets.unasked import unasked
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance


def require_present(store: VersionedStore, dataset: str, partition: str) -> None:
    """Raise NotFound where ``main`` holds nothing of a partition, whoever put it there."""
    main = store.resolve(MAIN)
    if all(sha256_at(store, main, path) is None for path in _paths(dataset, partition)):
        raise NotFound(f"{dataset}/{partition} is not published; see ml-platform data log {dataset}")


def _paths(dataset: str, partition: str) -> tuple[str, str]:
    return batch_path(dataset, partition), quarantine_path(dataset, partition)


def target(store: VersionedStore, dataset: str, partition: str, content: str = "", *, known: Known) -> str:
    """sha256 of the content to return to: the one before the present, or the one that starts with ``content``.

    Only what is ``known`` to have been published counts. Where ``main`` holds what never was (see
    :mod:`ml_platform.datasets.unasked`), it is what was last.
    Raises PlatformError where there is none or several.
    """
    name = f"{dataset}/{partition}"
    held = published(store, dataset).get(partition)
    items = list(publications(store, dataset, partition, known=known))
    if content:
        there = dict.fromkeys(item.sha256 for item in items if item.sha256)
        fitting = [sha256 for sha256 in there if sha256.startswith(content)]
        if len(fitting) != 1:
            what = f"{len(fitting)} contents that start" if fitting else "no content that starts"
            raise PlatformError(
                f"{name} has {what} with {content}; published were {', '.join(sha256[:12] for sha256 in there)}"
            )
        if held is not None and fitting[0] == held.sha256:
            raise PlatformError(f"{name} holds {content} already; nothing was changed")
        return fitting[0]
    if items and items[0].sha256 and any(one.partition == partition for one in unasked(store, dataset, known=known)):
        return items[0].sha256
    require_present(store, dataset, partition)
    stack = earlier_contents(store, dataset, partition, known=known)
    if len(stack) < 2 or not stack[-2]:
        raise PlatformError(
            f"{name}: there is no content before the present one; publish a corrected batch, or take the partition "
            "out altogether with --withdraw"
        )
    return stack[-2]


def roll_back(
    store: VersionedStore,
    dataset: str,
    partition: str,
    to: str,
    *,
    run_id: str,
    ledger_head: str,
    provenance: Provenance,
    reason: str,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Make ``main`` hold content ``to`` of a partition (empty: nothing) with its quarantine; returns the commit.

    The bytes are taken from where they were published, and come by a merge: of a revert a server could not tell what
    it changes. Where ``main`` holds all of it already nothing is done. Raises Conflict where another run publishes
    the partition at the same time.
    """
    paths = path, _ = _paths(dataset, partition)
    main = store.resolve(MAIN)
    origin = published_at(store, dataset, partition, to) if to else None
    held = {name: sha256_at(store, main, name) for name in paths}
    wanted = {name: sha256_at(store, origin, name) if origin else None for name in paths}
    if held == wanted:
        return main
    facts = {
        **(metadata or {}),
        "run_id": run_id,
        "dataset": dataset,
        "partition": partition,
        "sha256": to,
        "rows": store.stat(origin, path).metadata["rows"] if origin else "0",
        "rolled_back": held[path] or "",
        "reason": reason,
        "ledger_head": ledger_head,
        "code_commit": provenance.code_commit,
    }
    return _restore(store, main, origin, wanted, f"Roll back {dataset}/{partition}", facts)


def published_at(store: VersionedStore, dataset: str, partition: str, sha256: str) -> str:
    """Commit that published a content, with what was set aside from it.

    Raises NotFound where there is none, Corrupt where other rows lie beside it there.
    """
    try:
        commit = store.resolve(batch_tag(dataset, partition, sha256))
        held = sha256_at(store, commit, batch_path(dataset, partition))
    except NotFound:
        held = commit = ""
    # A tag can be moved.
    if held != sha256:
        raise NotFound(f"{dataset}/{partition}: content {sha256[:12]} was never published")
    require_named(store, commit, dataset, partition)
    return commit


def _restore(
    store: VersionedStore,
    main: str,
    origin: str | None,
    wanted: Mapping[str, str | None],
    message: str,
    facts: Mapping[str, str],
) -> str:
    """Merge a commit that holds the objects of ``origin`` at the wanted paths and removes the others."""
    files: dict[str, Path | None] = {}
    labels: dict[str, Mapping[str, str]] = {}
    for name, sha256 in wanted.items():
        files[name] = None
        if sha256 is not None and origin is not None:
            files[name] = store.local_path(origin, name)
            labels[name] = store.stat(origin, name).metadata
    # Only the merge anchors the ledger: it is what changes the partition.
    prepared = {name: value for name, value in facts.items() if not name.startswith("ledger_")}
    with private_commit(store, MAIN, main, files, labels, message, prepared) as work:
        try:
            return store.merge(work, MAIN, message, facts)
        except Conflict as error:
            raise Conflict(f"{message}: another run published it meanwhile; look again", error.paths) from error
