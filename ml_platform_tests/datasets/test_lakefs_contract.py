"""The contract on the lakeFS adapter: against the stand-in, and against a real server where there is one."""

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lakefs_sdk.exceptions import ApiException
from lakefs_sdk.models.commit_creation import CommitCreation
from lakefs_sdk.models.merge import Merge

from ml_platform.datasets.batches import published, read, read_batch
from ml_platform.datasets.lakefs.api import Connection, Server
from ml_platform.datasets.lakefs.server import collects, open_repository
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.store import MAIN, Change, DirtyBranch, NoChanges, NotFound, Protected
from ml_platform.foundation.files import sha256_bytes, sha256_file
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Provenance
from ml_platform.testing.merging import EDITS, LAWS, TREES, Tree, content
from ml_platform.testing.store import StoreContract
from ml_platform_tests.datasets import lakefs_servers, processes, workers
from ml_platform_tests.datasets.lakefs_standin import StandIn
from ml_platform_tests.datasets.lakefs_standin.repository import ApiError, Entry, merged

Open = Callable[[], LakeFSStore]


class Again(NamedTuple):
    """Opens a repository, each time with a cache of its own, in another process too."""

    server: Server
    repository: str
    folder: Path
    s3_endpoint: str = ""

    def __call__(self) -> LakeFSStore:
        cache = self.folder / f"cache-{uuid4().hex}"
        return LakeFSStore(Connection(self.server), self.repository, cache, s3_endpoint=self.s3_endpoint)


def again(store: LakeFSStore, folder: Path, s3_endpoint: str = "") -> Open:
    """What opens the repository of a store."""
    return Again(store.api.server, store.repository, folder, s3_endpoint)


