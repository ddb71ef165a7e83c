"""Copy a store into another one: contents, history, tags and metadata.

A commit of another store has another id. So each copy can be found by the id of its original too, which manifests,
versions, references and the ledger name. Commits are copied one by one, parents first, and each is named at once: a
copy that is interrupted goes on where it was, and one that is repeated copies what is new.
"""

from collections.abc import Callable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ml_platform.datasets.derived import PRIVATE
from ml_platform.datasets.history import facts_of
from ml_platform.datasets.store import MAIN, Commit, NoChanges, ObjectInfo, VersionedStore
from ml_platform.foundation.errors import StoreError

#: In the metadata of a copy: its original, and when that was made.
ORIGINAL, CREATED = "copied_from", "copied_created"
_WORK = "copy-under-way"


@runtime_checkable
class CopyTarget(VersionedStore, Protocol):
    """A store in which the commits of another one may have names."""

    def name_copy(self, commit_id: str, ref: str) -> None:
        """Let the id of a commit of another store name its copy here; its own commits keep their names."""
        ...

    def copies(self) -> dict[str, str]:
        """Ids of commits of other stores, and the copies that they name."""
        ...


class Copied(NamedTuple):
    """What a copy did."""

    commits: int
    #: Commits that were there already.
    known: int
    branches: int
    tags: int


def copy(source: VersionedStore, target: VersionedStore, say: Callable[[str], None]) -> Copied:
    """Copy everything that a branch or tag of ``source`` names, and compare the two; ``say`` gets a line a while.

    Raises StoreError where ``target`` holds something else already, cannot name copies, or differs in the end.
    """
    if not isinstance(target, CopyTarget):
        raise StoreError(
            f"store {target.repository!r} cannot name the commits of another one, so nothing can be copied"
        )
    branches = {name: source.resolve(name) for name in source.branches() if not name.startswith(PRIVATE)}
    tags, earlier = source.tags(), source.copies() if isinstance(source, CopyTarget) else {}
    commits = _commits(source, [*branches.values(), *tags.values(), *earlier.values()])
    made, known = dict(target.copies()), 0
    main = set(_first_parents(commits, branches[MAIN]))
    for number, commit_id in enumerate(
        TopologicalSorter({c.id: c.parents for c in commits.values()}).static_order(), 1
    ):
        if commit_id in made:
            known += 1
            continue
        made[commit_id] = _copied(source, target, commits[commit_id], made, commit_id in main)
        target.name_copy(commit_id, made[commit_id])
        if number % 20 == 0:
            say(f"{number} of {len(commits)} commits")
    target.delete_branch(_WORK)
    for name, commit_id in tags.items():
        target.tag(name, made[commit_id], exist_ok=True)
    for name, commit_id in earlier.items():
        target.name_copy(name, made[commit_id])
    for name, commit_id in branches.items():
        if name != MAIN and (name not in target.branches(name) or target.resolve(name) != made[commit_id]):
            target.delete_branch(name)
            target.create_branch(name, made[commit_id])
    _compare(source, target, {**tags, **branches})
    return Copied(len(commits) - known, known, len(branches), len(tags))


def _commits(source: VersionedStore, heads: list[str]) -> dict[str, Commit]:
    """Every commit that can be reached from these."""
    found: dict[str, Commit] = {}
    for head in heads:
        if head not in found:
            found |= {commit.id: commit for commit in source.log(head)}
    return found


def _first_parents(commits: Mapping[str, Commit], head: str) -> Iterator[str]:
    commit: Commit | None = commits[head]
    while commit is not None:
        yield commit.id
        commit = commits[commit.parents[0]] if commit.parents else None


def _copied(
    source: VersionedStore, target: VersionedStore, commit: Commit, made: Mapping[str, str], on_main: bool
) -> str:
    """Make a copy of a commit whose parents were copied; returns its id."""
    if not commit.parents:
        # Every repository begins with a commit that holds nothing.
        return list(target.log(MAIN))[-1].id
    below = made[commit.parents[0]]
    if on_main:
        head = next(iter(target.log(MAIN, limit=1)))
        if head.metadata.get(ORIGINAL) == commit.id:
            return head.id
        if head.id != below:
            raise StoreError(
                f"{MAIN} of the repository that is copied to holds commit {head.id[:12]}, which is no copy: copy into "
                "one that is new, or that nothing else was published in (ML_PLATFORM_REPOSITORY)"
            )
    metadata = {**commit.metadata, ORIGINAL: commit.id, CREATED: commit.created.isoformat()}
    target.delete_branch(_WORK)
    target.create_branch(_WORK, below)
    if len(commit.parents) > 1:
        try:
            merged = target.merge(made[commit.parents[1]], MAIN if on_main else _WORK, commit.message, metadata)
        except NoChanges:
            merged = below
        if _contents(target, merged) != _contents(source, commit.id):
            raise StoreError(
                f"commit {commit.id[:12]} ({commit.message}) was merged otherwise than it is; nothing is lost"
            )
        return merged
    files, objects = _changes(source, commit)
    if not files:
        return below
    done = target.commit(_WORK, files, commit.message, metadata, objects=objects)
    # What releases before wrote to `main` by a revert comes by a merge, like everything else.
    return target.merge(done, MAIN, commit.message, metadata) if on_main else done


def _changes(source: VersionedStore, commit: Commit) -> tuple[dict[str, Path | None], dict[str, Mapping[str, str]]]:
    """What a commit put and removed, with the metadata of the objects."""
    before, after = _contents(source, commit.parents[0]), _contents(source, commit.id)
    files: dict[str, Path | None] = {path: None for path in before if path not in after}
    put = {path: info for path, info in after.items() if before.get(path) != info}
    files |= {path: source.local_path(commit.id, path) for path in put}
    return files, {path: info.metadata for path, info in put.items()}


def _contents(store: VersionedStore, ref: str) -> dict[str, ObjectInfo]:
    return {info.path: info for info in store.list(ref)}


def _compare(source: VersionedStore, target: VersionedStore, names: Mapping[str, str]) -> None:
    """Raise StoreError where a branch or tag holds other objects, or the two tell another history."""
    for name in names:
        if _contents(source, name) != _contents(target, name):
            raise StoreError(f"{name} holds other objects in the copy; copy again")
    if _told(source) != _told(target):
        raise StoreError("the log of what was published differs in the copy; copy into a new repository")


def _told(store: VersionedStore) -> list[dict[str, str]]:
    keys = ("dataset", "partition", "sha256", "rows", "rolled_back", "reason", "by", "run_id", "ledger_head")
    found = (facts_of(commit) for commit in store.log(MAIN))
    return [{key: facts.get(key, "") for key in keys} for facts in found if facts is not None]
