"""Names and reading of batches, on every store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_platform.datasets.batches import (
    batch_path,
    batch_tag,
    candidates,
    published,
    read,
    read_at,
    read_batch,
    staging_branch,
)
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.names import check_name
from ml_platform.datasets.publishing import stage
from ml_platform.datasets.store import MAIN, NotFound, ObjectInfo, VersionedStore
from ml_platform.foundation.errors import Corrupt
from ml_platform.foundation.provenance import Provenance
from ml_platform_tests.datasets.flow import Flow
from ml_platform_tests.datasets.workers import batch


@pytest.fixture
def store(any_store: VersionedStore) -> VersionedStore:
    """What is said here holds for every adapter."""
    return any_store


def test_read_refuses_what_the_reference_does_not_name(flow: Flow, store: VersionedStore) -> None:
    done = flow.publish(flow.stage(batch(1)))
    with pytest.raises(Corrupt, match=r"content \w{64}, but f{64} was asked for"):
        read(store, done.model_copy(update={"sha256": "f" * 64}))
    with pytest.raises(NotFound):
        read(store, done.model_copy(update={"commit": "0" * 40}))
    file = store.local_path(done.commit, done.path)
    data = bytearray(file.read_bytes())
    data[200] ^= 4
    file.chmod(0o644)
    file.write_bytes(data)
    if not isinstance(store, EmbeddedStore):
        # A damaged copy is fetched again.
        assert_frame_equal(read(store, done), batch(1))
        return
    with pytest.raises(Corrupt, match=done.path):
        read(store, done)


def test_published_lists_one_dataset(flow: Flow, store: VersionedStore, provenance: Provenance) -> None:
    flow.publish(flow.stage(batch(1), "region=a/2013-01"))
    other = stage(store, "flights_features", "2013-01", batch(1), run_id="r", provenance=provenance)
    flow.publish(other)
    assert list(published(store, "flights")) == ["region=a/2013-01"]
    assert list(published(store, "flights_features")) == ["2013-01"]


def test_candidates_are_the_staged_batches_before_the_published(flow: Flow, store: VersionedStore) -> None:
    first = flow.publish(flow.stage(batch(1), "2013-01"))
    flow.publish(flow.stage(batch(2), "2013-02"))
    corrected, new = flow.stage(batch(3), "2013-02"), flow.stage(batch(4), "2013-03")
    expected = {"2013-01": first.sha256, "2013-02": corrected.sha256, "2013-03": new.sha256}
    assert {partition: info.sha256 for partition, info in candidates(store, "flights").items()} == expected
    assert set(published(store, "flights")) == {"2013-01", "2013-02"}


def test_a_replaced_batch_is_read_by_its_content(flow: Flow, store: VersionedStore) -> None:
    old = flow.publish(flow.stage(batch(1)))
    flow.publish(flow.stage(batch(2)))
    assert_frame_equal(read_batch(store, "flights", "2013-01", old.sha256, ["row"]), batch(1).select("row"))
    assert_frame_equal(read_at(store, MAIN, old.path), batch(2))
    with pytest.raises(Corrupt, match="was asked for"):
        read_at(store, MAIN, old.path, old.sha256)
    with pytest.raises(NotFound, match="never published"):
        read_batch(store, "flights", "2013-01", "f" * 64)


NAMES = st.text("ab-_./|é", min_size=1, max_size=6)


@given(one=st.tuples(NAMES, NAMES), two=st.tuples(NAMES, NAMES))
def test_partitions_never_share_a_branch(one: tuple[str, str], two: tuple[str, str]) -> None:
    for name in (staging_branch(*one), batch_tag(*one, "0" * 64)):
        check_name("branch", name)
    assert (staging_branch(*one) == staging_branch(*two)) == (one == two)


@pytest.mark.parametrize("partition", ["2013-01", "2013-01-01|NYC", "a/b", "x" * 150, "é"])
def test_partitions_of_every_form(flow: Flow, store: VersionedStore, partition: str) -> None:
    flow.publish(flow.stage(batch(1), partition))
    assert list(published(store, "flights")) == [partition]
    assert store.list(MAIN)[0].path == batch_path("flights", partition)


@pytest.mark.parametrize("waiting", [1, 6])
def test_what_waits_on_branches_is_found_without_listing_each(
    flow: Flow, store: VersionedStore, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    published_one = flow.publish(flow.stage(batch(1), "2013-01"))
    staged = {f"2014-0{number}": flow.stage(batch(number), f"2014-0{number}") for number in range(1, waiting + 1)}
    corrected = flow.stage(batch(9), "2013-01")
    listed: list[str] = []
    real = type(store).list

    def counted(self: VersionedStore, ref: str, prefix: str = "") -> list[ObjectInfo]:
        listed.append(ref)
        return real(self, ref, prefix)

    monkeypatch.setattr(type(store), "list", counted)
    found = candidates(store, "flights")
    assert {name: info.sha256 for name, info in found.items()} == {
        "2013-01": corrected.sha256,
        **{name: ref.sha256 for name, ref in staged.items()},
    }
    assert corrected.sha256 != published_one.sha256
    assert listed == [MAIN]