class LakeFSContract(StoreContract):
    """What holds for lakeFS beyond the contract of every store."""

    @pytest.fixture
    def secret(self, store: LakeFSStore) -> str:
        return store.api.server.secret_key.get_secret_value()

    def test_opening_again_finds_the_repository_as_it_was_made(self, store: LakeFSStore) -> None:
        def rules() -> tuple:
            repositories, name = store.api.sdk.repositories_api, store.repository
            return repositories.get_branch_protection_rules(name), collects(store.api, name)

        before = rules()
        assert [rule.pattern for rule in before[0]] == [MAIN] and not before[1]
        open_repository(store.api, store.repository, "local://anything")
        assert rules() == before

    def test_the_server_itself_protects_main(self, store: LakeFSStore) -> None:
        careless = LakeFSStore(store.api, store.repository, self.folder / "other-cache", protected=())
        for action in (
            lambda: careless.commit(MAIN, {"a": self.file("1")}, "m"),
            lambda: careless.commit(MAIN, {}, "m"),
        ):
            with pytest.raises(Protected, match=MAIN):
                action()

    def test_equal_bytes_with_other_labels_are_no_conflict(self, store: LakeFSStore) -> None:
        for branch, rows in (("left", "1"), ("right", "2")):
            store.create_branch(branch)
            files = {"same": self.file("x"), branch: self.file(branch)}
            store.commit(branch, files, "m", objects={"same": {"rows": rows}})
        store.merge("left", MAIN, "m")
        store.merge("right", MAIN, "m")
        assert content(store, MAIN) == {"same": "x", "left": "left", "right": "right"}
        assert store.stat(MAIN, "same").metadata == {"rows": "1"}

    def test_a_range_of_an_object(self, store: LakeFSStore) -> None:
        """Downloads that break off go on by a range: the server must give exactly the rest."""
        store.create_branch("work")
        self.edited(store, "work", {"a": "0123456789"})
        url = store.api.url("repositories", store.repository, "refs", "work", "objects", path="a")
        for offset, rest in ((0, b"0123456789"), (4, b"456789"), (9, b"9")):
            headers = {"Range": f"bytes={offset}-", **store.api.authorization()}
            with store.api.exchange("GET", url, headers=headers, timeout=(3, 10)) as answer:
                assert (answer.status, answer.data) == (206, rest)

    def test_a_file_of_several_parts(self, store: LakeFSStore) -> None:
        """In parts by presigned addresses where the server offers them, else in one stream."""
        parted = LakeFSStore(store.api, store.repository, self.folder / "other-cache", part_bytes=5 << 20)
        local = self.folder / "large"
        local.write_bytes(os.urandom((11 << 20) + 5))
        store.create_branch("work")
        parted.commit("work", {"x/large": local}, "m", objects={"x/large": {"rows": "1"}})
        info = parted.stat("work", "x/large")
        with parted.open("work", "x/large") as stream:
            assert sha256_bytes(stream.read()) == info.sha256 == sha256_file(local)
        with pytest.raises(NoChanges):
            parted.commit("work", {"x/large": local}, "m", objects={"x/large": {"rows": "1"}})

    def test_what_somebody_else_staged_is_neither_committed_nor_merged(self, store: LakeFSStore) -> None:
        for branch in ("work", "dest"):
            commit = self.branch(store, branch, {branch: "1"})
        for branch in ("work", "dest"):
            lakefs_servers.put_by_another_tool(store, branch, "theirs", "x")
        for action in (
            lambda: store.commit("work", {"a": self.file("1"), "work": None}, "m"),
            lambda: store.merge("work", "dest", "m"),
            lambda: store.revert("dest", commit),
        ):
            with pytest.raises(DirtyBranch):
                action()
        assert store.uncommitted("work") == store.uncommitted("dest") == [Change("added", "theirs")]
        store.merge("work", MAIN, "m")
        assert content(store, MAIN) == {"work": "1"}

    def test_what_a_killed_attempt_staged_is_taken_over(self, store: LakeFSStore) -> None:
        head = self.branch(store, "work", {"a": "1", "b": "1"})
        for path in ("b", "c"):
            lakefs_servers.put_by_another_tool(store, "work", path, "half")
        self.edited(store, "work", {"a": None, "b": "2", "c": None})
        assert content(store, "work") == {"b": "2"} and store.uncommitted("work") == []
        assert store.resolve("work~1") == head

    def test_everything_that_is_named_can_be_checked(self, store: LakeFSStore) -> None:
        for number in range(3):
            self.branch(store, f"b{number}", {"a": str(number), "same": "x"})
        store.merge("b0", MAIN, "m")
        store.tag("v1", MAIN)
        assert store.fsck() == []

    def test_many_publishers_lose_nothing(self, store: LakeFSStore, provenance: Provenance) -> None:
        """Threads publish partitions of their own through the same merges into ``main``."""

        def work(worker: int) -> None:
            for number in range(3):
                frame = polars.DataFrame({"row": [worker, number]})
                staged = stage(store, "flights", f"{worker}-{number}", frame, run_id="run", provenance=provenance)
                publish(store, staged, run_id="run", ledger_head="head", provenance=provenance)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        found = published(store, "flights")
        assert sorted(found) == [f"{worker}-{number}" for worker in range(4) for number in range(3)]
        assert len(store.tags()) == 12
        assert store.branches() == [MAIN]
        merges = [entry.metadata["partition"] for entry in store.log(MAIN) if "ledger_head" in entry.metadata]
        assert sorted(merges) == sorted(found)

    def test_a_published_batch_is_reverted_and_read_back_by_its_tag(
        self, store: LakeFSStore, provenance: Provenance
    ) -> None:
        frames = [polars.DataFrame({"row": [number]}) for number in (1, 2)]
        refs = []
        for frame in frames:
            staged = stage(store, "flights", "2013-01", frame, run_id="run", provenance=provenance)
            refs.append(publish(store, staged, run_id="run", ledger_head="head", provenance=provenance))
        store.revert(MAIN, refs[1].commit, parent_number=1)
        assert published(store, "flights")["2013-01"].sha256 == refs[0].sha256
        for ref, frame in zip(refs, frames, strict=True):
            assert read(store, ref).equals(frame)
            assert read_batch(store, "flights", "2013-01", ref.sha256).equals(frame)


class TestContractOnStandIn(LakeFSContract):
    """The contract on the stand-in."""

    @pytest.fixture
    def open_store(self, tmp_path: Path, standin: StandIn) -> Iterator[Open]:
        with lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path) as store:
            yield again(store, tmp_path)


@pytest.mark.slow
class TestContractOnPresigningStandIn(LakeFSContract):
    """The contract on a stand-in that offers presigned addresses: it is the bytes that go another way."""

    test_merge_laws = test_what_is_listed_is_all_that_is_there = None  # type: ignore[assignment]

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Open]:
        with (
            StandIn(presign=True) as standin,
            lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path) as store,
        ):
            yield again(store, tmp_path)


