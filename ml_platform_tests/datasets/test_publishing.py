"""Write, audit, publish: idempotent, exact about content, safe under kills and many processes."""

import itertools
import random
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.datasets.batches import (
    batch_tag,
    published,
    read,
)
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.store import MAIN, Conflict, VersionedStore
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance
from ml_platform_tests.datasets import lakefs_servers, processes, workers
from ml_platform_tests.datasets.flow import Flow
from ml_platform_tests.datasets.workers import batch


@pytest.fixture
def store(any_store: VersionedStore) -> VersionedStore:
    """What is said here holds for every adapter."""
    return any_store


def commits(store: VersionedStore) -> int:
    return len(list(store.log(MAIN)))


def test_a_batch_goes_to_main_by_its_branch(flow: Flow, store: VersionedStore) -> None:
    staged = flow.stage(batch(1))
    assert (staged.branch, staged.path) == ("stage-flights-2013-01", "datasets/flights/2013-01.parquet")
    assert (staged.rows, staged.run_id, staged.provenance) == (50, "r1", flow.provenance)
    assert published(store, "flights") == {}
    assert_frame_equal(read(store, staged), batch(1))
    done = flow.publish(staged, "r2")
    assert done == staged.model_copy(update={"branch": MAIN, "commit": store.resolve(MAIN), "run_id": "r2"})
    assert store.branches() == [MAIN]
    assert store.tags() == {f"flights-2013-01-{staged.sha256[:12]}": done.commit}
    facts = {"dataset": "flights", "partition": "2013-01", "sha256": staged.sha256, "rows": "50"}
    merge, commit = list(store.log(MAIN, limit=2))
    assert merge.metadata == {**facts, "run_id": "r2", "ledger_head": "h1", "code_commit": "c0ffee"}
    assert commit.metadata == {**facts, "run_id": "r1", "code_commit": "c0ffee"}
    assert published(store, "flights")["2013-01"].sha256 == staged.sha256
    assert_frame_equal(read(store, done, ["text"]), batch(1).select("text"))


def test_repeating_any_step_makes_no_commit(flow: Flow, store: VersionedStore) -> None:
    staged = flow.stage(batch(1))
    assert flow.stage(batch(1)) == staged
    again = flow.stage(batch(1), run_id="r2")
    assert (again.commit, again.run_id) == (staged.commit, "r2")
    done = flow.publish(staged)
    head, count = store.resolve(MAIN), commits(store)
    assert flow.publish(staged).commit == flow.publish(again).commit == done.commit == head
    held = flow.stage(batch(1))
    assert (held.branch, held.commit, held.sha256) == (MAIN, head, staged.sha256)
    flow.publish(flow.stage(batch(2), "2013-02"))
    assert flow.publish(held).commit == flow.publish(staged).commit == head
    assert commits(store) == count + 2
    assert store.branches() == [MAIN]


def test_a_corrected_batch_replaces_the_old_one(flow: Flow, store: VersionedStore) -> None:
    first = flow.publish(flow.stage(batch(1)))
    second = flow.publish(flow.stage(batch(2)))
    assert published(store, "flights")["2013-01"].sha256 == second.sha256
    assert_frame_equal(read(store, first), batch(1))
    third = flow.publish(flow.stage(batch(1)))
    assert third.commit == store.resolve(MAIN)
    assert published(store, "flights")["2013-01"].sha256 == first.sha256
    assert store.tags()[batch_tag("flights", "2013-01", first.sha256)] == first.commit


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_branch_that_another_run_took_away_does_not_matter(
    flow: Flow, store: VersionedStore, made_anew: bool
) -> None:
    staged = flow.stage(batch(1))
    store.delete_branch(staged.branch)
    if made_anew:
        store.create_branch(staged.branch)
    flow.publish(staged)
    assert published(store, "flights")["2013-01"].sha256 == staged.sha256


def test_what_was_reverted_is_not_published_by_an_old_reference(flow: Flow, store: VersionedStore) -> None:
    staged = flow.stage(batch(1))
    done = flow.publish(staged)
    store.revert(MAIN, done.commit, parent_number=1)
    for ref in (staged, done):
        with pytest.raises(PlatformError, match="reverted or replaced"):
            flow.publish(ref)
    assert published(store, "flights") == {}


