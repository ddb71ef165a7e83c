"""Another writer moves the branch between the adapter's look and the server's merge: nothing is lost in silence."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars
import pytest

from ml_platform.datasets.batches import published
from ml_platform.datasets.derived import ATTEMPTS, private_commit, sha256_at
from ml_platform.datasets.lakefs.api import Server
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.rollback import roll_back
from ml_platform.datasets.store import MAIN, Conflict, NoChanges
from ml_platform.foundation.errors import StoreError
from ml_platform.foundation.provenance import Provenance
from ml_platform.testing.merging import content
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.lakefs_standin import StandIn

MERGE = r"POST .*/merge/main$"
REVERT = r"POST .*/branches/main/revert$"


def committed(store: LakeFSStore, folder: Path, name: str, path: str, text: str, source: str = MAIN, **labels) -> None:
    store.create_branch(name, source)
    (folder / "local").write_text(text)
    store.commit(name, {path: folder / "local"}, name, objects={path: labels})


def moved_by(standin: StandIn, store: LakeFSStore, where: str, *branches: str) -> Callable[[], int]:
    """Have others merge these branches just before the server acts on the next requests like ``where``.

    Returns how many of them came in between.
    """
    held = standin.repositories[store.repository]
    orders = [
        standin.order(where, kind="none", first=lambda name=name: held.merge(name, MAIN, "theirs", {}, ""))
        for name in branches
    ]
    return lambda: sum(order.struck for order in orders)


def test_another_path_is_joined(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    store = lakefs_store
    committed(store, tmp_path, "mine", "b", "1")
    committed(store, tmp_path, "theirs", "a", "1")
    between = moved_by(standin, store, MERGE, "theirs")
    merge = store.merge("mine", MAIN, "m")
    assert between() == 1
    assert content(store, MAIN) == content(store, merge) == {"a": "1", "b": "1"}


@pytest.mark.parametrize(("mine", "theirs"), [("2", "1"), ("1", "2"), ("2", "3")])
def test_the_same_path_is_a_conflict(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path, mine: str, theirs: str
) -> None:
    """Also where one of the two is equal to the next object, which the server by itself takes for unchanged."""
    store = lakefs_store
    committed(store, tmp_path, "base", "b", "1")
    store.merge("base", MAIN, "m")
    committed(store, tmp_path, "mine", "a", mine)
    committed(store, tmp_path, "theirs", "a", theirs)
    between = moved_by(standin, store, MERGE, "theirs")
    with pytest.raises(Conflict) as error:
        store.merge("mine", MAIN, "m")
    assert (between(), error.value.paths) == (1, ["a"])
    assert content(store, MAIN) == {"a": theirs, "b": "1"}


def test_the_server_by_itself_would_lose_one_of_them(lakefs_store: LakeFSStore, standin: StandIn) -> None:
    """The stand-in has the server's fault; so the tests here can fail."""
    store, held = lakefs_store, standin.repositories[lakefs_store.repository]
    for branch, source, path, text in (("base", MAIN, "b", "1"), ("one", "base", "a", "1"), ("two", "base", "a", "2")):
        store.create_branch(branch, source)
        lakefs_servers.put_by_another_tool(store, branch, path, text)
        held.commit(branch, "m", {})
    held.merge("two", "one", "m", {}, "")
    assert held.tree_of("one")["a"] == held.tree_of("two")["a"]


