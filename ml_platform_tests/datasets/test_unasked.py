"""What other tools do to ``main`` is found and named, and can be undone; nothing of it counts as published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.datasets import rollback
from ml_platform.datasets.batches import batch_path, published
from ml_platform.datasets.history import publications
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.quarantine import quarantine_path
from ml_platform.datasets.store import MAIN, NotFound, VersionedStore
from ml_platform.datasets.unasked import Unasked, unasked
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import DatasetRef
from ml_platform_tests.datasets import lakefs_servers

JANUARY, FEBRUARY = "2013-01-01", "2013-02-01"
PATH = batch_path("flights", JANUARY)


def believed(dataset: str, partition: str, sha256: str, then: str | None = None, /) -> bool:
    """Whatever a commit says of itself."""
    return True


class Flights:
    """Two published months, and what another tool may do beside."""

    def __init__(self, store: VersionedStore, provenance: Provenance) -> None:
        self.store = store
        self.common: dict[str, Any] = {"run_id": "r", "provenance": provenance}
        self.january, self.february = (self.publish(self.staged(1)), self.publish(self.staged(2, FEBRUARY, 3)))

    def staged(self, seed: int, partition: str = JANUARY, bad: int = 0) -> DatasetRef:
        frame = pl.DataFrame({"row": list(range(seed, seed + 20))})
        aside = pl.DataFrame({"row": list(range(bad)), "quarantine_reasons": [["r"]] * bad}) if bad else None
        return stage(self.store, "flights", partition, frame, set_aside=aside, **self.common)

    def publish(self, ref: DatasetRef) -> DatasetRef:
        return publish(self.store, ref, ledger_head="h", **self.common)

    def merge(self, files: Mapping[str, Path | None], metadata: Mapping[str, str] | None = None) -> str:
        """What somebody merges who asks nobody."""
        self.store.create_branch("work")
        self.store.commit("work", files, "by hand")
        commit = self.store.merge("work", MAIN, "merged by hand", metadata)
        self.store.delete_branch("work")
        return commit

    def back(self, partition: str = JANUARY, withdraw: bool = False) -> str:
        to = "" if withdraw else rollback.target(self.store, "flights", partition, known=believed)
        return rollback.roll_back(
            self.store, "flights", partition, to, ledger_head="h", reason="came in unasked", **self.common
        )

    def held(self) -> dict[str, str]:
        return {name: info.sha256 for name, info in published(self.store, "flights").items()}


@pytest.fixture
def flights(any_store: VersionedStore, provenance: Provenance) -> Flights:
    return Flights(any_store, provenance)


def only(found: list[Unasked]) -> Unasked:
    (one,) = found
    return one


def refused(store: VersionedStore) -> str:
    """Why no step goes on."""
    found = unasked(store, "flights", known=believed)
    assert found and unasked(store, "another dataset", known=believed) == []
    return f"{found[0].what}; {found[0].way_out}"


def test_what_the_platform_did_is_not_unasked(flights: Flights) -> None:
    assert unasked(flights.store, known=believed) == []
    flights.publish(flights.staged(9))
    flights.back()
    flights.back(FEBRUARY, withdraw=True)
    assert unasked(flights.store, known=believed) == [] and flights.held() == {JANUARY: flights.january.sha256}


def test_a_batch_that_another_tool_merged_is_named_taken_out_and_may_be_published(flights: Flights) -> None:
    store, march = flights.store, "2013-03-01"
    staged = flights.staged(5, march)
    commit = store.merge(staged.commit, MAIN, "merged by hand\nand more")
    found = only(unasked(store, known=believed))
    assert (found.partition, found.sha256, found.published, found.commit) == (march, staged.sha256, "", commit)
    assert refused(store) == (
        f"datasets/flights/{march}.parquet on main: content {staged.sha256[:12]} came in by commit {commit[:12]} "
        f"(merged by hand) without the platform; ml-platform data rollback flights {march} --withdraw --reason TEXT"
    )
    flights.back(march, withdraw=True)
    assert unasked(store, known=believed) == [] and march not in flights.held()
    flights.publish(flights.staged(5, march))
    assert unasked(store, known=believed) == [] and flights.held()[march] == staged.sha256


def test_what_was_published_comes_back_when_another_tool_replaced_it(flights: Flights, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_text("not even a table")
    flights.merge({PATH: local})
    found = only(unasked(flights.store, known=believed))
    assert found.published == flights.january.sha256 and "took the place of" in found.what
    assert refused(flights.store).endswith(f"ml-platform data rollback flights {JANUARY} --reason TEXT")
    flights.back()
    assert unasked(flights.store, known=believed) == [] and flights.held()[JANUARY] == flights.january.sha256
    newest = next(publications(flights.store, "flights", JANUARY, known=believed))
    assert newest.sha256 == flights.january.sha256 and newest.reason == "came in unasked"


def test_what_was_published_comes_back_when_another_tool_removed_it(flights: Flights) -> None:
    flights.merge({PATH: None})
    found = only(unasked(flights.store, known=believed))
    assert (found.sha256, found.published) == (None, flights.january.sha256)
    assert f"{flights.january.sha256[:12]} was taken out by commit" in refused(flights.store)
    flights.back()
    assert unasked(flights.store, known=believed) == [] and flights.held()[JANUARY] == flights.january.sha256


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
def test_what_was_set_aside_counts_as_part_of_its_batch(flights: Flights, month: str, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_text("other rows")
    beside = quarantine_path("flights", month)
    flights.merge({beside: local})
    found = only(unasked(flights.store, known=believed))
    assert (found.path, found.partition) == (beside, month)
    flights.back(month)
    assert unasked(flights.store, known=believed) == []
    flights.merge({quarantine_path("flights", FEBRUARY): None})
    assert only(unasked(flights.store, known=believed)).sha256 is None
    flights.back(FEBRUARY)
    assert unasked(flights.store, known=believed) == []


def test_a_copied_commit_publishes_nothing_whatever_its_metadata_say(flights: Flights, tmp_path: Path) -> None:
    store = flights.store
    flights.back(withdraw=True)
    before = next(one for one in store.log(MAIN) if one.metadata.get("sha256") == flights.january.sha256)
    local = tmp_path / "file"
    local.write_bytes(store.local_path(flights.january.commit, PATH).read_bytes())
    # A server copies all metadata of a commit that it picks, and says from where.
    flights.merge({PATH: local}, {**before.metadata, "cherry-pick-origin": before.id})
    assert only(unasked(store, known=believed)).published == ""
    assert next(publications(store, "flights", JANUARY, known=believed)).sha256 == ""


def test_a_revert_by_another_tool_is_found(flights: Flights) -> None:
    merge = next(publications(flights.store, "flights", FEBRUARY, known=believed)).commit
    commit = flights.store.revert(MAIN, merge, parent_number=1)
    found = unasked(flights.store, known=believed)
    assert {one.partition for one in found} == {FEBRUARY} and {one.commit for one in found} == {commit}
    flights.back(FEBRUARY)
    assert unasked(flights.store, known=believed) == []


def test_an_object_outside_every_dataset_is_named(flights: Flights, tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_text("x")
    flights.merge({"notes/read.me": local})
    found = only(unasked(flights.store, known=believed))
    assert (found.dataset, found.way_out) == ("", "remove it on a branch and merge that")
    assert unasked(flights.store, "flights", known=believed) == []


def test_an_object_without_a_hash_of_ours_is_no_batch_and_goes(
    lakefs_store: LakeFSStore, provenance: Provenance
) -> None:
    flights, march = Flights(lakefs_store, provenance), "2013-03-01"
    lakefs_store.create_branch("work")
    lakefs_servers.put_by_another_tool(lakefs_store, "work", batch_path("flights", march), "foreign")
    lakefs_servers.commit_by_another_tool(lakefs_store, "work")
    lakefs_store.merge("work", MAIN, "foreign")
    assert march not in flights.held() and only(unasked(lakefs_store, known=believed)).sha256 == ""
    assert "an object of another tool came in" in refused(lakefs_store)
    flights.back(march, withdraw=True)
    assert unasked(lakefs_store, known=believed) == []
    with pytest.raises(NotFound):
        rollback.require_present(lakefs_store, "flights", march)
