"""The protocol of a versioned dataset store, in lakeFS's terms.

Adapters: :mod:`ml_platform.datasets.embedded.store` (Git and content-addressed files on one machine).
Identity of content is our own sha256, kept in the object's metadata, never a server's ETag.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from ml_platform.foundation.errors import StoreError

BRANCH_NAME = re.compile(r"^\w[-\w]*$")
REPOSITORY_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{2,62}$")
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
    """The destination of a merge or revert has uncommitted changes."""


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
    """One difference between two references, or between a branch and its staging area."""

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

    Every method raises :class:`NotFound` for a reference or path that does not exist and
    :class:`InvalidName` for a name that the store cannot hold.
    """

    #: Name of the repository.
    repository: str

    def create_branch(self, name: str, source: str = MAIN, *, exist_ok: bool = False) -> str:
        """Create ``name`` at ``source``; returns its commit id. Raises AlreadyExists unless ``exist_ok``."""
        ...

    def delete_branch(self, name: str) -> None:
        """Delete the branch and its staging area; a branch that is not there is no error."""
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

    def put(self, branch: str, path: str, local: Path, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        """Stage the bytes of ``local`` as ``path``; streams, and is durable when it returns. Raises Protected."""
        ...

    def delete(self, branch: str, path: str) -> None:
        """Stage the removal of ``path``. Raises Protected."""
        ...

    def reset(self, branch: str) -> None:
        """Throw the staging area of ``branch`` away."""
        ...

    def uncommitted(self, branch: str) -> list[Change]:
        """Staged changes, by path."""
        ...

    def commit(self, branch: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        """Commit the staged changes; returns the commit id.

        Idempotent by ``metadata["run_id"]`` together with the content: where the branch's head already
        carries this run id and nothing is staged, its id is returned. Otherwise raises NoChanges when
        nothing is staged.
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
        """The object at a reference; for a branch its staging area is seen too."""
        ...

    def list(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        """Objects below a prefix, by path; for a branch its staging area is seen too."""
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
