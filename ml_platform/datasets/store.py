"""The protocol of a versioned dataset store, in lakeFS's terms.

Adapters: :mod:`ml_platform.datasets.embedded.store` (Git and content-addressed files on one machine) and
:mod:`ml_platform.datasets.lakefs.store`. Another one passes :class:`ml_platform.testing.store.StoreContract`.
Identity of content is our own sha256, kept in the object's metadata, never a server's ETag.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from ml_platform.foundation.errors import StoreError

MAIN = "main"


class NotFound(StoreError):
    """A repository, branch, tag, commit or object does not exist."""


class AlreadyExists(StoreError):
    """A branch or tag of that name exists already."""


class InvalidName(StoreError):
    """A name that the store cannot hold; the message says the allowed form."""


class Conflict(StoreError):
    """Both sides of a merge or revert changed the same paths."""

    def __init__(self, message: str, paths: list[str]) -> None:
        super().__init__(message)
        self.paths = paths


class NoChanges(StoreError):
    """A commit, merge or revert that would change nothing."""


class DirtyBranch(StoreError):
    """Somebody else staged changes on the branch, with a client of lakeFS; a commit, merge or revert waits for them."""


class Protected(StoreError):
    """The branch takes merges only."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object at a reference."""

    path: str
    sha256: str
    #: Bytes.
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One difference between two references."""

    type: Literal["added", "removed", "changed"]
    path: str


@dataclass(frozen=True)
class Commit:
    """A commit of the repository."""

    id: str
    message: str
    metadata: Mapping[str, str]
    parents: tuple[str, ...]
    created: datetime


@runtime_checkable
class VersionedStore(Protocol):
    """Repository operations. References are branch names, tag names or commit ids, with ``~N`` for ancestors.

    Made by the function that ``ML_PLATFORM_ADAPTERS`` names, from the settings.

    Every method raises :class:`NotFound` for a reference or path that does not exist and
    :class:`InvalidName` for a name that the store cannot hold.
    """

    #: Name of the repository.
    repository: str

    def create_branch(self, name: str, source: str = MAIN, *, exist_ok: bool = False) -> str:
        """Create ``name`` at ``source``; returns its commit id. Raises AlreadyExists unless ``exist_ok``."""
        ...

    def delete_branch(self, name: str) -> None:
        """Delete the branch; one that is not there is no error. Raises Protected."""
        ...

    def branches(self, prefix: str = "") -> list[str]:
        """Names of branches, sorted."""
        ...

    def resolve(self, ref: str) -> str:
        """Commit id of a reference."""
        ...

    def tag(self, name: str, ref: str, *, exist_ok: bool = False) -> None:
        """Create a tag. ``exist_ok`` accepts a tag that already names the same commit, never another."""
        ...

    def tags(self, prefix: str = "") -> dict[str, str]:
        """Tag name to commit id."""
        ...

    def commit(
        self,
        branch: str,
        files: Mapping[str, Path | None],
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        objects: Mapping[str, Mapping[str, str]] | None = None,
    ) -> str:
        """Put files at paths and remove the paths that have none, in one commit; returns its id.

        Streams, and is durable when it returns: readers see all of it or nothing, also after a kill. ``objects`` has
        the metadata of the objects, by path. To remove what is not there is no error, so that a commit may be
        repeated: where the branch holds all of it and its head carries ``metadata["run_id"]``, that id is returned.
        Otherwise raises NoChanges where nothing would change, and Protected.
        """
        ...

    def merge(self, source: str, dest: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        """Merge path by path into ``dest`` with a merge commit; returns its id.

        Raises Conflict, DirtyBranch, and NoChanges where ``dest`` already holds ``source``.
        """
        ...

    def revert(
        self, branch: str, commit: str, *, parent_number: int = 0, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Commit the inverse of ``commit``. A merge commit needs ``parent_number`` (1: the destination)."""
        ...

    def diff(self, left: str, right: str) -> list[Change]:
        """Changes of ``right`` since its merge base with ``left`` (three-dot), by path."""
        ...

    def stat(self, ref: str, path: str) -> ObjectInfo:
        """The object at a reference."""
        ...

    def list(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        """Objects below a prefix, by path."""
        ...

    def open(self, ref: str, path: str) -> BinaryIO:
        """Open an object for reading, verified: raises Corrupt where the bytes are not those that were put."""
        ...

    def local_path(self, ref: str, path: str) -> Path:
        """A read-only local file with the object's verified bytes (a download where the store is remote)."""
        ...

    def log(self, ref: str, limit: int | None = None) -> Iterator[Commit]:
        """Commits from ``ref`` backwards, newest first."""
        ...

    def url(self, ref: str, path: str = "") -> str:
        """An address a person can open or hand to the store's own client."""
        ...