@pytest.mark.skipif(not lakefs_servers.ENDPOINT, reason="LAKEFS_ENDPOINT names no server")
class TestContractOnRealServer(LakeFSContract):
    """The contract on the server that ``LAKEFS_ENDPOINT`` names."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Open]:
        with lakefs_servers.repository(lakefs_servers.real_server(), lakefs_servers.NAMESPACE, tmp_path) as store:
            yield again(store, tmp_path, s3_endpoint=os.environ.get("LAKEFS_S3_ENDPOINT", lakefs_servers.ENDPOINT))

    def test_a_parquet_file_is_scanned_at_its_commit(self, store: LakeFSStore) -> None:
        frame = polars.DataFrame({"row": list(range(1000)), "text": ["x"] * 1000})
        write_frame(frame, self.folder / "frame.parquet")
        store.create_branch("work")
        commit = store.commit("work", {"x/frame.parquet": self.folder / "frame.parquet"}, "m")
        store.commit("work", {"x/frame.parquet": None}, "m")
        scanned = store.scan_parquet(commit, "x/frame.parquet")
        assert scanned.filter(polars.col("row") >= 998).collect().equals(frame.tail(2))
        with pytest.raises(NotFound):
            store.scan_parquet("work", "x/frame.parquet")
        assert not [*self.folder.glob("cache-*")]

    @LAWS
    @given(base=TREES, left=EDITS, right=EDITS, strategy=st.sampled_from(["", "source-wins", "dest-wins"]))
    def test_the_stand_in_merges_as_the_server(
        self, store: LakeFSStore, base: Tree, left: dict, right: dict, strategy: str
    ) -> None:
        """Objects of another tool, so that the server's fault shows; conflicts and results are the same."""
        StoreContract.counter += 1
        sdk, name = store.api.sdk, store.repository
        branches = [f"{kind}{StoreContract.counter}" for kind in ("base", "one", "two")]
        trees: list[Tree] = []
        for branch, source, edits in zip(branches, [MAIN, branches[0], branches[0]], [base, left, right], strict=True):
            store.create_branch(branch, source)
            trees.append(dict(trees[0]) if trees else {})
            for path, text in edits.items():
                if text is not None:
                    lakefs_servers.put_by_another_tool(store, branch, path, text)
                    trees[-1][path] = text
                elif trees[-1].pop(path, None) is not None:
                    sdk.objects_api.delete_object(name, branch, path)
            if store.uncommitted(branch):
                sdk.commits_api.commit(name, branch, CommitCreation(message="m"))
        if trees[0] in trees[1:]:
            return
        was, ours, theirs = (
            {path: Entry(1, text, (), "", "") for path, text in sorted(tree.items())} for tree in trees
        )
        try:
            expected = {path: entry.checksum for path, entry in merged(was, theirs, ours, strategy).items()}
        except ApiError as error:
            expected = error.status
        try:
            sdk.refs_api.merge_into_branch(name, branches[2], branches[1], merge=Merge(strategy=strategy or None))
            listed = sdk.objects_api.list_objects(name, branches[1]).results
            found = {item.path: sdk.objects_api.get_object(name, branches[1], item.path).decode() for item in listed}
        except ApiException as error:
            found = error.status
        assert found == expected

    @pytest.mark.slow
    def test_eight_processes_publish_forty_partitions_each(self, store: LakeFSStore) -> None:
        """All at once into one ``main``, and one of them is killed now and then and started again."""
        rng = random.Random(7)

        def start(worker: int) -> ForkServerProcess:
            cache = self.folder / f"cache-{worker}"
            return processes.start(workers.publish_many_on_lakefs, store.repository, cache, worker, 40)

        running = {worker: start(worker) for worker in range(8)}
        for _ in range(8):
            time.sleep(rng.uniform(0.5, 3))
            worker = rng.randrange(8)
            running[worker].kill()
            running[worker].join()
            running[worker] = start(worker)
        assert processes.finish(*running.values()) == [0] * 8
        partitions = sorted(f"w{worker}-{number}" for worker in range(8) for number in range(40))
        assert sorted(published(store, "flights")) == partitions
        merges = [entry.metadata["partition"] for entry in store.log(MAIN) if "ledger_head" in entry.metadata]
        assert sorted(merges) == partitions, "each was published once"
        assert len(store.tags()) == 320
        assert [name for name in store.branches() if not name.startswith("tmp-")] == [MAIN]
        assert store.fsck() == []
