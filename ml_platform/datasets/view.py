"""A store on which some branches stand for others and ``main`` cannot be changed: work on it leaves no trace there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ml_platform.datasets.store import MAIN, Change, Commit, NotFound, ObjectInfo, Protected, VersionedStore


class StoreView:
    """The store ``base``, where the branches in ``instead`` (name: other name) are used under the other name.

    The first use makes the other branch from the one it stands for, or from ``main`` where that is not there.
    Writing to ``main``, tags and reverts raise Protected.
    """

    def __init__(self, base: VersionedStore, instead: Mapping[str, str]) -> None:
        self.base, self.instead = base, dict(instead)
        self.repository = base.repository

    def create_branch(self, name: str, source: str = MAIN, *, exist_ok: bool = False) -> str:
        if name in self.instead:
            return self.base.create_branch(self.instead[name], self._origin(name, source), exist_ok=exist_ok)
        return self.base.create_branch(self._writable(name), self._ref(source), exist_ok=exist_ok)

    def delete_branch(self, name: str) -> None:
        self.base.delete_branch(self._writable(self._ref(name)))

    def branches(self, prefix: str = "") -> list[str]:
        return self.base.branches(prefix)

    def resolve(self, ref: str) -> str:
        return self.base.resolve(self._ref(ref))

    def tag(self, name: str, ref: str, *, exist_ok: bool = False) -> None:
        raise Protected(f"tag {name}: a view of {self.repository} makes none")

    def tags(self, prefix: str = "") -> dict[str, str]:
        return self.base.tags(prefix)

    def commit(
        self,
        branch: str,
        files: Mapping[str, Path | None],
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        objects: Mapping[str, Mapping[str, str]] | None = None,
    ) -> str:
        return self.base.commit(self._writable(self._ref(branch)), files, message, metadata, objects=objects)

    def merge(self, source: str, dest: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        return self.base.merge(self._ref(source), self._writable(self._ref(dest)), message, metadata)

    def revert(
        self, branch: str, commit: str, *, parent_number: int = 0, metadata: Mapping[str, str] | None = None
    ) -> str:
        raise Protected(f"commit {commit}: a view of {self.repository} reverts none")

    def diff(self, left: str, right: str) -> list[Change]:
        return self.base.diff(self._ref(left), self._ref(right))

    def stat(self, ref: str, path: str) -> ObjectInfo:
        return self.base.stat(self._ref(ref), path)

    def list(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        return self.base.list(self._ref(ref), prefix)

    def open(self, ref: str, path: str) -> BinaryIO:
        return self.base.open(self._ref(ref), path)

    def local_path(self, ref: str, path: str) -> Path:
        return self.base.local_path(self._ref(ref), path)

    def log(self, ref: str, limit: int | None = None) -> Iterator[Commit]:
        return self.base.log(self._ref(ref), limit)

    def url(self, ref: str, path: str = "") -> str:
        return self.base.url(self._ref(ref), path)

    def _ref(self, ref: str) -> str:
        other = self.instead.get(ref)
        if other is None:
            return ref
        self.base.create_branch(other, self._origin(ref, MAIN), exist_ok=True)
        return other

    def _origin(self, name: str, source: str) -> str:
        try:
            self.base.resolve(name)
        except NotFound:
            return source
        return name

    def _writable(self, branch: str) -> str:
        if branch == MAIN:
            raise Protected(f"branch {MAIN}: a view of {self.repository} does not change it")
        return branch
