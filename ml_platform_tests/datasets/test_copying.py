"""A copied store holds the same, tells the same, and is found by the ids of the original; there and back again."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.datasets import rollback
from ml_platform.datasets.batches import batch_tag
from ml_platform.datasets.copying import Copied, copy
from ml_platform.datasets.derived import commit_objects
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.history import publications
from ml_platform.datasets.maintenance import check
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.store import MAIN, InvalidName, NotFound, VersionedStore
from ml_platform.datasets.unasked import unasked
from ml_platform.foundation.errors import StoreError
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import DatasetRef

JANUARY, FEBRUARY = "2013-01-01", "2013-02-01"


def filled(store: VersionedStore, provenance: Provenance, folder: Path) -> list[DatasetRef]:
    """Publications, a correction, a rollback, a staged batch and features, as the platform makes them."""

    def staged(seed: int, partition: str = JANUARY, bad: int = 0) -> DatasetRef:
        frame = pl.DataFrame({"row": list(range(seed, seed + 20))})
        aside = pl.DataFrame({"row": list(range(bad)), "quarantine_reasons": [["r"]] * bad}) if bad else None
        return stage(store, "flights", partition, frame, set_aside=aside, run_id=f"r{seed}", provenance=provenance)

    def published(ref: DatasetRef) -> DatasetRef:
        return publish(store, ref, run_id=ref.run_id, ledger_head=f"h{ref.run_id}", provenance=provenance)

    refs = [published(staged(1, bad=2)), published(staged(2, FEBRUARY)), published(staged(3))]
    back = rollback.roll_back(
        store, "flights", JANUARY, refs[0].sha256, run_id="b", ledger_head="hb", provenance=provenance, reason="bad"
    )
    (folder / "features").write_text("features of January")
    commit_objects(
        store,
        "features",
        {"features/flights/2013-01-01.parquet": folder / "features"},
        run_id="f",
        message="Features",
        objects={"features/flights/2013-01-01.parquet": {"code": "v1"}},
    )
    staged(9, "2013-03-01")
    store.revert(MAIN, back, parent_number=1, metadata={"run_id": "by an earlier release"})
    return refs


def told(store: VersionedStore) -> list[tuple[object, ...]]:
    return [
        (p.partition, p.sha256, p.rows, p.quarantined, p.reason)
        for p in publications(store, "flights", known=lambda *_: True)
    ]


def held(store: VersionedStore) -> dict[str, object]:
    return {name: store.list(name) for name in [*store.branches(), *store.tags()]}


@pytest.fixture
def origin(provenance: Provenance, tmp_path: Path) -> EmbeddedStore:
    store = EmbeddedStore(tmp_path / "origin", "test-repo")
    filled(store, provenance, tmp_path)
    return store


def test_there_and_back_again(origin: EmbeddedStore, any_store: VersionedStore, tmp_path: Path) -> None:
    lines: list[str] = []
    done = copy(origin, any_store, lines.append)
    assert done.commits > 10 and done.known == 0 and (done.branches, done.tags) == (3, 3)
    assert held(any_store) == held(origin) and told(any_store) == told(origin)
    assert [one.path for one in unasked(any_store, known=lambda *_: True)] == [
        one.path for one in unasked(origin, known=lambda *_: True)
    ]
    home = EmbeddedStore(tmp_path / "home", "test-repo")
    assert copy(any_store, home, lines.append)[2:] == (3, 3)
    assert held(home) == held(origin) and told(home) == told(origin) and check(home) == []
    for commit in origin.log(MAIN):
        # What named a commit of the original finds its copy, of the copy's copy too.
        for store in (any_store, home):
            assert store.list(commit.id) == origin.list(commit.id)
            assert next(iter(store.log(commit.id, limit=1))).message == commit.message
    tag = batch_tag("flights", JANUARY, next(publications(origin, "flights", JANUARY, known=lambda *_: True)).sha256)
    assert any_store.resolve(origin.resolve(tag)) == any_store.resolve(tag) != origin.resolve(tag)
    assert not set(any_store.tags()) & {commit.id for commit in origin.log(MAIN)}, "they are no tags to anybody"


def test_repeated_it_copies_what_is_new(
    origin: EmbeddedStore, any_store: VersionedStore, provenance: Provenance
) -> None:
    first = copy(origin, any_store, print)
    assert copy(origin, any_store, print) == Copied(0, first.commits, 3, 3)
    ref = stage(origin, "flights", "2013-04-01", pl.DataFrame({"row": [4]}), run_id="r4", provenance=provenance)
    publish(origin, ref, run_id="r4", ledger_head="h4", provenance=provenance)
    assert copy(origin, any_store, print) == Copied(2, first.commits, 3, 4)
    assert held(any_store) == held(origin)


def test_interrupted_it_goes_on_where_it_was(
    origin: EmbeddedStore, any_store: VersionedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = any_store.name_copy  # type: ignore[attr-defined]
    for survived in (2, 3, 4):
        calls = iter(range(survived))

        def killed(commit_id: str, ref: str, calls: object = calls) -> None:
            if next(calls, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            names(commit_id, ref)

        monkeypatch.setattr(any_store, "name_copy", killed)
        with pytest.raises(KeyboardInterrupt):
            copy(origin, any_store, print)
    monkeypatch.setattr(any_store, "name_copy", names)
    copy(origin, any_store, print)
    assert held(any_store) == held(origin) and told(any_store) == told(origin)
    mains = [sum(1 for _ in store.log(MAIN)) for store in (origin, any_store)]
    # The revert of an earlier release comes by a merge, which is one commit more.
    assert mains[1] == mains[0] + 1


def test_a_repository_with_another_history_is_left_alone(
    origin: EmbeddedStore, any_store: VersionedStore, provenance: Provenance
) -> None:
    ref = stage(any_store, "flights", JANUARY, pl.DataFrame({"row": [0]}), run_id="r", provenance=provenance)
    publish(any_store, ref, run_id="r", ledger_head="h", provenance=provenance)
    head = any_store.resolve(MAIN)
    with pytest.raises(StoreError, match=r"which is no copy: copy into one that is new.*ML_PLATFORM_REPOSITORY"):
        copy(origin, any_store, print)
    assert any_store.resolve(MAIN) == head


def test_only_ids_of_commits_are_names_of_copies(origin: EmbeddedStore, any_store: VersionedStore) -> None:
    assert isinstance(any_store, EmbeddedStore) or hasattr(any_store, "api")
    with pytest.raises(InvalidName, match="is no id of a commit"):
        any_store.name_copy("v1", MAIN)  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        any_store.resolve("f" * 40)
    own = origin.resolve(MAIN)
    origin.name_copy(own, f"{MAIN}~1")
    assert origin.resolve(own) == own and origin.copies() == {}
