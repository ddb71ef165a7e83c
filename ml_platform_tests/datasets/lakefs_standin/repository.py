"""The model behind the stand-in: commits, branches with a staging area, tags, merges, as lakeFS defines them."""

import hashlib
import itertools
import re
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
REFERENCE = re.compile(r"([^~^@$]+)(?:~(\d*))?")
_WINNER = {"source-wins": "source", "dest-wins": "dest"}
Kind = Literal["added", "removed", "changed", "conflict"]


class ApiError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Entry:
    """An object: equal entries have the same size, checksum, metadata and content type, wherever they lie."""

    size: int
    checksum: str
    metadata: tuple[tuple[str, str], ...]
    content_type: str
    #: File with the bytes.
    address: str = field(compare=False)
    mtime: int = field(compare=False, default=0)


Tree = dict[str, Entry]


@dataclass(frozen=True)
class Commit:
    id: str
    parents: tuple[str, ...]
    message: str
    metadata: dict[str, str]
    tree: Tree
    created: int
    generation: int


@dataclass
class Branch:
    commit: str
    staging: dict[str, Entry | None] = field(default_factory=dict)


class Repository:
    """One repository; the server holds a lock around every call."""

    def __init__(self, name: str, namespace: str, default_branch: str) -> None:
        self.name, self.namespace, self.default_branch = name, namespace, default_branch
        self.commits: dict[str, Commit] = {}
        self.tags: dict[str, str] = {}
        self.protected: list[str] = []
        self.gc_rules: dict | None = None
        self._numbers = itertools.count()
        first = self._write((), "Repository created", {}, {})
        self.branches = {default_branch: Branch(first)}

    def _write(self, parents: tuple[str, ...], message: str, metadata: dict[str, str], tree: Tree) -> str:
        commit_id = hashlib.sha256(f"{self.name}{next(self._numbers)}{parents}{message}".encode()).hexdigest()
        generation = max((self.commits[parent].generation for parent in parents), default=0) + 1
        self.commits[commit_id] = Commit(commit_id, parents, message, metadata, tree, int(time.time()), generation)
        return commit_id

    # -- references ----------------------------------------------------------------------------------

    def branch(self, name: str) -> Branch:
        if not BRANCH.fullmatch(name):
            raise ApiError(400, "argument branch: branch id: invalid value: validation error")
        if name not in self.branches:
            raise ApiError(404, "branch not found")
        return self.branches[name]

    def commit_of(self, ref: str) -> Commit:
        match = REFERENCE.fullmatch(ref)
        if not match:
            raise ApiError(400, "ref: invalid value: validation error")
        base, steps = match[1], match[2]
        if base in self.branches:
            found = self.branches[base].commit
        elif base in self.tags:
            found = self.tags[base]
        else:
            fitting = [name for name in self.commits if len(base) >= 6 and name.startswith(base)]
            if len(fitting) != 1:
                raise ApiError(404, f"get commit by ref {base}: not found")
            found = fitting[0]
        commit = self.commits[found]
        for _ in range(int(steps or ("~" in ref))):
            if not commit.parents:
                raise ApiError(404, "commit not found")
            commit = self.commits[commit.parents[0]]
        return commit

    def tree_of(self, ref: str) -> Tree:
        """What a reference shows; for a branch its staging area is seen too."""
        tree = dict(self.commit_of(ref).tree)
        if ref in self.branches:
            _apply(tree, self.branches[ref].staging)
        return tree

    def create_branch(self, name: str, source: str) -> str:
        commit = self.commit_of(source).id
        if not BRANCH.fullmatch(name):
            raise ApiError(400, "argument branch: branch id: invalid value: validation error")
        if name in self.branches:
            raise ApiError(409, "branch already exists: not unique")
        self.branches[name] = Branch(commit)
        return commit

    def delete_branch(self, name: str) -> None:
        if name == self.default_branch:
            raise ApiError(403, "cannot delete repository default branch")
        self.branch(name)
        del self.branches[name]

    def create_tag(self, name: str, ref: str) -> str:
        commit = self.commit_of(ref).id
        if name in self.tags:
            raise ApiError(409, "tag already exists: not unique")
        self.tags[name] = commit
        return commit

    # -- staging and commits -------------------------------------------------------------------------

    def _writable(self, name: str, action: str) -> Branch:
        if name in self.protected:
            raise ApiError(403, f"cannot {action} protected branch")
        return self.branch(name)

    def stage(self, name: str, path: str, entry: Entry | None) -> None:
        branch = self._writable(name, "write to")
        if entry is None and path not in self.tree_of(name):
            raise ApiError(404, "not found")
        if not path:
            raise ApiError(400, "missing path: validation error")
        branch.staging[path] = entry

    def reset(self, name: str, path: str | None = None) -> None:
        branch = self._writable(name, "write to")
        if path is None:
            branch.staging.clear()
        else:
            branch.staging.pop(path, None)

    def uncommitted(self, name: str) -> list[tuple[Kind, str]]:
        branch = self.branch(name)
        return difference(self.commits[branch.commit].tree, self.tree_of(name))

    def commit(self, name: str, message: str, metadata: dict[str, str]) -> Commit:
        branch = self._writable(name, "commit to")
        tree = self.tree_of(name)
        if tree == self.commits[branch.commit].tree:
            raise ApiError(400, "commit: no changes")
        branch.commit = self._write((branch.commit,), message, metadata, tree)
        branch.staging.clear()
        return self.commits[branch.commit]

    def _clean(self, name: str) -> Branch:
        branch = self.branch(name)
        if self.uncommitted(name):
            raise ApiError(400, f"{name}: uncommitted changes (dirty branch)")
        # What is staged equals what is committed; lakeFS drops it with the change of the head.
        branch.staging.clear()
        return branch

    def base(self, left: Commit, right: Commit) -> Commit:
        """The common ancestor of the highest generation."""
        common = self._ancestors(left) & self._ancestors(right)
        return max((self.commits[commit] for commit in common), key=lambda commit: commit.generation)

    def _ancestors(self, commit: Commit) -> set[str]:
        found, todo = set(), [commit.id]
        while todo:
            if (current := todo.pop()) not in found:
                found.add(current)
                todo.extend(self.commits[current].parents)
        return found

    def merge(self, source: str, dest: str, message: str, metadata: dict[str, str], strategy: str) -> str:
        branch = self._clean(dest)
        theirs, ours = self.commit_of(source), self.commits[branch.commit]
        base = self.base(theirs, ours)
        if theirs.tree == base.tree:
            raise ApiError(400, "no changes")
        tree = merged(base.tree, theirs.tree, ours.tree, strategy)
        marked = {**metadata, ".lakefs.merge.strategy": strategy or "default"}
        branch.commit = self._write((ours.id, theirs.id), message, marked, tree)
        return branch.commit

    def revert(self, name: str, ref: str, parent_number: int, message: str, metadata: dict[str, str]) -> None:
        undone = self.commit_of(ref)
        if len(undone.parents) > 1 and parent_number <= 0:
            raise ApiError(409, "must specify 1-based parent number for reverting merge commit")
        if parent_number > len(undone.parents):
            raise ApiError(400, f"given commit does not have the given parent number: parent {parent_number}")
        branch = self._clean(name)
        kept = self.commits[undone.parents[max(parent_number, 1) - 1]].tree if undone.parents else {}
        tip = self.commits[branch.commit]
        if kept == undone.tree:
            raise ApiError(400, "update branch: no changes")
        tree = merged(undone.tree, kept, tip.tree, "")
        if tree == tip.tree:
            raise ApiError(400, "update branch: no changes")
        branch.commit = self._write((tip.id,), message, metadata, tree)

    def compare(self, left: str, right: str) -> list[tuple[Kind, str]]:
        """What a merge of ``right`` into ``left`` brings, with its conflicts (three-dot)."""
        ours, theirs = self.commit_of(left), self.commit_of(right)
        base = self.base(ours, theirs).tree
        found: list[tuple[Kind, str]] = []
        for kind, path in difference(base, theirs.tree):
            if ours.tree.get(path) == theirs.tree.get(path):
                continue
            found.append((kind if ours.tree.get(path) == base.get(path) else "conflict", path))
        return found

    def log(self, ref: str, first_parent: bool) -> list[Commit]:
        """Newest generation first, as lakeFS walks."""
        start = self.commit_of(ref)
        if first_parent:
            found = [start]
            while found[-1].parents:
                found.append(self.commits[found[-1].parents[0]])
            return found
        return sorted(
            (self.commits[commit] for commit in self._ancestors(start)),
            key=lambda commit: (-commit.generation, -commit.created, commit.id),
        )


