"""The Git side of the embedded store: references under one lock, trees of pointers, merges by path."""

import json
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.datasets.embedded.ancestry import merge_base
from ml_platform.datasets.embedded.object_files import ObjectFiles
from ml_platform.datasets.embedded.pointers import CONFIG, SUFFIX, Pointer, decode, remote_config
from ml_platform.datasets.store import MAIN, Conflict, InvalidName, NotFound
from ml_platform.foundation.errors import Corrupt, StoreError
from ml_platform.foundation.files import canonical_json
from ml_platform.foundation.locks import locked

if TYPE_CHECKING:
    import pygit2
    from pygit2 import Oid, Tree

    #: Path in the tree to the blob to set there, or ``None`` to remove it.
    Edits = dict[str, Oid | None]
    #: Object path to its old and its new pointer; ``None``: absent.
    Changes = dict[str, tuple[Oid | None, Oid | None]]

HEADS, TAGS = "refs/heads/", "refs/tags/"
#: Where stores before had what was put and not committed yet. Nothing reads it, and gc keeps it until its branch goes.
STAGING = "refs/staging/"
_METADATA = "\n\nMetadata: "


def parse_message(text: str) -> tuple[str, dict[str, str]]:
    """Message and metadata of a commit; a commit made by another program has no metadata."""
    message, found, metadata = text.rpartition(_METADATA)
    return (message, json.loads(metadata)) if found else (text, {})


def _entry(builder: "pygit2.TreeBuilder", name: str) -> "pygit2.Object | None":
    """What a folder holds by that name; the library's stubs leave out that it may be absent."""
    return builder.get(name)


