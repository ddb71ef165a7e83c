"""A versioned store on a lakeFS server, for teams: the same semantics as the embedded store.

Every commit, merge and revert carries an operation number of its own in the metadata, so that one whose
answer was lost is found instead of repeated. Identity of content is our sha256 in the object's metadata.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast
from urllib.parse import urlencode

from ml_platform.datasets.derived import ATTEMPTS, private_name
from ml_platform.datasets.lakefs_api import COMMIT_ID, Connection, Declined, judged
from ml_platform.datasets.lakefs_cache import ContentCache
from ml_platform.datasets.lakefs_references import References
from ml_platform.datasets.lakefs_transfer import Transfer, object_info
from ml_platform.datasets.pointers import check_path
from ml_platform.datasets.store import (
    MAIN,
    Change,
    Commit,
    Conflict,
    Corrupt,
    DirtyBranch,
    NoChanges,
    NotFound,
    ObjectInfo,
    Protected,
    StoreError,
)

if TYPE_CHECKING:
    import polars as pl
    from lakefs_sdk.models.diff import Diff

#: Objects that belong to the server (its hooks) and not to the data.
SERVER_PREFIX = "_lakefs_actions/"
#: Key in a commit's metadata that tells one attempt to commit from every other.
_OPERATION = "ml_platform_operation"
#: Keys that the server or this adapter adds to the caller's metadata.
_OWN_KEYS = (_OPERATION, ".lakefs.", "::lakefs::")
_CONFLICT = 409


class LakeFSStore(References):
    """:class:`~ml_platform.datasets.store.VersionedStore` in a repository of a lakeFS server.

    ``cache`` is a folder for verified copies of what is read, of up to ``cache_bytes``. Files above
    ``part_bytes`` are uploaded in parts where the server offers it. ``read_back`` reads every upload back
    and compares its sha256; without it the server's md5 is compared, where it gives one. With
    ``dagster_url`` every commit links to its run in lakeFS's UI. ``s3_endpoint`` is the address of the
    server's S3 gateway, for :meth:`scan_parquet`. Raises InvalidName.
    """

    def __init__(
        self,
        api: Connection,
        repository: str,
        cache: Path,
        *,
        protected: tuple[str, ...] = (MAIN,),
        cache_bytes: int = 20 << 30,
        part_bytes: int = 64 << 20,
        read_back: bool = True,
        dagster_url: str = "",
        s3_endpoint: str = "",
    ) -> None:
        super().__init__(api, repository, protected)
        self._transfer = Transfer(api, repository, part_bytes=part_bytes, read_back=read_back)
        self._cache = ContentCache(cache, cache_bytes)
        self._dagster_url = dagster_url.rstrip("/")
        self._s3_endpoint = s3_endpoint

    # -- staging and commits -------------------------------------------------------------------------

    def _refuse_protected(self, branch: str) -> None:
        if branch in self.protected:
            raise Protected(f"branch {branch!r} is protected: commit to another branch and merge it")

    def put(self, branch: str, path: str, local: Path, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        self._refuse_protected(branch)
        check_path(path)
        self._head(branch)
        with judged(branch):
            return self._transfer.upload(branch, path, local, metadata or {})

    def delete(self, branch: str, path: str) -> None:
        self._refuse_protected(branch)
        self.stat(branch, path)

        def gone() -> bool | None:
            return self._sha256(branch, path) is None or None

        with judged(branch):
            self._call(f"object {path!r}", self.api.sdk.objects_api.delete_object, branch, path, happened=gone)

    def reset(self, branch: str) -> None:
        from lakefs_sdk.models.reset_creation import ResetCreation

        self._head(branch)
        with judged(branch):
            self._call(
                f"branch {branch!r}", self.api.sdk.branches_api.reset_branch, branch, ResetCreation(type="reset")
            )

    def uncommitted(self, branch: str) -> list[Change]:
        self._head(branch)
        listing = self.api.sdk.branches_api.diff_branch
        return _described(self.api.pages(f"branch {branch!r}", listing, self.repository, branch))

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

    def commit(self, branch: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        from lakefs_sdk.models.commit_creation import CommitCreation

        self._refuse_protected(branch)
        self._named(branch)
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
            # The change that the server met was taken back since.
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

    # -- reading -------------------------------------------------------------------------------------

    def diff(self, left: str, right: str) -> list[Change]:
        ours, theirs = self.resolve(left), self.resolve(right)
        base = self._call(f"{left!r} and {right!r}", self.api.sdk.refs_api.find_merge_base, theirs, ours)
        return _described(self._compare(base.base_commit_id, theirs, "two_dot"))

    def list(self, ref: str, prefix: str = "") -> "list[ObjectInfo]":
        what = self._named(ref)
        found = self.api.pages(what, self.api.sdk.objects_api.list_objects, self.repository, ref, prefix=prefix)
        return [
            object_info(item.path, item.size_bytes or 0, item.metadata)
            for item in found
            if not item.path.startswith(SERVER_PREFIX)
        ]

    def open(self, ref: str, path: str) -> BinaryIO:
        return self._open(ref, path)[0]

    def local_path(self, ref: str, path: str) -> Path:
        stream, sha256 = self._open(ref, path)
        stream.close()
        return self._cache.path(sha256)

    def _open(self, ref: str, path: str) -> tuple[BinaryIO, str]:
        info = self.stat(ref, path)
        if not info.sha256:
            raise Corrupt(f"{path} at {ref} has no recorded sha256: it was not put by this platform; put it again")
        if found := self._cache.open(info.sha256):
            return found, info.sha256
        at = ref if COMMIT_ID.fullmatch(ref) else f"{ref} (commit {self.resolve(ref)})"
        self._cache.fill(info.sha256, self._transfer, ref, path, info.size, f"{path} at commit {at}")
        if found := self._cache.open(info.sha256):
            return found, info.sha256
        raise Corrupt(f"{path} at commit {at}: its copy {self._cache.path(info.sha256)} was damaged at once")

    def scan_parquet(self, ref: str, path: str) -> "pl.LazyFrame":
        """A lazy frame of a Parquet file at the commit of a reference, read in pieces through the S3 gateway.

        For a look at a large file without a download. The sha256 cannot be checked in this way, so nothing that
        is built on reads like this. Raises StoreError where no gateway is configured.
        """
        import polars as pl

        if not self._s3_endpoint:
            raise StoreError("no S3 gateway of lakeFS is configured: set ML_PLATFORM_LAKEFS_S3_ENDPOINT to its address")
        commit = self.resolve(ref)
        self.stat(commit, path)
        return pl.scan_parquet(
            f"s3://{self.repository}/{commit}/{path}",
            glob=False,
            storage_options={
                "aws_endpoint_url": self._s3_endpoint,
                "aws_access_key_id": self.api.server.access_key,
                "aws_secret_access_key": self.api.server.secret_key.get_secret_value(),
                "aws_region": "us-east-1",
                "aws_allow_http": "true",
                "aws_virtual_hosted_style_request": "false",
            },
        )

    def fsck(self) -> "list[str]":
        """Read back every object that a branch or tag names and check it; returns the problems, one line each."""
        problems: list[str] = []
        checked: set[str] = set()
        listing = self.api.sdk.objects_api.list_objects
        for name in [*self.branches(), *self.tags()]:
            for item in self.api.pages(self._named(name), listing, self.repository, name):
                info = object_info(item.path, item.size_bytes or 0, item.metadata)
                if not info.sha256 or item.physical_address in checked:
                    continue
                checked.add(item.physical_address)
                try:
                    actual = self._transfer.download(name, info.path, info.size)
                except StoreError as error:
                    problems.append(f"{info.path} at {name}: {error}")
                else:
                    if actual != info.sha256:
                        problems.append(f"{info.path} at {name}: sha256 is {actual}, recorded is {info.sha256}")
        return problems

    def gc(self, grace_seconds: float = 86400) -> int:
        """Remove this machine's copies that were not used within the grace; returns how many.

        Bytes on the server are collected by the server: this only sees to it that its rules keep every commit, and
        so all that a version, tag, manifest or ledger entry names. Raises StoreError where they do not.
        """
        from ml_platform.datasets.lakefs_server import collects

        if collects(self.api, self.repository):
            raise StoreError(
                f"repository {self.repository!r}: the server's garbage collection would remove commits; set "
                "ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE and the rules are put right when the store is opened"
            )
        return self._cache.remove_unused(grace_seconds)

    def log(self, ref: str, limit: int | None = None) -> Iterator[Commit]:
        what = self._named(ref)
        options = {"amount": min(limit, 1000)} if limit else {}
        found = self.api.pages(what, self.api.sdk.refs_api.log_commits, self.repository, ref, **options)
        for commit in islice(found, limit):
            created = datetime.fromtimestamp(commit.creation_date, UTC)
            metadata = {key: value for key, value in (commit.metadata or {}).items() if not key.startswith(_OWN_KEYS)}
            yield Commit(commit.id, commit.message, metadata, tuple(commit.parents), created)

    def url(self, ref: str, path: str = "") -> str:
        commit = self.resolve(ref)
        address = f"{self.api.address}/repositories/{self.repository}"
        return (
            f"{address}/object?{urlencode({'ref': commit, 'path': check_path(path)})}"
            if path
            else (f"{address}/commits/{commit}")
        )


def _described(entries: "Iterator[Diff]") -> list[Change]:
    """Changes by path."""
    return [
        Change(cast("Literal['added', 'removed', 'changed']", entry.type), entry.path)
        for entry in sorted(entries, key=lambda entry: entry.path)
        if not entry.path.startswith(SERVER_PREFIX)
    ]
