"""Objects that are made of others: only what changed is committed, and nothing of anybody else."""

import time
from pathlib import Path

import pytest

from ml_platform.datasets.derived import commit_objects
from ml_platform.datasets.store import MAIN, VersionedStore


@pytest.fixture
def store(any_store: VersionedStore) -> VersionedStore:
    """What is said here holds for every adapter."""
    return any_store


def derived(tmp_path: Path, **texts: str) -> dict[str, Path]:
    files = {}
    for name, text in texts.items():
        files[f"features/{name}"] = tmp_path / name
        files[f"features/{name}"].write_text(text)
    return files


def test_only_changed_objects_are_committed(store: VersionedStore, tmp_path: Path) -> None:
    one = commit_objects(store, "features", derived(tmp_path, a="1", b="1"), run_id="r1", message="m")
    head = store.resolve("features")
    assert {commit for _, commit in one.values()} == {head}
    assert commit_objects(store, "features", derived(tmp_path, a="1"), run_id="r2", message="m") == {
        "features/a": one["features/a"]
    }
    assert store.resolve("features") == head
    two = commit_objects(
        store, "features", derived(tmp_path, a="1", b="2"), run_id="r3", message="m", metadata={"n": "5"}
    )
    assert two["features/a"] == one["features/a"]
    assert store.open(two["features/b"][1], "features/b").read() == b"2"
    assert store.open(one["features/b"][1], "features/b").read() == b"1"
    assert next(iter(store.log("features"))).metadata == {"run_id": "r3", "n": "5"}
    assert store.branches() == ["features", MAIN]


def test_left_over_staging_of_others_is_not_committed(store: VersionedStore, tmp_path: Path) -> None:
    commit_objects(store, "features", derived(tmp_path, a="1"), run_id="r1", message="m")
    ((_, commit),) = commit_objects(store, "features", derived(tmp_path, b="1"), run_id="r2", message="m").values()
    assert [info.path for info in store.list(commit)] == ["features/a", "features/b"]


def test_branches_of_killed_processes_are_removed_after_a_day(store: VersionedStore, tmp_path: Path) -> None:
    old, new = f"tmp-{int(time.time()) - 90000}-ab-features", f"tmp-{int(time.time())}-ab-features"
    for name in (old, new, "tmp-notes"):
        store.create_branch(name)
    commit_objects(store, "features", derived(tmp_path, a="1"), run_id="r1", message="m")
    assert store.branches("tmp-") == sorted([new, "tmp-notes"])