def test_a_reverted_batch_can_be_published_again(flow: Flow, store: VersionedStore) -> None:
    done = flow.publish(flow.stage(batch(1)))
    store.revert(MAIN, done.commit, parent_number=1)
    assert published(store, "flights") == {}
    again = flow.publish(flow.stage(batch(1)))
    assert again.commit == store.resolve(MAIN)
    assert published(store, "flights")["2013-01"].sha256 == done.sha256


def test_other_content_on_the_staging_branch_is_thrown_away(flow: Flow, store: VersionedStore) -> None:
    refused = flow.stage(batch(1))
    corrected = flow.stage(batch(2))
    assert store.resolve(corrected.branch) == corrected.commit != refused.commit
    assert store.resolve(f"{corrected.commit}~1") == store.resolve(MAIN)
    with pytest.raises(PlatformError, match=rf"holds {corrected.sha256[:12]}, not {refused.sha256[:12]}"):
        flow.publish(refused)
    assert published(store, "flights") == {}
    assert store.resolve(corrected.branch) == corrected.commit
    flow.publish(corrected)
    with pytest.raises(Conflict, match="other content after this batch was staged"):
        flow.publish(refused)
    with pytest.raises(PlatformError, match="are gone"):
        flow.publish(refused.model_copy(update={"commit": "0" * 40}))
    assert published(store, "flights")["2013-01"].sha256 == corrected.sha256


def test_left_overs_on_a_staging_branch_are_never_published(flow: Flow, store: VersionedStore, tmp_path: Path) -> None:
    staged = flow.stage(batch(1))
    (tmp_path / "x").write_text("never judged")
    store.commit(staged.branch, {"datasets/flights/other.parquet": tmp_path / "x"}, "m")
    with pytest.raises(PlatformError, match=r"also changes datasets/flights/other\.parquet"):
        flow.publish(staged)
    flow.publish(flow.stage(batch(1)))
    assert list(published(store, "flights")) == ["2013-01"]
    assert len(store.list(MAIN)) == 1


def test_what_another_client_staged_is_never_published(lakefs_store: LakeFSStore, provenance: Provenance) -> None:
    flow = Flow(lakefs_store, provenance)
    staged = flow.stage(batch(1))
    lakefs_servers.put_by_another_tool(lakefs_store, staged.branch, "datasets/flights/other.parquet", "never judged")
    flow.publish(flow.stage(batch(1)))
    assert len(lakefs_store.list(MAIN)) == 1


def test_main_moved_for_the_same_partition(flow: Flow, store: VersionedStore, monkeypatch) -> None:
    late = flow.stage(batch(1))
    store.create_branch("aside", late.branch)
    store.delete_branch(late.branch)
    winner = flow.publish(flow.stage(batch(2)))
    store.create_branch(late.branch, "aside")
    with pytest.raises(Conflict, match=r"flights/2013-01: main got other content.*stage it again") as error:
        flow.publish(late)
    assert error.value.paths == [late.path]
    assert published(store, "flights")["2013-01"].sha256 == winner.sha256
    again = flow.stage(batch(1))
    assert again.commit != late.commit
    assert published(store, "flights")["2013-01"].sha256 == winner.sha256
    flow.publish(again)
    assert published(store, "flights")["2013-01"].sha256 == late.sha256


def test_main_moved_for_another_partition(flow: Flow, store: VersionedStore) -> None:
    first, second = flow.stage(batch(1), "2013-01"), flow.stage(batch(2), "2013-02")
    flow.publish(second)
    assert flow.stage(batch(1), "2013-01") == first
    flow.publish(first)
    assert {k: v.sha256 for k, v in published(store, "flights").items()} == {
        "2013-01": first.sha256,
        "2013-02": second.sha256,
    }


def test_metadata_of_the_caller_cannot_hide_the_facts(flow: Flow, store: VersionedStore) -> None:
    extra = {"note": "n", "sha256": "forged", "run_id": "forged"}
    common = {"run_id": "r1", "provenance": flow.provenance, "metadata": extra}
    staged = stage(store, "flights", "x", batch(1), **common)
    publish(store, staged, ledger_head="h", **common)
    for commit in store.log(MAIN, limit=2):
        assert commit.metadata["note"] == "n"
        assert (commit.metadata["sha256"], commit.metadata["run_id"]) == (staged.sha256, "r1")


