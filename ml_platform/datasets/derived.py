"""Derived objects on a long-lived branch, and the private branches on which every commit is prepared."""

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ml_platform.datasets.store import MAIN, NoChanges, NotFound, VersionedStore
from ml_platform.foundation.errors import PlatformError, StoreError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.provenance import Run

#: How often a step starts again when another process changed the same branch meanwhile.
ATTEMPTS = 10
#: Age after which a temporary branch is one of a killed process.
ABANDONED_SECONDS = 86400
#: Start of the names of private branches, followed by the second they were made in.
PRIVATE = "tmp-"


def sha256_at(store: VersionedStore, commit: str, path: str) -> str | None:
    """sha256 of an object at a commit, or ``None`` where it is not there."""
    try:
        return store.stat(commit, path).sha256
    except NotFound:
        return None


def commit_objects(
    store: VersionedStore,
    branch: str,
    files: Mapping[str, Path],
    *,
    run_id: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    objects: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, tuple[str, str]]:
    """Bring derived objects onto a long-lived branch; returns path to sha256 and the commit to read it at.

    The branch is made from ``main`` where it is missing. Only objects whose sha256 or metadata
    (``objects``, by path) differ are put, and nothing is committed where none does. The work is done on a
    private branch that is merged, so that processes with different paths do not wait for each other. Raises
    Conflict where another process commits other content to the same path at the same time.
    """
    digests = {path: sha256_file(local) for path, local in files.items()}
    labels = {path: dict(values) for path, values in (objects or {}).items()}
    store.create_branch(branch, MAIN, exist_ok=True)
    for _ in range(ATTEMPTS):
        head = store.resolve(branch)
        changed = [
            path for path, sha256 in digests.items() if not _holds(store, head, path, sha256, labels.get(path, {}))
        ]
        if not changed:
            return {path: (sha256, head) for path, sha256 in digests.items()}
        facts = {**(metadata or {}), "run_id": run_id}
        put: dict[str, Path | None] = {path: files[path] for path in changed}
        try:
            with private_commit(store, branch, head, put, labels, message, facts) as work:
                merged = store.merge(work, branch, message, facts)
        except NoChanges:
            # Another process brought the same content; the next round finds it.
            continue
        if wrong := [path for path in changed if sha256_at(store, merged, path) != digests[path]]:
            raise PlatformError(f"{', '.join(wrong)} changed while being put on branch {branch}; try again")
        return {path: (sha256, merged if path in changed else head) for path, sha256 in digests.items()}
    raise StoreError(f"branch {branch} kept moving during {ATTEMPTS} attempts; try again")


def commit_derived(
    store: VersionedStore,
    branch: str,
    files: Mapping[str, Path],
    run: Run,
    message: str,
    objects: Mapping[str, Mapping[str, str]],
    *,
    more: Mapping[str, str] | None = None,
) -> None:
    """:func:`commit_objects` of what a run made of published data, with the commit of its code; nothing without files.

    ``objects`` is the metadata of each file, by path; ``more`` that of the commit.
    """
    if files:
        facts = {"code_commit": run.provenance.code_commit, **(more or {})}
        commit_objects(store, branch, files, run_id=run.id, message=message, metadata=facts, objects=objects)


def _holds(store: VersionedStore, commit: str, path: str, sha256: str, labels: Mapping[str, str]) -> bool:
    """Whether a commit has this content at ``path``, with this metadata."""
    try:
        info = store.stat(commit, path)
    except NotFound:
        return False
    return info.sha256 == sha256 and dict(info.metadata) == dict(labels)


def private_name(branch: str) -> str:
    """A new name for a private branch on which something for ``branch`` is prepared."""
    return f"{PRIVATE}{int(time.time())}-{os.urandom(8).hex()}-{branch}"[:200]


@contextmanager
def private_commit(
    store: VersionedStore,
    branch: str,
    base: str,
    files: Mapping[str, Path | None],
    labels: Mapping[str, Mapping[str, str]],
    message: str,
    metadata: Mapping[str, str],
) -> Generator[str]:
    """Commit files on top of ``base``, on a branch that is named after ``branch`` and lives for the block.

    A path without a file is removed.
    Branches that killed processes left behind are removed once they are a day old.
    """
    now = int(time.time())
    for name in store.branches(PRIVATE):
        created = name.removeprefix(PRIVATE).partition("-")[0]
        if created.isdecimal() and now - int(created) > ABANDONED_SECONDS:
            store.delete_branch(name)
    private = private_name(branch)
    store.create_branch(private, base)
    try:
        yield store.commit(private, files, message, metadata, objects=labels)
    finally:
        store.delete_branch(private)
