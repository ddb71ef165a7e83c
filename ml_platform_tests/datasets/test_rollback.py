"""Taking a batch back in the store, its log, and differences row by row."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_platform.datasets import history, rollback
from ml_platform.datasets.batches import published, read_at
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.maintenance import check, collect
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.quarantine import quarantined
from ml_platform.datasets.store import MAIN, NotFound, VersionedStore
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance

JANUARY = "2013-01-01"


class Flow:
    """Publish and withdraw with the arguments that the tests do not vary."""

    def __init__(self, store: VersionedStore, provenance: Provenance) -> None:
        self.store, self.provenance = store, provenance

    def publish(self, seed: int, partition: str = JANUARY, bad: int = 0) -> str:
        aside = pl.DataFrame({"row": list(range(bad)), "quarantine_reasons": [["r"]] * bad}) if bad else None
        common: dict[str, Any] = {"run_id": f"r{seed}", "provenance": self.provenance}
        ref = stage(self.store, "flights", partition, batch(seed), set_aside=aside, **common)
        return publish(self.store, ref, ledger_head="h", **common).sha256

    def back(self, to: str, partition: str = JANUARY) -> str:
        return rollback.roll_back(
            self.store, "flights", partition, to, run_id="b", ledger_head="h", provenance=self.provenance, reason="bad"
        )

    def target(self, content: str = "") -> str:
        return rollback.target(self.store, "flights", JANUARY, content, known=lambda *_: True)

    def held(self, partition: str = JANUARY) -> str:
        found = published(self.store, "flights").get(partition)
        return found.sha256 if found is not None else ""

    def log(self) -> list[history.Publication]:
        return list(history.publications(self.store, "flights", known=lambda *_: True))


def batch(seed: int) -> pl.DataFrame:
    return pl.DataFrame({"row": list(range(seed, seed + 20)), "text": [f"t{seed}"] * 20})


@pytest.fixture
def store(any_store: VersionedStore) -> VersionedStore:
    """What is said here holds for every adapter."""
    return any_store


@pytest.fixture
def flow(store: VersionedStore, provenance: Provenance) -> Flow:
    return Flow(store, provenance)


def test_the_batch_before_a_bad_one_comes_back(flow: Flow, store: VersionedStore) -> None:
    first, second = flow.publish(1, bad=2), flow.publish(2, bad=3)
    other = flow.publish(5, "2013-02-01")
    assert flow.target() == first
    commit = flow.back(first)
    brought = next(iter(store.log(MAIN, limit=1)))
    # A server that asks before a merge can tell what it changes, of a revert it cannot.
    assert len(brought.parents) == 2 and brought.message == f"Roll back flights/{JANUARY}"
    assert (flow.held(), flow.held("2013-02-01")) == (first, other)
    assert_frame_equal(read_at(store, commit, f"datasets/flights/{JANUARY}.parquet", first), batch(1))
    aside = quarantined(store, MAIN, "flights", JANUARY)
    assert aside is not None and aside.height == 2, "what was set aside comes back with its batch"
    newest = flow.log()[0]
    assert (newest.sha256, newest.rolled_back, newest.reason, newest.rows) == (first, second, "bad", 20)
    assert flow.back(first) == store.resolve(MAIN), "repeating it changes nothing"
    assert check(store) == [] and store.branches() == [MAIN]


def test_each_rollback_goes_one_content_further_back(flow: Flow) -> None:
    contents = [flow.publish(seed) for seed in (1, 2, 3)]
    assert flow.target() == contents[1]
    flow.back(contents[1])
    assert flow.target() == contents[0], "not forward to what was withdrawn"
    flow.back(contents[0])
    assert flow.held() == contents[0]
    with pytest.raises(PlatformError, match="no content before the present one"):
        flow.target()
    assert flow.target(contents[2][:10]) == contents[2]
    flow.back(contents[2])
    assert flow.held() == contents[2] and flow.target() == contents[0]
    fourth = flow.publish(4)
    assert flow.target() == contents[2]
    assert [item.sha256 for item in flow.log()] == [fourth, *(contents[i] for i in (2, 0, 1, 2, 1, 0))]


def test_a_partition_can_be_withdrawn_and_brought_back(flow: Flow, store: VersionedStore) -> None:
    first = flow.publish(1, bad=2)
    flow.back("")
    assert flow.held() == "" and store.list(MAIN) == []
    assert flow.log()[0].sha256 == "" and flow.log()[0].rolled_back == first
    with pytest.raises(NotFound, match="is not published"):
        flow.target()
    flow.back(flow.target(first[:8]))
    assert flow.held() == first and quarantined(store, MAIN, "flights", JANUARY) is not None


def test_what_cannot_be_returned_to_is_named(flow: Flow) -> None:
    first = flow.publish(1)
    with pytest.raises(PlatformError, match=f"holds {first[:9]} already"):
        flow.target(first[:9])
    with pytest.raises(PlatformError, match=f"no content that starts with ffff; published were {first[:12]}"):
        flow.target("ffff")
    with pytest.raises(NotFound, match="content 000000000000 was never published"):
        flow.back("0" * 64)
    with pytest.raises(NotFound, match="flights/2014 is not published"):
        rollback.target(flow.store, "flights", "2014", known=lambda *_: True)


@settings_of(deadline=None, max_examples=25)
@given(steps=st.lists(st.sampled_from(["1", "2", "3", "back", "withdraw"]), max_size=9))
def test_main_always_holds_what_the_log_says(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    provenance = Provenance(code_commit="c0ffee", dirty=False, lock_sha256="0" * 64, python="3.11.7")
    store = EmbeddedStore(tmp_path_factory.mktemp("store"), "test-repo")
    flow, model = Flow(store, provenance), [""]
    for step in steps:
        if step.isdigit():
            sha256 = flow.publish(int(step), bad=int(step) - 1)
            model += [sha256] if model[-1] != sha256 else []
        elif step == "withdraw" and model[-1]:
            flow.back("")
            model = model[: model.index("", 1) + 1] if "" in model[1:] else [*model, ""]
        elif step == "back" and model[-1] and len(model) > 1 and model[-2]:
            wanted = flow.target()
            flow.back(wanted)
            assert wanted == model[-2]
            model = model[: model.index(wanted) + 1]
        assert flow.held() == model[-1]
        found = flow.log()
        assert not found or found[0].sha256 == model[-1]
    assert check(store) == []


# -- differences -----------------------------------------------------------------------------------------


def test_rows_are_compared_by_key() -> None:
    left = pl.DataFrame({"k": [1, 2, 3, 3, None], "a": [1.0, float("nan"), 3.0, 3.5, None], "b": list("vwxyz")})
    right = pl.DataFrame({"k": [2, 3, 3, None, 9], "a": [float("nan"), 3.0, 4.0, 1.0, 9.0], "c": list("wxyzn")})
    found = history.compare("p", left, right, ["k"])
    assert (found.added, found.removed, found.changed, found.equal) == (1, 1, 2, 2)
    assert found.columns == {"a": 2}
    assert (found.new_columns, found.lost_columns) == (("c String",), ("b String",))
    assert history.compare("p", left, left, ["k"])[3:7] == (0, 0, 0, 5)
    assert history.compare("p", None, right, ["k"])[3:7] == (5, 0, 0, 0)
    assert history.compare("p", left.select("k"), right.select("k"), ["k"])[3:7] == (1, 1, 0, 4)
    with pytest.raises(PlatformError, match="p: the right side lacks the key columns b"):
        history.compare("p", left, right, ["b"])


TABLE = st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 2)), max_size=12)


@given(left=TABLE, right=TABLE)
def test_every_row_is_counted_once(left: list[Any], right: list[Any]) -> None:
    one, two = (pl.DataFrame(rows, {"k": pl.Int64, "v": pl.Int64}, orient="row") for rows in (left, right))
    there, back = history.compare("p", one, two, ["k"]), history.compare("p", two, one, ["k"])
    assert there.removed + there.changed + there.equal == one.height
    assert there.added + there.changed + there.equal == two.height
    assert (there.added, there.removed, there.changed) == (back.removed, back.added, back.changed)


def test_differences_between_commits(flow: Flow, store: VersionedStore) -> None:
    flow.publish(1)
    start = store.resolve(MAIN)
    flow.publish(3)
    flow.publish(7, "2013-02-01")
    january, february = history.differences(store, "flights", start, MAIN, ["row"])
    assert (january.partition, january.added, january.removed, january.changed) == (JANUARY, 2, 2, 18)
    assert (february.partition, february.added, february.left) == ("2013-02-01", 20, "")
    assert history.differences(store, "flights", MAIN, MAIN, ["row"]) == []
    (only,) = history.differences(store, "flights", start, MAIN, ["row"], JANUARY)
    assert only == january
    with pytest.raises(NotFound, match=r"neither .* has partition 2013-09-01"):
        history.differences(store, "flights", start, MAIN, ["row"], date(2013, 9, 1).isoformat())


def test_garbage_collection_keeps_what_was_taken_back(flow: Flow, store: VersionedStore, tmp_path: Path) -> None:
    first, second = flow.publish(1), flow.publish(2)
    flow.back(first)
    collect(store, grace_seconds=0)
    assert flow.target(second) == second
    flow.back(second)
    assert_frame_equal(read_at(store, MAIN, f"datasets/flights/{JANUARY}.parquet", second), batch(2))