class GitRepository:
    """A bare repository. Methods that change a reference are for callers inside :meth:`lock` only."""

    def __init__(self, folder: Path, lock_file: Path) -> None:
        self.folder = folder
        self._lock_file = lock_file
        self._handles = threading.local()
        self._objects = ObjectFiles(folder / "objects")
        #: Commits whose ancestors were all compared with their names.
        self._followed: set[Oid] = set()
        #: Pointers that were read: the same blob says the same in every listing.
        self._pointers: dict[Oid, Pointer] = {}

    def create(self, cas: Path) -> None:
        """Create it where it is missing. Every step may be repeated, so a killed creation is finished."""
        import pygit2

        created = self.folder / "created"
        if created.exists():
            return
        with self.lock():
            pygit2.init_repository(str(self.folder), bare=True, initial_head=MAIN)
            if self.target(HEADS + MAIN) is None:
                config = self.git.create_blob(remote_config(cas))
                self.write(HEADS + MAIN, self.edit(None, {CONFIG: config}), "Repository created", {}, [])
            created.touch()

    @property
    def git(self) -> "pygit2.Repository":
        """One handle per thread: libgit2 does not share them between threads. Raises Corrupt for a damaged pack."""
        if not hasattr(self._handles, "git"):
            import pygit2

            if damaged := self._objects.packs():
                raise Corrupt(self._damage(damaged[0]))
            pygit2.settings.enable_fsync_gitdir(True)
            self._handles.git = pygit2.Repository(str(self.folder))
        return self._handles.git

    @contextmanager
    def lock(self) -> Generator[None]:
        """Exclude every other process and thread. Not re-entrant; a killed holder frees it."""
        import pygit2

        try:
            with locked(self._lock_file):
                yield
        except pygit2.GitError as error:
            raise StoreError(f"{self.folder}: Git failed ({error}); run fsck") from error

    @contextmanager
    def reading(self, what: str) -> Generator[None]:
        """Turn a damaged or missing Git object into Corrupt that names ``what`` was read."""
        import pygit2

        try:
            yield
        except (pygit2.GitError, KeyError) as error:
            raise Corrupt(f"{what}: {self._damage(str(error))}") from error

    def _damage(self, reason: str) -> str:
        return f"{self.folder} is damaged ({reason}); restore it from a copy"

    def read(self, object_id: "Oid | str") -> Any:
        """A commit, tree or blob, also by the start of its name. Raises KeyError or GitError, see :meth:`reading`."""
        self._objects.check(str(object_id))
        return self.git[object_id]

    def damaged(self) -> list[str]:
        """Objects and packs that cannot be read, one line each."""
        return [self._damage(found) for found in self._objects.damaged()]

    # -- references ----------------------------------------------------------------------------------

    def target(self, name: str) -> "Oid | None":
        """Commit that a reference names."""
        try:
            found: Any = self.git.references.get(name)
        except ValueError:
            return None
        return found.target if found is not None else None

    def names(self, start: str) -> list[str]:
        """References whose full name starts with ``start``, sorted."""
        return sorted(name for name in self.git.references if name.startswith(start))

    def commit(self, commit_id: "Oid | str", what: str) -> "pygit2.Commit":
        """Read a commit. Raises Corrupt."""
        with self.reading(what):
            commit = self.read(commit_id)
            self._objects.check(str(commit.tree_id))
            return commit

    def tip(self, branch: str) -> "pygit2.Commit":
        """Last commit of a branch. Raises NotFound."""
        tip = self.target(HEADS + branch)
        if tip is None:
            raise NotFound(f"branch {branch!r} does not exist in {self.folder.parent.name}")
        return self.commit(tip, branch)

    def _free(self, name: str) -> None:
        """Remove what a killed writer of this reference left behind: the lock is ours, so it is stale."""
        for stale in (self.folder / f"{name}.lock", self.folder / "packed-refs.lock"):
            stale.unlink(missing_ok=True)

    def point(self, name: str, commit: "Oid", *, force: bool = False) -> None:
        """Create a reference, or move it with ``force``."""
        self._free(name)
        self.git.references.create(name, commit, force=force)

    def drop(self, name: str) -> None:
        """Remove a reference; one that is not there is no error."""
        self._free(name)
        if self.target(name) is not None:
            self.git.references.delete(name)

    def write(
        self, name: str | None, tree: "Oid", message: str, metadata: Mapping[str, str], parents: "list[Oid]"
    ) -> "Oid":
        """Create a commit; with a name, move that reference from ``parents[0]`` to it (compare and swap)."""
        import pygit2

        author = pygit2.Signature("ml-platform", "ml-platform@localhost")
        text = f"{message}{_METADATA}{canonical_json(dict(metadata))}\n"
        if name:
            self._free(name)
        try:
            return self.git.create_commit(name, author, author, text, tree, list(parents))
        except pygit2.GitError as error:
            reason = f"{name or 'a commit'} was not written ({error})"
            raise StoreError(f"{reason}: see that no other Git program works in {self.folder}") from error

    # -- trees ---------------------------------------------------------------------------------------

    def edit(self, tree: "Tree | None", edits: "Edits") -> "Oid":
        """A tree with edits applied; empty folders vanish.

        Raises InvalidName where an object and a folder would have one name, which DVC cannot read.
        """
        from pygit2.enums import FileMode

        builder = self.git.TreeBuilder(tree) if tree is not None else self.git.TreeBuilder()
        below: dict[str, Edits] = {}
        for path, blob in edits.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = blob
            elif blob is not None:
                builder.insert(name, blob, FileMode.BLOB)
            elif _entry(builder, name) is not None:
                builder.remove(name)
        for name, inner in below.items():
            held = _entry(builder, name)
            with self.reading(f"folder {name}"):
                present = self.read(held.id) if held is not None else None
            edited = self.edit(present, inner)
            if len(self.read(edited)):
                builder.insert(name, edited, FileMode.TREE)
            elif held is not None:
                builder.remove(name)
        for name in {path.partition("/")[0].removesuffix(SUFFIX) for path in edits} - {""}:
            if _entry(builder, name) is not None and _entry(builder, name + SUFFIX) is not None:
                raise InvalidName(f"{name!r} cannot be an object and a folder at once")
        return builder.write()

    def changes(self, old: "Tree", new: "Tree") -> "Changes":
        """What differs. Equal folders are not read. Raises Corrupt."""
        with self.reading(f"trees {old.id} and {new.id}"):
            return self._changes(old, new)

    def _changes(self, old: "Tree | None", new: "Tree | None", at: str = "") -> "Changes":
        found: Changes = {}
        # Entries are told from None by `is`: asking a folder whether it is empty would read it.
        sides = [{str(entry.name): entry for entry in tree} if tree is not None else {} for tree in (old, new)]
        for name in sides[0].keys() | sides[1].keys():
            left, right = (side.get(name) for side in sides)
            if at + name[:1] == "." or (left is not None and right is not None and left.id == right.id):
                continue
            folders = [
                self.read(one.id) if one is not None and one.type_str == "tree" else None for one in (left, right)
            ]
            blobs = [one.id if one is not None and one.type_str != "tree" else None for one in (left, right)]
            if folders != [None, None]:
                found |= self._changes(folders[0], folders[1], at + name + "/")
            if blobs != [None, None]:
                found[(at + name).removesuffix(SUFFIX)] = (blobs[0], blobs[1])
        return found

    def merge_base(self, left: "pygit2.Commit", right: "pygit2.Commit") -> "pygit2.Commit":
        """The commit that both come from. Raises Corrupt, and StoreError where there is none."""
        with self.reading(f"history of commits {left.id} and {right.id}"):
            base = merge_base(left.id, right.id, self.read)
        if base is None:
            raise StoreError(f"commits {left.id} and {right.id} have no common ancestor")
        return self.commit(base, f"commit {base}")

    def log(self, start: "pygit2.Commit", what: str) -> "Iterator[pygit2.Commit]":
        """A commit and its ancestors, newest first. Raises Corrupt, which names ``what`` was asked for.

        The first is there at once; for the second all are read.
        """
        from pygit2.enums import SortMode

        yield start
        with self.reading(what):
            self._check_history(start.id)
            yield from islice(self.git.walk(start.id, SortMode.TOPOLOGICAL | SortMode.TIME), 1, None)

    def _check_history(self, start: "Oid") -> None:
        """Compare a commit and its ancestors with their names: libgit2's walk reads them by itself."""
        waiting, found = [start], {start} - self._followed
        while waiting:
            for parent in self.read(waiting.pop()).parent_ids:
                if parent not in found and parent not in self._followed:
                    found.add(parent)
                    waiting.append(parent)
        self._followed |= found

    def merged(self, here: "Changes", there: "Changes", ours: "Tree", what: str) -> "Oid":
        """Tree ``ours`` (base and the changes ``here``) with the changes ``there``; pointers are never mixed.

        Raises Conflict where both changed a path and the contents differ.
        """
        clashes = sorted(
            path for path in here.keys() & there.keys() if not self._same(here[path][1], there[path][1], path)
        )
        if clashes:
            raise Conflict(f"{what}: both sides changed {', '.join(clashes)}", clashes)
        edits = {path + SUFFIX: new for path, (_, new) in there.items() if path not in here}
        try:
            return self.edit(ours, edits)
        except InvalidName as error:
            raise Conflict(f"{what}: {error}", sorted(there)) from error

    def _same(self, left: "Oid | None", right: "Oid | None", path: str) -> bool:
        if left is None or right is None or left == right:
            return left == right
        return self.pointer(left, path).sha256 == self.pointer(right, path).sha256

    def walk(
        self, tree: "Tree", prefix: str = "", *, seen: "set[Oid] | None" = None, at: str = ""
    ) -> "Iterator[tuple[str, Oid]]":
        """Object paths with their pointers, below a prefix; what is in ``seen`` is left out, and added."""
        for entry in tree:
            path = at + str(entry.name)
            if path.startswith("."):
                continue
            if seen is not None:
                if entry.id in seen:
                    continue
                seen.add(entry.id)
            if entry.type_str == "tree":
                if (path + "/").startswith(prefix[: len(path) + 1]):
                    yield from self.walk(self.read(entry.id), prefix, seen=seen, at=path + "/")
            elif path.removesuffix(SUFFIX).startswith(prefix):
                yield path.removesuffix(SUFFIX), entry.id

    def find(self, commit: "pygit2.Commit", path: str, what: str) -> "Oid | None":
        """Pointer of an object, or ``None``. Raises Corrupt."""
        *folders, name = (path + SUFFIX).split("/")
        with self.reading(what):
            tree = commit.tree
            for folder in folders:
                if folder not in tree:
                    return None
                tree = self.read(tree[folder].id)
            return tree[name].id if name in tree else None

    def pointer(self, blob: "Oid", what: str) -> Pointer:
        """Read a pointer, each blob once. Raises Corrupt."""
        if (known := self._pointers.get(blob)) is not None:
            return known
        with self.reading(what):
            content = self.read(blob).data
        try:
            found = self._pointers[blob] = decode(content)
        except ValueError as error:
            raise Corrupt(f"{what}: {error}; restore {self.folder} from a copy") from None
        return found

    def history(self, name: str, seen: "set[Oid]") -> "Iterator[tuple[str, Oid, str]]":
        """Object path, pointer and commit id of everything reachable from a reference, each pointer once.

        ``seen`` is filled, so that a second reference yields only what the first did not.
        """
        from pygit2.enums import SortMode

        start: Any = self.target(name)
        if start is None:
            return
        for commit in self.git.walk(start, SortMode.NONE):
            for path, blob in self.walk(commit.tree, seen=seen):
                yield path, blob, str(commit.id)