def _apply(tree: Tree, staging: dict[str, Entry | None]) -> None:
    for path, entry in staging.items():
        if entry is None:
            tree.pop(path, None)
        else:
            tree[path] = entry


def difference(old: Tree, new: Tree) -> list[tuple[Kind, str]]:
    """Differences of two trees, by path (two-dot)."""
    return [
        ("added" if path not in old else "removed" if path not in new else "changed", path)
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def merged(base: Tree, source: Tree, dest: Tree, strategy: str) -> Tree:
    """Three-way merge as the server (1.84) does it, with its fault.

    Where both sides have a path, and on one side after the last path of the other, it compares with the next entry
    of the base without a look at that one's path: an added entry that is equal to it counts as unchanged.
    """
    if base in (source, dest):
        return dict(dest if base == source else source)
    order, tree = sorted(base), {}
    last = {side: max(held, default="") for side, held in (("source", source), ("dest", dest))}
    for path in sorted(source.keys() | dest.keys()):
        theirs, ours = source.get(path), dest.get(path)
        index = bisect_left(order, path)
        near = base[order[index]] if index < len(order) else None
        was = base.get(path)
        if theirs is not None and ours is not None:
            if theirs in (ours, near):
                kept = ours
            elif ours == near or strategy == "source-wins":
                kept = theirs
            elif strategy == "dest-wins":
                kept = ours
            else:
                raise ApiError(409, "conflict found")
        else:
            side, other, only = ("source", "dest", theirs) if ours is None else ("dest", "source", ours)
            if only == (near if path > last[other] else was):
                kept = None
            elif was is not None and strategy not in _WINNER:
                raise ApiError(409, "conflict found")
            else:
                kept = only if was is None or _WINNER[strategy] == side else None
        if kept is not None:
            tree[path] = kept
    return tree
