"""A versioned store on one machine: Git for commits, read-only content files for bytes.

Nothing runs in the background. Any number of processes may use a store at once: every change of a
reference happens under one file lock, and readers take none. A process that is killed leaves at most
temporary files, which :meth:`EmbeddedStore.gc` removes.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ml_platform.datasets.embedded.pointers import SUFFIX, ContentFiles, Pointer, check_path, encode
from ml_platform.datasets.embedded.repository import HEADS, STAGING, TAGS, GitRepository, parse_message
from ml_platform.datasets.names import (
    COMMIT_ID,
    ancestor,
    check_commit_id,
    check_deletable,
    check_name,
    check_repository,
    taken,
    unknown,
)
from ml_platform.datasets.store import (
    MAIN,
    Change,
    Commit,
    NoChanges,
    NotFound,
    ObjectInfo,
    Protected,
)
from ml_platform.foundation.errors import Corrupt, StoreError

if TYPE_CHECKING:
    import pygit2

    from ml_platform.datasets.embedded.repository import Changes

_COMMIT_ID = re.compile(r"[0-9a-f]{7,40}")


class EmbeddedStore:
    """:class:`~ml_platform.datasets.store.VersionedStore` below ``root/repository``.

    ``meta.git`` is a bare Git repository whose trees hold DVC pointers and ``cas`` holds the bytes, so
    ``dvc get <root>/<repository>/meta.git PATH --rev TAG`` works. ``protected`` branches take merges and
    reverts only. Raises InvalidName for a repository name that lakeFS could not hold either.
    """

    def __init__(self, root: Path, repository: str, protected: tuple[str, ...] = (MAIN,)) -> None:
        self.repository = check_repository(repository)
        self.protected = frozenset(protected)
        self.folder = root.resolve() / repository
        self._files = ContentFiles(self.folder / "cas")
        self._repo = GitRepository(self.folder / "meta.git", self.folder / "lock")
        self._repo.create(self._files.root)

    # -- references ----------------------------------------------------------------------------------

    def resolve(self, ref: str) -> str:
        return str(self._commit(ref).id)

    def _commit(self, ref: str) -> "pygit2.Commit":
        base, steps = ancestor(ref)
        found = self._repo.target(HEADS + base) or self._repo.target(TAGS + base)
        commit = self._repo.commit(found, ref) if found is not None else self._by_id(base)
        for _ in range(steps):
            parents = commit.parent_ids if commit is not None else []
            commit = self._repo.commit(parents[0], ref) if parents else None
        if commit is None:
            raise unknown(ref, self.repository)
        return commit

    def _by_id(self, commit_id: str) -> "pygit2.Commit | None":
        if not _COMMIT_ID.fullmatch(commit_id):
            return None
        with self._repo.reading(f"commit {commit_id}"):
            try:
                found = self._repo.read(commit_id)
            except (KeyError, ValueError):
                return None
        return self._repo.commit(found.id, f"commit {found.id}") if found.type_str == "commit" else None

    def create_branch(self, name: str, source: str = MAIN, *, exist_ok: bool = False) -> str:
        check_name("branch", name)
        with self._repo.lock():
            held = self._repo.target(HEADS + name)
            if held is not None and not exist_ok:
                raise taken("branch", name, f"in {self.repository}")
            if held is None:
                held = self._commit(source).id
                self._repo.point(HEADS + name, held)
            return str(held)

    def delete_branch(self, name: str) -> None:
        check_deletable(name, self.protected)
        with self._repo.lock():
            self._repo.drop(STAGING + name)
            self._repo.drop(HEADS + name)

    def branches(self, prefix: str = "") -> list[str]:
        return [name.removeprefix(HEADS) for name in self._repo.names(HEADS + prefix)]

    def tag(self, name: str, ref: str, *, exist_ok: bool = False) -> None:
        check_name("tag", name)
        with self._repo.lock():
            commit, held = self._commit(ref).id, self._repo.target(TAGS + name)
            if held is None:
                self._repo.point(TAGS + name, commit)
            elif not exist_ok or held != commit:
                raise taken("tag", name, f"and names commit {held}")

    def tags(self, prefix: str = "") -> dict[str, str]:
        return {name: commit for name, commit in self._tags(prefix).items() if not COMMIT_ID.fullmatch(name)}

    def name_copy(self, commit_id: str, ref: str) -> None:
        """See :class:`~ml_platform.datasets.copying.CopyTarget`: a tag."""
        check_commit_id(commit_id)
        with self._repo.lock():
            # A commit of this store keeps its name.
            if self._by_id(commit_id) is None and self._repo.target(TAGS + commit_id) is None:
                self._repo.point(TAGS + commit_id, self._commit(ref).id)

    def copies(self) -> dict[str, str]:
        """See :class:`~ml_platform.datasets.copying.CopyTarget`."""
        return {name: commit for name, commit in self._tags().items() if COMMIT_ID.fullmatch(name)}

    def _tags(self, prefix: str = "") -> dict[str, str]:
        named = {name: self._repo.target(name) for name in self._repo.names(TAGS + prefix)}
        return {name.removeprefix(TAGS): str(commit) for name, commit in named.items() if commit is not None}

    # -- commits -------------------------------------------------------------------------------------

    def commit(
        self,
        branch: str,
        files: Mapping[str, Path | None],
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        objects: Mapping[str, Mapping[str, str]] | None = None,
    ) -> str:
        if branch in self.protected:
            raise Protected(f"branch {branch!r} is protected: commit to another branch and merge it")
        for path in files:
            check_path(path)
        self._repo.tip(branch)
        labels = objects or {}
        while True:
            pointers = {
                path: replace(self._files.add(local), metadata=dict(labels.get(path, {}))) if local else None
                for path, local in files.items()
            }
            with self._repo.lock():
                # A gc with a short grace may have removed bytes that nothing pointed to yet.
                if all(self._files.path(pointer.md5).exists() for pointer in pointers.values() if pointer):
                    return self._commit_pointers(branch, pointers, message, metadata)

    def _commit_pointers(
        self, branch: str, pointers: Mapping[str, Pointer | None], message: str, metadata: Mapping[str, str] | None
    ) -> str:
        tip, metadata = self._repo.tip(branch), metadata or {}
        edits = {
            path + SUFFIX: self._repo.git.create_blob(encode(path, pointer)) if pointer else None
            for path, pointer in pointers.items()
        }
        tree = self._repo.edit(tip.tree, edits)
        if tree != tip.tree_id:
            return str(self._repo.write(HEADS + branch, tree, message, metadata, [tip.id]))
        run_id = metadata.get("run_id")
        if run_id and parse_message(tip.message)[1].get("run_id") == run_id:
            return str(tip.id)
        raise NoChanges(f"branch {branch!r} holds all of it already: nothing to commit")

    def merge(self, source: str, dest: str, message: str, metadata: Mapping[str, str] | None = None) -> str:
        with self._repo.lock():
            ours, theirs = self._repo.tip(dest), self._commit(source)
            base = self._repo.merge_base(ours, theirs).tree
            here, there = self._repo.changes(base, ours.tree), self._repo.changes(base, theirs.tree)
            tree = self._repo.merged(here, there, ours.tree, f"merge of {source!r} into {dest!r}")
            if tree == ours.tree_id:
                raise NoChanges(f"branch {dest!r} already holds {source!r}")
            return str(self._repo.write(HEADS + dest, tree, message, metadata or {}, [ours.id, theirs.id]))

    def revert(
        self, branch: str, commit: str, *, parent_number: int = 0, metadata: Mapping[str, str] | None = None
    ) -> str:
        with self._repo.lock():
            tip, undone = self._repo.tip(branch), self._commit(commit)
            parents = undone.parent_ids
            if not (len(parents) == 1 and parent_number == 0) and not 1 <= parent_number <= len(parents):
                raise StoreError(f"commit {undone.id} has {len(parents)} parents: say which by parent_number")
            kept = self._repo.commit(parents[max(parent_number, 1) - 1], commit)
            here = self._repo.changes(undone.tree, tip.tree)
            there = self._repo.changes(undone.tree, kept.tree)
            tree = self._repo.merged(here, there, tip.tree, f"revert of {commit!r} on {branch!r}")
            if tree == tip.tree_id:
                raise NoChanges(f"branch {branch!r} holds nothing of {commit!r} to revert")
            message = f"Revert {undone.id}"
            return str(self._repo.write(HEADS + branch, tree, message, metadata or {}, [tip.id]))

    # -- reading -------------------------------------------------------------------------------------

    def diff(self, left: str, right: str) -> list[Change]:
        ours, theirs = self._commit(left), self._commit(right)
        with self._repo.reading(right):
            return _described(self._repo.changes(self._repo.merge_base(ours, theirs).tree, theirs.tree))

    def _found(self, ref: str, path: str) -> tuple[Pointer, str]:
        """Pointer of an object, and how to name the object in an error."""
        commit = self._commit(ref)
        what = f"{path} at commit {commit.id}"
        blob = self._repo.find(commit, check_path(path), what)
        if blob is None:
            raise NotFound(f"object {path!r} does not exist at {ref!r} in {self.repository}")
        return self._repo.pointer(blob, what), what

    def stat(self, ref: str, path: str) -> ObjectInfo:
        pointer, _ = self._found(ref, path)
        return ObjectInfo(path, pointer.sha256, pointer.size, pointer.metadata)

    def list(self, ref: str, prefix: str = "") -> "list[ObjectInfo]":
        commit = self._commit(ref)
        with self._repo.reading(ref):
            found = sorted(self._repo.walk(commit.tree, prefix))
        pointers = ((path, self._repo.pointer(blob, f"{path} at commit {commit.id}")) for path, blob in found)
        return [ObjectInfo(path, item.sha256, item.size, item.metadata) for path, item in pointers]

    def open(self, ref: str, path: str) -> BinaryIO:
        return self._files.open_verified(*self._found(ref, path))

    def local_path(self, ref: str, path: str) -> Path:
        pointer, what = self._found(ref, path)
        self._files.open_verified(pointer, what).close()
        return self._files.path(pointer.md5)

    def log(self, ref: str, limit: int | None = None) -> Iterator[Commit]:
        for commit in islice(self._repo.log(self._commit(ref), f"history of {ref}"), limit):
            message, metadata = parse_message(commit.message)
            parents = tuple(map(str, commit.parent_ids))
            yield Commit(str(commit.id), message, metadata, parents, datetime.fromtimestamp(commit.commit_time, UTC))

    def url(self, ref: str, path: str = "") -> str:
        address = f"{self._repo.folder.as_uri()}@{self.resolve(ref)}"
        return f"{address}#{check_path(path)}" if path else address

    # -- maintenance ---------------------------------------------------------------------------------

    def held(self) -> AbstractContextManager[None]:
        """Every process that would change the repository waits until the block ends."""
        return self._repo.lock()

    def gc(self, grace_seconds: float = 86400) -> int:
        """Remove bytes that no reference reaches; returns the number of files removed.

        Files younger than ``grace_seconds`` stay, since another process may be about to commit them.
        Writers wait meanwhile. Raises Corrupt (and removes nothing) where the history cannot be read.
        """
        if problems := self._repo.damaged():
            raise Corrupt(problems[0])
        with self._repo.lock():
            seen: set[pygit2.Oid] = set()
            live: set[str] = set()
            for name in self._repo.names("refs/"):
                with self._repo.reading(name):
                    for path, blob, commit in self._repo.history(name, seen):
                        live.add(self._repo.pointer(blob, f"{path} at commit {commit}").md5)
            return self._files.remove_except(live, grace_seconds)

    def fsck(self) -> "list[str]":
        """Check every pointer and all bytes that a reference reaches; returns the problems, one line each."""
        problems = self._repo.damaged()
        if problems:
            # What depends on a damaged object cannot be followed.
            return problems
        checked: set[tuple[str, str]] = set()
        seen: set[pygit2.Oid] = set()
        for name in self._repo.names("refs/"):
            try:
                with self._repo.reading(name):
                    for path, blob, commit in self._repo.history(name, seen):
                        try:
                            pointer = self._repo.pointer(blob, f"{path} at commit {commit}")
                            if (pointer.md5, pointer.sha256) not in checked:
                                self._files.open_verified(pointer, f"{path} at commit {commit}").close()
                        except Corrupt as error:
                            problems.append(str(error))
                        else:
                            checked.add((pointer.md5, pointer.sha256))
            except Corrupt as error:
                problems.append(str(error))
        return problems


def _described(changes: "Changes") -> list[Change]:
    """Changes by path, in words."""
    return [
        Change("added" if old is None else "removed" if new is None else "changed", path)
        for path, (old, new) in sorted(changes.items())
    ]