def test_equal_bytes_with_other_labels_hide_no_later_change(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    """The labels of ``main`` are taken over; what another writer changes meanwhile is still a conflict."""
    store = lakefs_store
    for name in ("mine", "theirs"):
        committed(store, tmp_path, name, "same", "x", by=name)
    (tmp_path / "local").write_text("mine")
    store.commit("mine", {"a": tmp_path / "local"}, "m")
    committed(store, tmp_path, "later", "a", "later", source="theirs")
    # The first merge meets other labels; before the second one, "a" is changed too.
    between = moved_by(standin, store, MERGE, "theirs", "later")
    with pytest.raises(Conflict) as error:
        store.merge("mine", MAIN, "m")
    assert (between(), error.value.paths) == (2, ["a"])
    assert content(store, MAIN) == {"a": "later", "same": "x"}
    assert store.stat(MAIN, "same").metadata == {"by": "theirs"}
    assert store.branches("tmp-") == []


def test_a_branch_that_keeps_moving_ends_in_an_error(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    """Each time another object of the same bytes and other labels appears just before the merge."""
    store, source, others = lakefs_store, MAIN, [f"theirs{number:02}" for number in range(ATTEMPTS)]
    committed(store, tmp_path, "mine", "a", "1")
    for name in others:
        committed(store, tmp_path, name, f"same/{name}", "x", source=source, by="theirs")
        source = name
    store.commit("mine", {f"same/{name}": tmp_path / "local" for name in others}, "m")
    between = moved_by(standin, store, MERGE, *others)
    with pytest.raises(StoreError, match=f"kept moving during {ATTEMPTS} attempts"):
        store.merge("mine", MAIN, "m")
    assert between() == ATTEMPTS
    assert content(store, MAIN) == {f"same/{name}": "x" for name in others}
    store.merge("mine", MAIN, "m")
    assert content(store, MAIN)["a"] == "1"


def test_a_conflict_that_was_taken_back_at_once_is_none(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    store, held = lakefs_store, standin.repositories[lakefs_store.repository]
    committed(store, tmp_path, "mine", "a", "1")
    committed(store, tmp_path, "theirs", "a", "2")
    store.create_branch("back", "theirs")
    store.commit("back", {"a": None}, "m")
    ordered = standin.order(
        MERGE,
        kind="none",
        first=lambda: held.merge("theirs", MAIN, "theirs", {}, ""),
        then=lambda: held.merge("back", MAIN, "back", {}, ""),
    )
    merge = store.merge("mine", MAIN, "m")
    assert ordered.struck == 1
    assert content(store, merge) == content(store, MAIN) == {"a": "1"}
    assert [entry.message for entry in store.log(MAIN) if len(entry.parents) == 2] == ["m", "back", "theirs"]


def test_a_revert_keeps_what_was_published_meanwhile(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    store = lakefs_store
    committed(store, tmp_path, "base", "b", "1")
    store.merge("base", MAIN, "m")
    committed(store, tmp_path, "mine", "a", "2")
    merge = store.merge("mine", MAIN, "m")
    committed(store, tmp_path, "theirs", "a", "1")
    between = moved_by(standin, store, REVERT, "theirs")
    with pytest.raises(Conflict) as error:
        store.revert(MAIN, merge, parent_number=1)
    assert (between(), error.value.paths) == (1, ["a"])
    assert content(store, MAIN) == {"a": "1", "b": "1"}


def test_a_revert_that_met_a_change_which_was_taken_back_says_try_again(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    store, held = lakefs_store, standin.repositories[lakefs_store.repository]
    committed(store, tmp_path, "mine", "a", "2")
    merge = store.merge("mine", MAIN, "m")
    for name, source, text in (("theirs", MAIN, "1"), ("back", "theirs", "2")):
        committed(store, tmp_path, name, "a", text, source)
    standin.order(
        REVERT,
        kind="none",
        first=lambda: held.merge("theirs", MAIN, "theirs", {}, ""),
        then=lambda: held.merge("back", MAIN, "back", {}, ""),
    )
    with pytest.raises(StoreError, match="the branch moved meanwhile; try again"):
        store.revert(MAIN, merge, parent_number=1)
    assert content(store, MAIN) == {"a": "2"}
    store.revert(MAIN, merge, parent_number=1)
    assert content(store, MAIN) == {}


def test_a_batch_published_meanwhile_is_not_overwritten(
    lakefs_store: LakeFSStore, standin: StandIn, provenance: Provenance
) -> None:
    """Two runs with different content for one partition: the second is told, and staged again it replaces the first."""
    store, facts = lakefs_store, {"ledger_head": "head", "provenance": provenance}
    frames = {run: polars.DataFrame({"row": [number]}) for number, run in enumerate(("first", "second", "other"))}
    other = stage(store, "flights", "2013-02", frames["other"], run_id="other", provenance=provenance)
    publish(store, other, run_id="other", **facts)
    staged = stage(store, "flights", "2013-01", frames["first"], run_id="first", provenance=provenance)
    theirs = stage(store, "flights", "2013-01", frames["second"], run_id="second", provenance=provenance)
    store.create_branch("theirs", theirs.commit)
    store.delete_branch(theirs.branch)
    between = moved_by(standin, store, MERGE, "theirs")
    with pytest.raises(Conflict, match="2013-01: main got other content"):
        publish(store, staged, run_id="first", **facts)
    assert between() == 1
    assert {month: info.sha256 for month, info in published(store, "flights").items()} == {
        "2013-01": theirs.sha256,
        "2013-02": other.sha256,
    }
    again = stage(store, "flights", "2013-01", frames["first"], run_id="first", provenance=provenance)
    assert publish(store, again, run_id="first", **facts).sha256 == staged.sha256
    assert published(store, "flights")["2013-01"].sha256 == staged.sha256


def test_a_rollback_does_not_take_back_what_was_published_meanwhile(
    lakefs_store: LakeFSStore, standin: StandIn, provenance: Provenance
) -> None:
    store, facts = lakefs_store, {"ledger_head": "head", "provenance": provenance}
    for number in (1, 2):
        frame = polars.DataFrame({"row": [number]})
        staged = stage(store, "flights", "2013-01", frame, run_id=str(number), provenance=provenance)
        publish(store, staged, run_id=str(number), **facts)
    contents = [commit.metadata["sha256"] for commit in store.log(MAIN) if "ledger_head" in commit.metadata]
    third = stage(store, "flights", "2013-01", polars.DataFrame({"row": [3]}), run_id="third", provenance=provenance)
    between = moved_by(standin, store, MERGE, third.branch)
    with pytest.raises(Conflict):
        roll_back(store, "flights", "2013-01", contents[-1], run_id="back", reason="wrong", **facts)
    assert between() == 1
    assert published(store, "flights")["2013-01"].sha256 == third.sha256


def test_writers_of_one_path_never_overwrite_each_other(server: Server, tmp_path: Path) -> None:
    """Threads put, change and remove one object by merges into ``main``; each merge joins what its two sides hold."""
    with lakefs_servers.repository(server, lakefs_servers.NAMESPACE, tmp_path) as store:
        # Right behind the path, with one of its contents: there the server would go wrong.
        committed(store, tmp_path, "base", "b", "0")
        store.merge("base", MAIN, "m")

        def work(worker: int) -> int:
            merged, local = 0, tmp_path / str(worker)
            for number in range(15):
                local.write_text(str((worker + number) % 3))
                files = {"a": local if number % 3 else None}
                try:
                    with private_commit(store, MAIN, store.resolve(MAIN), files, {}, "m", {}) as commit:
                        store.merge(commit, MAIN, "m")
                    merged += 1
                except (Conflict, NoChanges):
                    continue
            return merged

        with ThreadPoolExecutor(8) as pool:
            merged = sum(pool.map(work, range(8)))

        def held(commit: str) -> str | None:
            return sha256_at(store, commit, "a")

        merges = [commit for commit in store.log(MAIN) if len(commit.parents) == 2]
        assert len(merges) == merged + 1
        for merge in merges:
            ours, theirs = merge.parents
            base = store.api.sdk.refs_api.find_merge_base(store.repository, theirs, ours).base_commit_id
            was, here, there = map(held, (base, ours, theirs))
            assert was in (here, there) or here == there, "a conflict was merged"
            assert held(merge.id) == (here if there == was else there)
