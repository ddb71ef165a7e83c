"""Commits, merges and reverts on a lakeFS server, each of which may be sent again.

Every one carries an operation number of its own in the metadata, so that one whose answer was lost is found instead of
repeated.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from ml_platform.datasets.derived import ATTEMPTS, private_name
from ml_platform.datasets.embedded.pointers import check_path
from ml_platform.datasets.lakefs.api import Connection, Declined, judged
from ml_platform.datasets.lakefs.references import References
from ml_platform.datasets.lakefs.transfer import Transfer
from ml_platform.datasets.store import Change, Conflict, DirtyBranch, NoChanges, NotFound, Protected
from ml_platform.foundation.errors import StoreError

if TYPE_CHECKING:
    from lakefs_sdk.models.diff import Diff

#: Objects that belong to the server (its hooks) and not to the data.
SERVER_PREFIX = "_lakefs_actions/"
#: Key in a commit's metadata that tells one attempt to commit from every other.
_OPERATION = "ml_platform_operation"
#: Keys that the server or this adapter adds to the caller's metadata.
OWN_KEYS = (_OPERATION, ".lakefs.", "::lakefs::")
_CONFLICT = 409


class Commits(References):
    """The part of :class:`~ml_platform.datasets.lakefs.store.LakeFSStore` that moves branches, and tells changes."""

    def __init__(
        self, api: Connection, repository: str, protected: tuple[str, ...], dagster_url: str, transfer: Transfer
    ) -> None:
        super().__init__(api, repository, protected)
        self._transfer = transfer
        self._dagster_url = dagster_url.rstrip("/")

    def uncommitted(self, branch: str) -> list[Change]:
        """Changes that are staged on a branch, by whomever: no part of the protocol, since only a server has them."""
        self._head(branch)
        listing = self.api.sdk.branches_api.diff_branch
        return described(self.api.pages(f"branch {branch!r}", listing, self.repository, branch))

    def _marked(self, metadata: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
        """A new operation number, and the metadata of a commit that carries it."""
        operation, marked = os.urandom(16).hex(), dict(metadata or {})
        marked[_OPERATION] = operation
        if self._dagster_url and "run_id" in marked:
            marked["::lakefs::Dagster::url[url:ui]"] = f"{self._dagster_url}/runs/{marked['run_id']}"
        return operation, marked

    def _made(self, branch: str, operation: str) -> str | None:
        """Commit of an operation on a branch, where it is among the newest."""
        newest = self._call(
            f"branch {branch!r}", self.api.sdk.refs_api.log_commits, branch, amount=1000, first_parent=True
        )
        found = (commit.id for commit in newest.results if (commit.metadata or {}).get(_OPERATION) == operation)
        return next(found, None)

    def commit(
        self,
        branch: str,
        files: Mapping[str, Path | None],
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        objects: Mapping[str, Mapping[str, str]] | None = None,
    ) -> str:
        """See :class:`~ml_platform.datasets.store.VersionedStore`; one writer of a branch at a time.

        A server has one staging area for each branch. What a killed attempt at the same commit left there is taken
        over; where somebody else staged other paths, raises DirtyBranch instead of committing those too.
        """
        if branch in self.protected:
            raise Protected(f"branch {branch!r} is protected: commit to another branch and merge it")
        for path in files:
            check_path(path)
        self._head(branch)
        with judged(branch):
            try:
                for path, local in files.items():
                    self._stage(branch, path, local, (objects or {}).get(path, {}))
                if others := [change.path for change in self.uncommitted(branch) if change.path not in files]:
                    raise DirtyBranch(
                        f"branch {branch!r} has staged changes of somebody else ({', '.join(others[:5])}): commit or "
                        "reset them in lakeFS, or use another branch"
                    )
                return self._commit_staged(branch, message, metadata)
            except NoChanges:
                raise
            except BaseException:
                # The first error is the one to tell; what stays is taken over by the next attempt.
                with suppress(StoreError):
                    for path in files:
                        self._transfer.unstage(branch, path)
                raise

    def _stage(self, branch: str, path: str, local: Path | None, labels: Mapping[str, str]) -> None:
        if local is not None:
            self._transfer.upload(branch, path, local, labels)
        elif self._sha256(branch, path) is not None:
            self._call(
                f"object {path!r}",
                self.api.sdk.objects_api.delete_object,
                branch,
                path,
                happened=lambda: self._sha256(branch, path) is None or None,
            )

    def _commit_staged(self, branch: str, message: str, metadata: Mapping[str, str] | None) -> str:
        from lakefs_sdk.models.commit_creation import CommitCreation

        operation, marked = self._marked(metadata)
        request = CommitCreation(message=message, metadata=marked)
        try:
            with judged(branch):
                commit = self._call(
                    f"branch {branch!r} of {self.repository}",
                    self.api.sdk.commits_api.commit,
                    branch,
                    request,
                    happened=lambda: self._made(branch, operation),
                )
        except NoChanges:
            head = self._commit(branch)
            run_id = (metadata or {}).get("run_id")
            if run_id and (head.metadata or {}).get("run_id") == run_id:
                return str(head.id)
            raise
        return commit if isinstance(commit, str) else str(commit.id)

    def merge(self, source: str, dest: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        theirs = self.resolve(source)
        if not self._brings(self._head(dest), theirs):
            raise self._nothing(dest, f"branch {dest!r} already holds {source!r}")
        what, side = f"merge of {source!r} into {dest!r}", theirs
        for _ in range(ATTEMPTS):
            try:
                with judged(dest):
                    return self._merge(what, side, dest, message, metadata)
            except Declined as error:
                if error.status != _CONFLICT:
                    raise
                ours = self._head(dest)
                if clashes := self._clashes(ours, theirs):
                    raise Conflict(f"{what}: both sides changed {', '.join(clashes)}", clashes) from error
            # The bytes are equal on both sides, only what the server keeps beside them differs.
            side = self._labelled_as(ours, theirs, dest)
        raise StoreError(f"{what}: the branch kept moving during {ATTEMPTS} attempts; try again")

    def _merge(
        self, what: str, theirs: str, dest: str, message: str, metadata: Mapping[str, str] | None, strategy: str = ""
    ) -> str:
        """Let the server merge, onto whatever the branch is then; without a strategy it declines conflicts."""
        from lakefs_sdk.models.merge import Merge

        operation, marked = self._marked(metadata)
        made = self._call(
            what,
            self.api.sdk.refs_api.merge_into_branch,
            theirs,
            dest,
            merge=Merge(message=message, metadata=marked, strategy=strategy or None),
            happened=lambda: self._made(dest, operation),
        )
        return made if isinstance(made, str) else str(made.reference)

    def _labelled_as(self, ours: str, theirs: str, dest: str) -> str:
        """A commit that joins two without clashes, labelled as ``ours`` where they differ in labels only.

        On a branch that nobody else moves; so merging it leaves no change out that another writer makes meanwhile.
        """
        private = private_name(dest)
        self.create_branch(private, theirs)
        try:
            with judged(private):
                what = f"merge of {ours!r} into {private!r}"
                return self._merge(what, ours, private, "Take over", None, "source-wins")
        except NoChanges:
            # The change that the server met was reverted since.
            return theirs
        finally:
            self.delete_branch(private)

    def _compare(self, ours: str, theirs: str, kind: str) -> "Iterator[Diff]":
        """Differences of two commits: ``three_dot`` as a merge sees them, ``two_dot`` as they are."""
        listing = self.api.sdk.refs_api.diff_refs
        found = self.api.pages(
            f"difference of {ours!r} and {theirs!r}", listing, self.repository, ours, theirs, type=kind
        )
        return (entry for entry in found if not entry.path.startswith(SERVER_PREFIX) or kind == "three_dot")

    def _brings(self, ours: str, theirs: str) -> bool:
        """Whether a merge of ``theirs`` would change anything or end in a conflict."""
        return any(
            entry.type != "conflict" or self._differs(ours, theirs, entry.path)
            for entry in self._compare(ours, theirs, "three_dot")
        )

    def _nothing(self, branch: str, message: str) -> StoreError:
        """The error of a merge or revert that changes nothing; staged changes are told first."""
        if self.uncommitted(branch):
            return DirtyBranch(f"branch {branch!r} has staged changes: commit or reset them")
        return NoChanges(message)

    def _clashes(self, ours: str, theirs: str) -> list[str]:
        """Paths that both sides changed to different contents."""
        entries = (entry.path for entry in self._compare(ours, theirs, "three_dot") if entry.type == "conflict")
        return sorted(path for path in entries if self._differs(ours, theirs, path))

    def _differs(self, left: str, right: str, path: str) -> bool:
        return self._sha256(left, path) != self._sha256(right, path)

    def _sha256(self, ref: str, path: str) -> str | None:
        try:
            return self.stat(ref, path).sha256
        except NotFound:
            return None

    def revert(
        self, branch: str, commit: str, *, parent_number: int = 0, metadata: Mapping[str, str] | None = None
    ) -> str:
        from lakefs_sdk.models.commit_overrides import CommitOverrides
        from lakefs_sdk.models.revert_creation import RevertCreation

        tip, undone = self._head(branch), self._commit(commit)
        parents = undone.parents
        if not (len(parents) == 1 and parent_number == 0) and not 1 <= parent_number <= len(parents):
            raise StoreError(f"commit {undone.id} has {len(parents)} parents: say which by parent_number")
        what = f"revert of {commit!r} on {branch!r}"
        kept = parents[max(parent_number, 1) - 1]
        # The server makes an empty commit where nothing is left at all, so it cannot be relied on to tell.
        if not any(self._differs(tip, kept, entry.path) for entry in self._compare(undone.id, kept, "two_dot")):
            raise self._nothing(branch, f"branch {branch!r} holds nothing of {commit!r} to revert")
        operation, marked = self._marked(metadata)
        request = RevertCreation(
            ref=undone.id,
            parent_number=parent_number,
            commit_overrides=CommitOverrides(message=f"Revert {undone.id}", metadata=marked),
        )
        try:
            with judged(branch):
                self._call(
                    what,
                    self.api.sdk.branches_api.revert_branch,
                    branch,
                    request,
                    happened=lambda: self._made(branch, operation),
                )
        except Declined as error:
            if error.status != _CONFLICT:
                raise
            tip = self._head(branch)
            here = {entry.path for entry in self._compare(undone.id, tip, "two_dot")}
            there = {entry.path for entry in self._compare(undone.id, kept, "two_dot")}
            both = sorted(here & there)
            if not both:
                raise StoreError(f"{what}: the branch moved meanwhile; try again") from error
            # Where none differs in bytes, the labels do.
            clashes = [path for path in both if self._differs(tip, kept, path)] or both
            raise Conflict(f"{what}: both sides changed {', '.join(clashes)}", clashes) from error
        if (made := self._made(branch, operation)) is None:
            raise StoreError(f"{what}: the server says that it did it, but branch {branch!r} holds no such commit")
        return made


def described(entries: "Iterator[Diff]") -> list[Change]:
    """Changes by path."""
    return [
        Change(cast("Literal['added', 'removed', 'changed']", entry.type), entry.path)
        for entry in sorted(entries, key=lambda entry: entry.path)
        if not entry.path.startswith(SERVER_PREFIX)
    ]
