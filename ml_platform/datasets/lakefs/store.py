"""A versioned store on a lakeFS server, for teams: the same semantics as the embedded store.

Identity of content is our sha256 in the object's metadata.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode

from ml_platform.datasets.embedded.pointers import check_path
from ml_platform.datasets.lakefs.api import Connection
from ml_platform.datasets.lakefs.cache import ContentCache
from ml_platform.datasets.lakefs.commits import OWN_KEYS, SERVER_PREFIX, Commits, described
from ml_platform.datasets.lakefs.transfer import Transfer, object_info
from ml_platform.datasets.names import COMMIT_ID
from ml_platform.datasets.store import MAIN, Change, Commit, ObjectInfo
from ml_platform.foundation.errors import Corrupt, StoreError

if TYPE_CHECKING:
    import polars as pl


class LakeFSStore(Commits):
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
        transfer = Transfer(api, repository, part_bytes=part_bytes, read_back=read_back)
        super().__init__(api, repository, protected, dagster_url, transfer)
        self._cache = ContentCache(cache, cache_bytes)
        self._s3_endpoint = s3_endpoint

    # -- reading -------------------------------------------------------------------------------------

    def diff(self, left: str, right: str) -> list[Change]:
        ours, theirs = self.resolve(left), self.resolve(right)
        base = self._call(f"{left!r} and {right!r}", self.api.sdk.refs_api.find_merge_base, theirs, ours)
        return described(self._compare(base.base_commit_id, theirs, "two_dot"))

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
        from ml_platform.datasets.lakefs.server import collects

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
            metadata = {key: value for key, value in (commit.metadata or {}).items() if not key.startswith(OWN_KEYS)}
            yield Commit(commit.id, commit.message, metadata, tuple(commit.parents), created)

    def url(self, ref: str, path: str = "") -> str:
        commit = self.resolve(ref)
        address = f"{self.api.address}/repositories/{self.repository}"
        return (
            f"{address}/object?{urlencode({'ref': commit, 'path': check_path(path)})}"
            if path
            else (f"{address}/commits/{commit}")
        )
