"""The contract on the lakeFS adapter: against the stand-in, and against a real server where there is one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars
import pytest

from ml_platform.datasets.lakefs import LakeFSStore
from ml_platform.datasets.lakefs_server import collects, open_repository
from ml_platform.datasets.publishing import publish, published, read, read_batch, stage
from ml_platform.datasets.store import MAIN, Protected
from ml_platform.environment import Provenance
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.contract import StoreContract, content
from ml_platform_tests.datasets.lakefs_standin import StandIn


class LakeFSContract(StoreContract):
    """What holds for lakeFS beyond the contract of every store."""

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
            lambda: careless.put(MAIN, "a", self.file("1")),
            lambda: careless.commit(MAIN, "m"),
            lambda: careless.reset(MAIN),
        ):
            with pytest.raises(Protected, match=MAIN):
                action()

    def test_equal_bytes_with_other_labels_are_no_conflict(self, store: LakeFSStore) -> None:
        for branch, rows in (("left", "1"), ("right", "2")):
            store.create_branch(branch)
            store.put(branch, "same", self.file("x"), {"rows": rows})
            store.put(branch, branch, self.file(branch))
            store.commit(branch, "m")
        store.merge("left", MAIN, "m")
        store.merge("right", MAIN, "m")
        assert content(store, MAIN) == {"same": "x", "left": "left", "right": "right"}
        assert store.stat(MAIN, "same").metadata == {"rows": "1"}

    def test_a_range_of_an_object(self, store: LakeFSStore) -> None:
        """Downloads that break off go on by a range: the server must give exactly the rest."""
        store.create_branch("work")
        store.put("work", "a", self.file("0123456789"))
        url = store.api.url("repositories", store.repository, "refs", "work", "objects", path="a")
        for offset, rest in ((0, b"0123456789"), (4, b"456789"), (9, b"9")):
            headers = {"Range": f"bytes={offset}-", **store.api.authorization()}
            with store.api.exchange("GET", url, headers=headers, timeout=(3, 10)) as answer:
                assert (answer.status, answer.data) == (206, rest)

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
    def store(self, tmp_path: Path, standin: StandIn) -> Iterator[LakeFSStore]:
        with lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path) as store:
            yield store


@pytest.mark.skipif(not lakefs_servers.ENDPOINT, reason="LAKEFS_ENDPOINT names no server")
class TestContractOnRealServer(LakeFSContract):
    """The contract on the server that ``LAKEFS_ENDPOINT`` names."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LakeFSStore]:
        with lakefs_servers.repository(lakefs_servers.real_server(), lakefs_servers.NAMESPACE, tmp_path) as store:
            yield store
