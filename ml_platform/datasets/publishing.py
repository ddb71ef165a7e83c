"""Write, audit, publish: a batch is staged on a branch of its own, judged there and merged into ``main``.

Every function may be killed at any moment and called again: it adopts what is there already, because
the sha256 of the Parquet file (never a branch or a commit) is the identity of a batch.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.datasets import quarantine
from ml_platform.datasets.batches import batch_path, batch_tag, staging_branch
from ml_platform.datasets.derived import ATTEMPTS, private_commit, sha256_at
from ml_platform.datasets.store import (
    MAIN,
    AlreadyExists,
    Conflict,
    NoChanges,
    NotFound,
    VersionedStore,
)
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.parquet import row_count, write_frame
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import DatasetRef

if TYPE_CHECKING:
    import polars as pl


def _metadata_of(store: VersionedStore, commit: str) -> Mapping[str, str]:
    return next(iter(store.log(commit, limit=1))).metadata


def stage(
    store: VersionedStore,
    dataset: str,
    partition: str,
    frame: "pl.DataFrame",
    *,
    run_id: str,
    provenance: Provenance,
    metadata: Mapping[str, str] | None = None,
    set_aside: "pl.DataFrame | None" = None,
    labels: Mapping[str, str] | None = None,
) -> DatasetRef:
    """Put a batch on its staging branch, made from the current ``main``; returns a reference to the commit.

    ``set_aside`` holds the rows that are kept beside the batch and not in it
    (:func:`~ml_platform.datasets.quarantine.separate`); they go into the same commit and into the identity of
    the batch. ``labels`` are added to the object's metadata, ``metadata`` to the commit's.

    Content that ``main`` or the staging branch holds already is adopted without a commit (then ``branch`` of the
    reference says where). Any other content on the staging branch is thrown away. The branch appears with its
    commit, never half made. Raises PlatformError where other runs keep staging different content for the same
    partition.
    """
    path, branch = batch_path(dataset, partition), staging_branch(dataset, partition)
    beside = quarantine.quarantine_path(dataset, partition)
    with tempfile.TemporaryDirectory(prefix="ml-platform-") as folder:
        local, local_beside = Path(folder) / "batch.parquet", Path(folder) / "quarantine.parquet"
        count = set_aside.height if set_aside is not None else 0
        # In the footer, so that the sha256 of the batch is also that of what was set aside from it.
        aside = write_frame(set_aside, local_beside) if set_aside is not None and count else None
        sha256 = write_frame(frame, local, {quarantine.FOOTER: aside} if aside else None)
        files: dict[str, Path | None] = {path: local, beside: local_beside if aside else None}
        about = {**(labels or {}), "rows": str(frame.height), **({quarantine.COUNT: str(count)} if count else {})}
        facts = {
            "run_id": run_id,
            "dataset": dataset,
            "partition": partition,
            "sha256": sha256,
            "rows": str(frame.height),
            "code_commit": provenance.code_commit,
        }

        def ref(held_by: str, commit: str) -> DatasetRef:
            return DatasetRef(
                run_id=run_id,
                provenance=provenance,
                dataset=dataset,
                partition=partition,
                branch=held_by,
                commit=commit,
                path=path,
                sha256=sha256,
                rows=frame.height,
            )

        for _ in range(ATTEMPTS):
            main = store.resolve(MAIN)
            if sha256_at(store, main, path) == sha256:
                return ref(MAIN, main)
            if commit := _staged_commit(store, branch, {path: sha256, beside: aside}, about):
                return ref(branch, commit)
            message = f"Stage {dataset}/{partition}"
            with private_commit(
                store, branch, main, files, {path: about}, message, {**(metadata or {}), **facts}
            ) as commit:
                store.delete_branch(branch)
                try:
                    store.create_branch(branch, commit)
                except AlreadyExists:
                    # Another run of the same partition was faster; the next round looks at what it staged.
                    continue
                return ref(branch, commit)
    raise PlatformError(
        f"{dataset}/{partition}: another run keeps staging other content on branch {branch}; "
        "let one run finish, then start this one again"
    )


def _staged_commit(
    store: VersionedStore, branch: str, wanted: Mapping[str, str | None], about: Mapping[str, str]
) -> str | None:
    """Commit of a staging branch that holds exactly this batch and merges cleanly, else ``None``.

    ``wanted``: path to sha256, the batch first; ``None``: no object there. ``about``: what the batch's object says.
    """
    path = next(iter(wanted))
    try:
        commit = store.resolve(branch)
        if (
            all(sha256_at(store, commit, name) == sha256 for name, sha256 in wanted.items())
            and _metadata_of(store, commit).get("sha256") == wanted[path]
            and quarantine.said_of(store.stat(commit, path).metadata) == quarantine.said_of(about)
            and {path} <= {change.path for change in store.diff(MAIN, commit)} <= wanted.keys()
            and all(change.path not in wanted for change in store.diff(commit, MAIN))
        ):
            return commit
    except NotFound:
        return None
    return None


def publish(
    store: VersionedStore,
    ref: DatasetRef,
    *,
    run_id: str,
    ledger_head: str,
    provenance: Provenance,
    metadata: Mapping[str, str] | None = None,
    staged: str | None = None,
) -> DatasetRef:
    """Merge a staged batch into ``main``, tag it and delete its branch; returns a reference on ``main``.

    The merge commit records ``ledger_head``, which anchors the verdicts. Content that ``main`` holds
    already is adopted without a commit. ``staged`` is what :func:`publishable` said of it, which is asked here
    otherwise. Raises Conflict where ``main`` got other content for the partition after it was staged, and
    PlatformError as :func:`publishable`. Whether the verdicts allow it is for the caller to ask.
    """
    if staged is None:
        staged = publishable(store, ref)
    branch = staging_branch(ref.dataset, ref.partition)
    facts = {
        "run_id": run_id,
        "dataset": ref.dataset,
        "partition": ref.partition,
        "sha256": ref.sha256,
        "rows": str(ref.rows),
        "ledger_head": ledger_head,
        "code_commit": provenance.code_commit,
    }
    if not staged:
        commit = _introduced(store, ref, store.resolve(MAIN))
    else:
        try:
            commit = store.merge(staged, MAIN, f"Publish {ref.dataset}/{ref.partition}", {**(metadata or {}), **facts})
        except NoChanges:
            # Another run published the same content between the look and the merge.
            commit = _introduced(store, ref, store.resolve(MAIN))
        except Conflict as error:
            raise Conflict(
                f"{ref.dataset}/{ref.partition}: {MAIN} got other content after this batch was staged; stage it again",
                error.paths,
            ) from error
    _tag(store, batch_tag(ref.dataset, ref.partition, ref.sha256), commit)
    if branch in store.branches(branch) and sha256_at(store, branch, ref.path) == ref.sha256:
        store.delete_branch(branch)
    return ref.model_copy(update={"branch": MAIN, "commit": commit, "run_id": run_id, "provenance": provenance})


def publishable(store: VersionedStore, ref: DatasetRef) -> str:
    """Commit whose merge publishes what a reference names; empty where ``main`` holds it already.

    Raises PlatformError unless the store holds it as the reference names it, which is a file, and beside it what was
    set aside from it: asked before anything is said of a publication.
    """
    name, path = f"{ref.dataset}/{ref.partition}", batch_path(ref.dataset, ref.partition)
    if ref.path != path:
        raise PlatformError(f"{name}: its reference names {ref.path}, and its place is {path}; stage it again")
    main = store.resolve(MAIN)
    published = sha256_at(store, main, path) == ref.sha256
    staged = "" if published else _publishable(store, staging_branch(ref.dataset, ref.partition), ref)
    aside = quarantine.counted(store, staged or main, ref.dataset, ref.partition)
    if staged and (said := quarantine.count_of(store.stat(staged, path))) != aside:
        raise PlatformError(
            f"{name}: its staged commit says that {said} rows were set aside, and there are {aside}; stage it again"
        )
    rows = row_count(store.local_path(staged or main, path))
    if rows != ref.rows:
        raise PlatformError(f"{name}: its reference names {ref.rows} rows, the content has {rows}; stage it again")
    return staged


def _publishable(store: VersionedStore, branch: str, ref: DatasetRef) -> str:
    """Commit that would publish the content of ``ref`` and nothing else: of the branch, else its own.

    Another run of the same partition may have published and deleted the branch, or have just made it
    anew and put nothing on it yet; the commit that was judged is there all the same.
    """
    name = f"{ref.dataset}/{ref.partition}"
    try:
        commit = store.resolve(branch)
        if not store.diff(MAIN, commit):
            commit = ref.commit
    except NotFound:
        commit = ref.commit
    try:
        held = sha256_at(store, store.resolve(commit), ref.path)
    except NotFound:
        raise PlatformError(
            f"{name}: branch {branch} and commit {commit} are gone and {MAIN} does not hold "
            f"{ref.sha256[:12]}; stage it again"
        ) from None
    if held != ref.sha256:
        raise PlatformError(
            f"{name}: branch {branch} now holds {(held or 'nothing')[:12]}, not {ref.sha256[:12]} which was "
            "judged; stage it again and run its checks"
        )
    own = {ref.path, quarantine.quarantine_path(ref.dataset, ref.partition)}
    others = [change.path for change in store.diff(MAIN, commit) if change.path not in own]
    if others:
        raise PlatformError(f"{name}: branch {branch} also changes {', '.join(others)}; stage it again")
    return commit


def _introduced(store: VersionedStore, ref: DatasetRef, main: str) -> str:
    """Commit on ``main`` that published the content of ``ref``; ``main`` itself where none says so."""
    if sha256_at(store, main, ref.path) != ref.sha256:
        raise PlatformError(
            f"{ref.dataset}/{ref.partition}: {MAIN} holds other content than {ref.sha256[:12]} although its "
            "commit was merged (it was reverted or replaced); stage a corrected batch"
        )
    wanted = {"dataset": ref.dataset, "partition": ref.partition, "sha256": ref.sha256}
    for commit in store.log(main):
        published = "ledger_head" in commit.metadata
        if published and all(commit.metadata.get(key) == value for key, value in wanted.items()):
            return commit.id
    return main


def _tag(store: VersionedStore, name: str, commit: str) -> None:
    try:
        store.tag(name, commit, exist_ok=True)
    except AlreadyExists:
        # The same content was published before and replaced since; its first commit keeps the tag.
        return
