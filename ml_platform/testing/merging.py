"""Laws of merging that hold for every versioned store, whatever it holds: part of the suite of stores."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_platform.datasets.store import Change, Conflict, NoChanges, VersionedStore
from ml_platform.foundation.files import sha256_bytes

Tree = dict[str, str]
Edits = dict[str, str | None]

#: Paths of the laws: none is a folder of another.
PATHS = ["a", "b/c", "b/d", "e/f/g", "e/f/h"]
TREES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["1", "2", "3"]))
#: Changes on one side: new content, or None for removal.
EDITS = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["1", "2", "3", None]))
LAWS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def content(store: VersionedStore, ref: str) -> Tree:
    """Everything at a reference, read back."""
    return {info.path: store.open(ref, info.path).read().decode() for info in store.list(ref)}


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """The model of a diff."""
    return [
        Change("added" if path not in old else "removed" if path not in new else "changed", path)
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


class MergeLaws:
    """Laws of merging, and how the tests of a store write: a part of its suite."""

    folder: Path
    counter = 0

    @pytest.fixture(autouse=True)
    def _scratch(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def open_store(self) -> Callable[[], VersionedStore]:
        """What a subclass gives."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Callable[[], VersionedStore]) -> VersionedStore:
        return open_store()

    def file(self, text: str) -> Path:
        local = self.folder / f"local-{sha256_bytes(text)[:12]}"
        local.write_text(text)
        return local

    def edited(self, store: VersionedStore, branch: str, edits: Mapping[str, str | None]) -> str:
        """Commit edits that change something, or give the head where they change nothing."""
        files = {path: self.file(text) if text is not None else None for path, text in edits.items()}
        try:
            return store.commit(branch, files, "edit")
        except NoChanges:
            return store.resolve(branch)

    def branch(self, store: VersionedStore, name: str, edits: Mapping[str, str | None]) -> str:
        store.create_branch(name)
        return self.edited(store, name, edits)

    @LAWS
    @given(base=TREES, left=EDITS, right=EDITS)
    def test_merge_laws(self, store: VersionedStore, base: Tree, left: Edits, right: Edits) -> None:
        """Three-way merge by path: disjoint or equal changes join in either order, others conflict."""
        MergeLaws.counter += 1
        root, one, two, other = (f"{kind}{MergeLaws.counter}" for kind in ("root", "one", "two", "other"))
        store.create_branch(root)
        self.edited(store, root, base)
        for branch, edits in ((one, left), (two, right)):
            store.create_branch(branch, root)
            self.edited(store, branch, edits)
        store.create_branch(other, two)
        sides = content(store, one), content(store, two)
        assert sides[0] == {k: v for k, v in {**base, **left}.items() if v is not None}
        assert store.diff(root, one) == difference(base, sides[0])
        changed = [{change.path for change in difference(base, side)} for side in sides]
        clashes = sorted(p for p in changed[0] & changed[1] if sides[0].get(p) != sides[1].get(p))
        head = store.resolve(one)
        if clashes:
            with pytest.raises(Conflict) as error:
                store.merge(two, one, "m")
            assert error.value.paths == clashes
            assert store.resolve(one) == head
            return
        joined = {
            path: text
            for path in PATHS
            if (text := (sides[1] if path in changed[1] else sides[0]).get(path)) is not None
        }
        if joined == sides[0]:
            with pytest.raises(NoChanges):
                store.merge(two, one, "m")
        else:
            merge = store.merge(two, one, "m")
            assert content(store, one) == joined
            store.revert(one, merge, parent_number=1)
            assert content(store, one) == sides[0]
            assert content(store, merge) == joined
        try:
            store.merge(head, other, "m")
        except NoChanges:
            assert joined == sides[1]
        assert content(store, other) == joined
