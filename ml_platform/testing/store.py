"""What every adapter of VersionedStore must do. It needs hypothesis beside pytest.

Subclass :class:`StoreContract` and give one fixture, ``open_store``: a function that opens one repository, which is
empty at first with ``main`` protected, again each time it is called::

    class TestContract(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path: Path) -> Callable[[], VersionedStore]:
            return lambda: MyStore(tmp_path / "store", protected=("main",))
"""

import stat
from collections.abc import Callable

import pytest

from ml_platform.datasets.store import (
    MAIN,
    AlreadyExists,
    Change,
    Conflict,
    InvalidName,
    NoChanges,
    NotFound,
    ObjectInfo,
    Protected,
    VersionedStore,
)
from ml_platform.foundation.errors import StoreError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.testing.contents import ContentContract
from ml_platform.testing.merging import Edits, content


class StoreContract(ContentContract):
    """Tests that hold for every adapter."""

    def test_it_is_a_versioned_store(self, store: VersionedStore) -> None:
        assert isinstance(store, VersionedStore)
        assert store.branches() == [MAIN]
        assert store.list(MAIN) == []

    def test_a_local_file_is_read_only(self, store: VersionedStore) -> None:
        """Who writes into it would change what was committed."""
        self.branch(store, "work", {"a": "1"})
        assert not stat.S_IMODE(store.local_path("work", "a").stat().st_mode) & 0o222

    def test_what_one_commits_another_one_reads(self, open_store: Callable[[], VersionedStore]) -> None:
        one, other = open_store(), open_store()
        commit = self.branch(one, "work", {"a": "1"})
        assert (other.resolve("work"), content(other, commit)) == (commit, {"a": "1"})
        self.edited(other, "work", {"b": "2"})
        assert content(one, "work") == {"a": "1", "b": "2"}

    def test_from_a_branch_to_main(self, store: VersionedStore) -> None:
        before = store.create_branch("work")
        labels = {"rows": "1", "odd": "12e3 ü\n#: '\"\x07"}
        info = ObjectInfo("x/a.parquet", sha256_bytes("one"), 3, labels)
        commit = store.commit(
            "work", {info.path: self.file("one")}, "Add one", {"run_id": "r1"}, objects={info.path: labels}
        )
        assert commit == store.resolve("work") != before
        assert store.stat("work", "x/a.parquet") == info
        with pytest.raises(NotFound, match=r"x/a\.parquet"):
            store.stat(MAIN, "x/a.parquet")
        assert store.diff(MAIN, "work") == [Change("added", "x/a.parquet")]
        assert store.diff("work", MAIN) == []
        merge = store.merge("work", MAIN, "Publish", {"run_id": "r2", "n": "1"})
        assert store.resolve(MAIN) == merge
        assert store.stat(merge, "x/a.parquet") == info
        assert content(store, MAIN) == {"x/a.parquet": "one"}
        assert store.local_path(MAIN, "x/a.parquet").read_text() == "one"
        log = list(store.log(MAIN))
        assert [entry.id for entry in log[:2]] == [merge, commit]
        assert log[0].parents == (before, commit)
        assert (log[0].message, log[0].metadata) == ("Publish", {"run_id": "r2", "n": "1"})
        assert log[1].metadata == {"run_id": "r1"}
        assert [entry.created for entry in log if entry.created.tzinfo is None] == [], "times have a zone"
        assert list(store.log(MAIN, limit=1)) == log[:1]
        assert store.resolve(f"{MAIN}~1") == before == store.resolve(f"{merge}~1")
        assert commit in store.url(commit, "x/a.parquet")

    def test_list_takes_a_prefix_of_the_path(self, store: VersionedStore) -> None:
        self.branch(store, "work", {"a/b/1": "1", "a/b/2": "2", "a/bc": "3", "d": "4"})
        assert [info.path for info in store.list("work", "a/b")] == ["a/b/1", "a/b/2", "a/bc"]
        assert [info.path for info in store.list("work", "a/b/")] == ["a/b/1", "a/b/2"]
        assert [info.path for info in store.list("work", "a/b/2")] == ["a/b/2"]
        assert store.list("work", "nothing/") == []

    def test_commit_is_idempotent_by_run_id(self, store: VersionedStore) -> None:
        store.create_branch("work")
        with pytest.raises(NoChanges):
            store.commit("work", {}, "empty", {"run_id": "r1"})
        one = {"a": self.file("1"), "gone": None}
        commit = store.commit("work", one, "m", {"run_id": "r1"})
        assert store.commit("work", one, "same content again", {"run_id": "r1"}) == commit
        assert store.commit("work", {}, "m", {"run_id": "r1"}) == commit
        for metadata in ({"run_id": "r2"}, {}, None):
            with pytest.raises(NoChanges):
                store.commit("work", one, "m", metadata)
        assert store.commit("work", {"a": self.file("2")}, "m", {"run_id": "r1"}) != commit

    def test_one_commit_adds_changes_and_removes(self, store: VersionedStore) -> None:
        head = self.branch(store, "work", {"a": "1", "b/c": "1", "d": "1"})
        commit = self.edited(store, "work", {"a": "2", "b/c": None, "b/e": "1", "absent": None})
        assert content(store, commit) == {"a": "2", "b/e": "1", "d": "1"}
        assert next(iter(store.log("work"))).parents == (head,)
        assert store.diff(head, commit) == [Change("changed", "a"), Change("removed", "b/c"), Change("added", "b/e")]

    def test_a_commit_that_fails_leaves_nothing(self, store: VersionedStore) -> None:
        head = self.branch(store, "work", {"a": "1"})
        for error, other in ((InvalidName, {"../c": self.file("2")}), (OSError, {"c": self.folder / "missing"})):
            with pytest.raises(error):
                store.commit("work", {"a": None, "b": self.file("2"), **other}, "m")
            assert (store.resolve("work"), content(store, "work")) == (head, {"a": "1"})
        assert content(store, self.edited(store, "work", {"d": "1"})) == {"a": "1", "d": "1"}

    def test_merge_of_what_is_held_changes_nothing(self, store: VersionedStore) -> None:
        self.branch(store, "work", {"a": "1"})
        self.branch(store, "twin", {"a": "1"})
        merge = store.merge("work", MAIN, "m")
        for source in ("work", "twin", MAIN):
            with pytest.raises(NoChanges):
                store.merge(source, MAIN, "again")
        assert store.resolve(MAIN) == merge

    def test_both_sides_changed_one_path(self, store: VersionedStore) -> None:
        self.branch(store, "left", {"a": "1", "same": "s", "l": "l"})
        self.branch(store, "right", {"a": "2", "same": "s", "r": "r"})
        head = store.merge("left", MAIN, "m")
        with pytest.raises(Conflict, match="a") as error:
            store.merge("right", MAIN, "m")
        assert error.value.paths == ["a"]
        assert store.resolve(MAIN) == head

    def test_both_sides_added_a_path_and_one_is_equal_to_the_next_object(self, store: VersionedStore) -> None:
        """A lakeFS server that is left to itself takes one side of these in silence."""
        for number, (left, right) in enumerate((("1", "2"), ("2", "1"))):
            root, one, two = (f"{kind}{number}" for kind in ("root", "one", "two"))
            self.branch(store, root, {"b/c": "1"})
            for branch, text in ((one, left), (two, right)):
                store.create_branch(branch, root)
                self.edited(store, branch, {"a": text})
            with pytest.raises(Conflict) as error:
                store.merge(two, one, "m")
            assert error.value.paths == ["a"]
            assert content(store, one) == {"a": left, "b/c": "1"}

    @pytest.mark.parametrize(
        ("left", "right"), [({"b/c": None}, {"a": "1"}), ({"a": "1"}, {"b/c": None})], ids=["here", "there"]
    )
    def test_an_added_object_that_is_equal_to_a_removed_one_is_kept(
        self, store: VersionedStore, left: Edits, right: Edits
    ) -> None:
        """A lakeFS server that is left to itself drops it in silence."""
        self.branch(store, "root", {"b/c": "1"})
        for branch, edits in (("one", left), ("two", right)):
            store.create_branch(branch, "root")
            self.edited(store, branch, edits)
        store.merge("two", "one", "m")
        assert content(store, "one") == {"a": "1"}

    def test_revert_of_a_removal_where_the_path_was_added_again(self, store: VersionedStore) -> None:
        self.branch(store, "work", {"a": "1", "b/c": "2"})
        removal = self.edited(store, "work", {"a": None})
        head = self.edited(store, "work", {"a": "2"})
        with pytest.raises(Conflict) as error:
            store.revert("work", removal)
        assert error.value.paths == ["a"]
        assert store.resolve("work") == head

    def test_removal_against_change_is_a_conflict(self, store: VersionedStore) -> None:
        self.branch(store, "base", {"a": "1"})
        store.merge("base", MAIN, "m")
        self.branch(store, "removes", {"a": None})
        self.branch(store, "changes", {"a": "2"})
        store.merge("removes", MAIN, "m")
        with pytest.raises(Conflict):
            store.merge("changes", MAIN, "m")

    def test_main_takes_merges_only(self, store: VersionedStore) -> None:
        for action in (
            lambda: store.commit(MAIN, {"a": self.file("1")}, "m"),
            lambda: store.commit(MAIN, {"a": None}, "m"),
            lambda: store.commit(MAIN, {}, "m"),
            lambda: store.delete_branch(MAIN),
        ):
            with pytest.raises(Protected, match=MAIN):
                action()
        assert store.list(MAIN) == []

    def test_revert_of_a_merge_needs_its_parent(self, store: VersionedStore) -> None:
        self.branch(store, "work", {"a": "1"})
        merge = store.merge("work", MAIN, "m")
        for number in (0, 3, -1):
            with pytest.raises(StoreError, match="parent"):
                store.revert(MAIN, merge, parent_number=number)
        store.revert(MAIN, merge, parent_number=1, metadata={"run_id": "r9"})
        assert store.list(MAIN) == []
        assert content(store, merge) == {"a": "1"}
        assert next(iter(store.log(MAIN))).metadata == {"run_id": "r9"}
        with pytest.raises(NoChanges):
            store.revert(MAIN, merge, parent_number=1)

    def test_revert_keeps_later_work_and_refuses_what_it_would_undo(self, store: VersionedStore) -> None:
        first = self.branch(store, "work", {"a": "1", "b": "1"})
        self.edited(store, "work", {"c": "1"})
        store.revert("work", first)
        assert content(store, "work") == {"c": "1"}
        second = self.edited(store, "work", {"d": "1"})
        self.edited(store, "work", {"d": "2"})
        with pytest.raises(Conflict) as error:
            store.revert("work", second)
        assert error.value.paths == ["d"]

    def test_branches(self, store: VersionedStore) -> None:
        commit = self.branch(store, "stage-1", {"a": "1"})
        with pytest.raises(AlreadyExists, match="stage-1"):
            store.create_branch("stage-1")
        assert store.create_branch("stage-1", exist_ok=True) == commit
        assert store.create_branch("stage-2", "stage-1") == commit
        assert store.branches("stage-") == ["stage-1", "stage-2"]
        self.edited(store, "stage-2", {"b": "2"})
        store.delete_branch("stage-2")
        store.delete_branch("stage-2")
        with pytest.raises(NotFound, match="stage-2"):
            store.resolve("stage-2")
        store.create_branch("stage-2")
        assert store.list("stage-2") == []

    def test_tags_never_move(self, store: VersionedStore) -> None:
        first = self.branch(store, "work", {"a": "1"})
        store.tag("v1", "work")
        store.tag("v1", first, exist_ok=True)
        with pytest.raises(AlreadyExists):
            store.tag("v1", first)
        self.edited(store, "work", {"a": "2"})
        with pytest.raises(AlreadyExists, match="v1"):
            store.tag("v1", "work", exist_ok=True)
        assert store.tags() == {"v1": first} == store.tags("v")
        assert store.tags("w") == {}
        assert content(store, "v1") == {"a": "1"}

    @pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "a.b", "a\n", "..", "x" * 300, "0" * 40])
    def test_names_that_no_branch_may_have(self, store: VersionedStore, name: str) -> None:
        with pytest.raises(InvalidName):
            store.create_branch(name)
        with pytest.raises(InvalidName):
            store.tag(name, MAIN)

    @pytest.mark.parametrize(
        "path",
        ["", "/a", "a/", "a//b", "../a", "a/./b", ".git/x", "a\\b", "a\x00b", "a\nb", "\ud800", "x" * 300],
    )
    def test_paths_that_no_object_may_have(self, store: VersionedStore, path: str) -> None:
        store.create_branch("work")
        with pytest.raises(InvalidName):
            store.commit("work", {path: self.file("1")}, "m")
        with pytest.raises(InvalidName):
            store.commit("work", {path: None}, "m")
        assert store.list("work") == []

    @pytest.mark.parametrize("path", ["a b", "ä/ü", "x=1/y=2", "a:b", "#", "2013-01|b", "'\"", "12e3", "a.dvcx"])
    def test_unusual_paths_come_back(self, store: VersionedStore, path: str) -> None:
        self.branch(store, "work", {path: "1"})
        store.merge("work", MAIN, "m")
        assert content(store, MAIN) == {path: "1"}

    @pytest.mark.parametrize("ref", ["nothing", "main~1", "main~99", "0" * 40, "deadbeef", "a b", "refs/heads/main"])
    def test_references_that_do_not_exist(self, store: VersionedStore, ref: str) -> None:
        with pytest.raises(NotFound):
            store.resolve(ref)
        with pytest.raises(NotFound):
            store.list(ref)

    def test_what_is_missing_is_named(self, store: VersionedStore) -> None:
        for action in (
            lambda: store.commit("gone", {"a": self.file("1")}, "m"),
            lambda: store.commit("gone", {}, "m"),
            lambda: store.merge("gone", MAIN, "m"),
            lambda: store.create_branch("new", "gone"),
            lambda: store.tag("v", "gone"),
            lambda: store.diff(MAIN, "gone"),
        ):
            with pytest.raises(NotFound, match="gone"):
                action()
        store.create_branch("work")
        for read in (store.open, store.stat, store.local_path):
            with pytest.raises(NotFound, match="absent"):
                read("work", "absent")
            with pytest.raises(NotFound, match="gone"):
                read("gone", "absent")
        with pytest.raises(NotFound, match="gone"):
            list(store.log("gone"))

    def test_metadata_alone_is_a_change(self, store: VersionedStore) -> None:
        head = self.branch(store, "work", {"a": "1"})
        commit = store.commit("work", {"a": self.file("1")}, "m", objects={"a": {"rows": "5"}})
        assert store.diff(head, commit) == [Change("changed", "a")]
        assert store.stat("work", "a").metadata == {"rows": "5"}