# -- many processes and kills --------------------------------------------------------------------------


def sound(store: EmbeddedStore, partitions: set[str]) -> None:
    """Every partition is published exactly once, nothing is left over, and nothing is damaged."""
    assert set(published(store, "flights")) == partitions
    merged = [commit.metadata["partition"] for commit in store.log(MAIN) if "ledger_head" in commit.metadata]
    assert sorted(merged) == sorted(partitions)
    assert len(store.tags()) == len(partitions)
    assert store.branches("stage-") == []
    assert store.fsck() == []
    git = ["git", "-C", str(store.folder / "meta.git"), "fsck", "--full", "--strict"]
    done = subprocess.run(git, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_four_processes_publish_at_once(tmp_path: Path) -> None:
    started = [processes.start(workers.publish_many, tmp_path, worker, 4) for worker in range(4)]
    assert processes.finish(*started) == [0] * 4
    sound(workers.open_store(tmp_path), {f"w{w}-{n}" for w in range(4) for n in range(4)})


def test_processes_with_the_same_batch_publish_it_once(tmp_path: Path) -> None:
    started = [processes.start(workers.publish_same, tmp_path, 5, worker) for worker in range(4)]
    assert processes.finish(*started) == [0] * 4
    sound(workers.open_store(tmp_path), {f"p{number}" for number in range(5)})


def test_processes_share_a_branch_of_derived_objects(tmp_path: Path) -> None:
    started = [processes.start(workers.derive, tmp_path, worker, 5) for worker in range(4)]
    assert processes.finish(*started) == [0] * 4
    store = workers.open_store(tmp_path)
    held = {info.path: store.open("features", info.path).read().decode() for info in store.list("features")}
    assert held == {f"f/{w}/{n}": f"{w}-{n}" for w in range(4) for n in range(5)}
    assert store.branches() == ["features", MAIN]


@pytest.mark.slow
@pytest.mark.parametrize("action", ["publish", "correct", "derive"])
def test_a_kill_at_every_durable_step(tmp_path: Path, action: str) -> None:
    """SIGKILL before and after each write, one step later each time, until the action ends by itself."""
    store = workers.open_store(tmp_path)
    if action == "correct":
        workers.batch_through(store, "corrected", 10_000)
    for step in itertools.count():
        (code,) = processes.finish(processes.start(workers.killed_at, tmp_path, step, action, step))
        assert code in (0, -9)
        retry = processes.start(workers.run, tmp_path, action, step)
        assert processes.finish(retry) == [0]
        if action == "correct":
            frame = batch(step)
            held = published(store, "flights")["corrected"]
            assert store.branches("stage-") == []
            assert_frame_equal(pl.read_parquet(store.local_path(MAIN, held.path)), frame)
            merges = [commit.metadata.get("sha256") for commit in store.log(MAIN)]
            assert merges.count(held.sha256) == 2, "the staged commit and one merge"
        if code == 0:
            break
    assert step >= 20, "the steps were counted (to derive, which has no staging area to write, takes 20)"
    assert store.fsck() == []
    if action == "publish":
        sound(store, {f"p{number}" for number in range(step + 1)})
    if action == "derive":
        assert len(store.list("features")) == step + 1


def killed_and_restarted(root: Path, count: int, each: int, kills: int) -> None:
    """Workers publish while random ones are killed and started again."""
    rng = random.Random(7)
    running = {w: processes.start(workers.publish_many, root, w, each) for w in range(count)}
    while kills:
        time.sleep(rng.uniform(0.05, 0.4))
        worker = rng.randrange(count)
        if running[worker].is_alive():
            running[worker].kill()
            kills -= 1
        running[worker].join()
        running[worker] = processes.start(workers.publish_many, root, worker, each)
    assert processes.finish(*running.values()) == [0] * count
    sound(workers.open_store(root), {f"w{w}-{n}" for w in range(count) for n in range(each)})


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    killed_and_restarted(tmp_path, count=8, each=15, kills=12)
