"""The embedded adapter: the contract, damage, left-overs of killed processes, Git and DVC as readers."""

import hashlib
import importlib.util
import io
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_platform.datasets.embedded.pointers import _BLOCK, _BLOCKS, SUFFIX, Pointer, decode, digests, encode
from ml_platform.datasets.embedded.repository import STAGING
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.store import MAIN, Conflict, InvalidName, NotFound
from ml_platform.foundation.errors import Corrupt, StoreError
from ml_platform.testing.merging import content
from ml_platform.testing.store import StoreContract
from ml_platform_tests.datasets import processes, workers


class TestContract(StoreContract):
    """The contract on the embedded adapter."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], EmbeddedStore]:
        return lambda: EmbeddedStore(tmp_path / "store", "test-repo")


def put(store: EmbeddedStore, path: str, text: str | bytes, branch: str = "work") -> str:
    """Commit one object and merge it; returns the merge commit."""
    store.create_branch(branch, exist_ok=True)
    local = store.folder.parent / "local"
    local.write_bytes(text.encode() if isinstance(text, str) else text)
    store.commit(branch, {path: local}, "m")
    return store.merge(branch, MAIN, "m")


def git(store: EmbeddedStore, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(store.folder / "meta.git"), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def damage(file: Path) -> None:
    """Flip one bit and keep size and time, as a failing disk does."""
    before, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(file: Path, bit: int) -> None:
    """Flip one bit of a file; flip it again to undo that."""
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.chmod(0o644)
    file.write_bytes(data)


def test_three_hundred_flipped_bits_of_stored_bytes_are_all_found(store: EmbeddedStore) -> None:
    rng = random.Random(5)
    paths = [f"x/{name}" for name in "abc"]
    for path in paths:
        put(store, path, rng.randbytes(rng.randrange(1, 20_000)))
    commit = store.resolve(MAIN)
    for _ in range(300):
        path = rng.choice(paths)
        file = store._files.path(store._found(commit, path)[0].md5)
        bit = rng.randrange(file.stat().st_size * 8)
        flipped(file, bit)
        with pytest.raises(Corrupt) as error:
            store.open(commit, path)
        assert path in str(error.value) and commit in str(error.value)
        flipped(file, bit)
    assert store.fsck() == []


def test_three_hundred_flipped_bits_of_git_objects_are_found_or_harmless(store: EmbeddedStore) -> None:
    """With some of them libgit2's own reading never ends; the last bits of a compressed file mean nothing."""
    rng = random.Random(6)
    put(store, "x/a", b"content")
    commit = store.resolve(MAIN)
    names = [line.split()[0] for line in git(store, "rev-list", "--objects", "--no-walk", commit).splitlines()]
    names = [name for name in names if name != git(store, "rev-parse", f"{commit}:.dvc/config").strip()]
    names.remove(git(store, "rev-parse", f"{commit}:.dvc").strip())
    found = 0
    for _ in range(300):
        name = rng.choice(names)
        file = store.folder / "meta.git" / "objects" / name[:2] / name[2:]
        bit = rng.randrange(file.stat().st_size * 8)
        flipped(file, bit)
        fresh = EmbeddedStore(store.folder.parent, store.repository)
        try:
            with fresh.open(commit, "x/a") as stream:
                assert stream.read() == b"content" and fresh.fsck() == []
        except Corrupt as error:
            found += 1
            assert commit in str(error)
            assert any(name in problem for problem in fresh.fsck())
            with pytest.raises(Corrupt):
                fresh.gc()
        flipped(file, bit)
    assert found > 290 and store.fsck() == []


def test_bytes_are_read_only_and_shared_by_content(store: EmbeddedStore) -> None:
    put(store, "a", "same")
    put(store, "b", "same")
    assert store.local_path(MAIN, "a") == store.local_path(MAIN, "b")
    assert stat.S_IMODE(store.local_path(MAIN, "a").stat().st_mode) == 0o444


@pytest.mark.parametrize("blocks", [0, 1 / 3, 1, 1.5, _BLOCKS, _BLOCKS + 1, 3 * _BLOCKS + 0.5])
def test_hashes_and_copy_are_of_the_same_bytes(blocks: float) -> None:
    written, data = io.BytesIO(), os.urandom(int(blocks * _BLOCK))
    expected = hashlib.md5(data, usedforsecurity=False).hexdigest(), hashlib.sha256(data).hexdigest(), len(data)
    assert digests(io.BytesIO(data), written) == expected
    assert written.getvalue() == data


def test_a_flipped_bit_is_found_by_every_reader_and_healed_by_a_commit(store: EmbeddedStore) -> None:
    commit = put(store, "x/a", b"0123456789" * 1000)
    store.local_path(commit, "x/a")
    damage(store.local_path(commit, "x/a"))
    for reader in (store.open, store.local_path):
        with pytest.raises(Corrupt) as error:
            reader(MAIN, "x/a")
        assert "x/a" in str(error.value) and commit in str(error.value)
    assert len(problems := store.fsck()) == 1 and "x/a" in problems[0]
    store.create_branch("again")
    store.commit("again", {"x/a": store.folder.parent / "local", "x/b": store.folder.parent / "local"}, "m")
    assert store.fsck() == []
    assert store.open(commit, "x/a").read() == b"0123456789" * 1000


def test_lost_bytes_are_found(store: EmbeddedStore) -> None:
    commit = put(store, "a", "text")
    store.local_path(MAIN, "a").unlink()
    with pytest.raises(Corrupt, match=rf"a at commit {commit}.*gone"):
        store.open(MAIN, "a")
    assert len(store.fsck()) == 1


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("name", ["main", "main^{tree}", "main:x", "main:x/a.dvc"])
def test_damage_in_git_is_found(store: EmbeddedStore, name: str, lost: bool) -> None:
    put(store, "x/a", "text")
    object_id = git(store, "rev-parse", name).strip()
    file = store.folder / "meta.git" / "objects" / object_id[:2] / object_id[2:]
    if lost:
        file.unlink()
    else:
        damage(file)
    fresh = EmbeddedStore(store.folder.parent, store.repository)
    for reader in (fresh.open, fresh.stat, fresh.list):
        with pytest.raises(Corrupt, match="damaged"):
            reader(MAIN, "x/a")
    assert any("damaged" in problem for problem in fresh.fsck())
    with pytest.raises(Corrupt):
        fresh.gc(0)


def test_gc_removes_only_what_nothing_reaches(store: EmbeddedStore) -> None:
    put(store, "kept", "kept")
    put(store, "old", "first")
    put(store, "old", "second")
    local = store.folder.parent / "local"
    store.create_branch("waits")
    local.write_text("waits")
    store.commit("waits", {"w": local}, "m")
    store.create_branch("dropped")
    local.write_text("dropped")
    dropped = store.commit("dropped", {"d": local}, "m")
    store.delete_branch("dropped")
    (store.folder / "cas" / "tmp" / "left-over").write_text("of a killed process")
    assert store.gc() == 0
    assert store.gc(0) == 2
    assert store.gc(0) == 0
    assert store.fsck() == []
    assert content(store, f"{MAIN}~1")["old"] == "first"
    assert content(store, "waits")["w"] == "waits"
    with pytest.raises(Corrupt, match="gc"):
        store.open(dropped, "d")


def test_gc_in_the_middle_of_a_commit_loses_nothing(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    local = store.folder.parent / "local"
    local.write_text("text")
    store.create_branch("work")
    add, calls = store._files.add, []

    def add_then_gc(file: Path) -> Pointer:
        pointer = add(file)
        calls.append(file)
        if len(calls) == 1:
            assert store.gc(0) == 1
        return pointer

    monkeypatch.setattr(store._files, "add", add_then_gc)
    store.commit("work", {"a": local}, "m")
    assert len(calls) == 2
    assert content(store, "work") == {"a": "text"}


def test_stale_locks_of_a_killed_process_are_cleaned(store: EmbeddedStore) -> None:
    put(store, "a", "1")
    references = store.folder / "meta.git" / "refs"
    for name in ("heads/main", "heads/work", "tags/v1", "../packed-refs"):
        (references / f"{name}.lock").touch()
    put(store, "a", "2")
    store.tag("v1", MAIN)
    (references / "heads" / "work.lock").touch()
    store.delete_branch("work")
    assert content(store, "v1") == {"a": "2"}


def staged_by_an_earlier_release(store: EmbeddedStore, branch: str, path: str, text: str) -> None:
    """What releases with a staging area left where a process was killed between put and commit."""
    local = store.folder.parent / "local"
    local.write_text(text)
    repository, pointer = store._repo, store._files.add(local)
    with repository.lock():
        tip = repository.tip(branch)
        blob = repository.git.create_blob(encode(path, pointer))
        tree = repository.edit(tip.tree, {path + SUFFIX: blob})
        repository.point(STAGING + branch, repository.write(None, tree, "Staging area", {}, [tip.id]))


def test_a_staging_area_of_an_earlier_release_neither_blocks_nor_is_lost(store: EmbeddedStore) -> None:
    put(store, "kept", "1")
    staged_by_an_earlier_release(store, "work", "left", "never committed")
    assert (content(store, "work"), store.diff(MAIN, "work")) == ({"kept": "1"}, [])
    put(store, "other", "2", "aside")
    store.merge(MAIN, "work", "m")
    put(store, "more", "3")
    assert content(store, MAIN) == content(store, "work") == {"kept": "1", "other": "2", "more": "3"}
    assert store.gc(0) == 0 and store.fsck() == []
    left = store.resolve(git(store, "rev-parse", "refs/staging/work").strip())
    assert store.open(left, "left").read() == b"never committed"
    store.delete_branch("work")
    assert store.gc(0) == 1


def test_a_branch_moved_by_another_program_is_not_overwritten(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(store, "a", "1")
    store.create_branch("late")
    local = store.folder.parent / "local"
    local.write_text("2")
    store.commit("late", {"b": local}, "m")
    edit = store._repo.edit

    def edit_while_git_moves_main(*arguments):
        git(store, "update-ref", "refs/heads/main", f"{first}~1")
        return edit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store._repo, "edit", edit_while_git_moves_main)
        with pytest.raises(StoreError, match="not written"):
            store.merge("late", MAIN, "m")
    assert store.resolve(MAIN) == store.resolve(f"{first}~1")


def test_an_object_cannot_be_a_folder_too(store: EmbeddedStore) -> None:
    put(store, "a", "1")
    store.create_branch("left")
    local = store.folder.parent / "local"
    with pytest.raises(InvalidName, match="object and a folder"):
        store.commit("left", {"a/b": local}, "m")
    store.commit("left", {"x/y": local}, "m")
    put(store, "x", "1")
    with pytest.raises(Conflict, match="object and a folder"):
        store.merge("left", MAIN, "m")


@pytest.mark.parametrize("name", ["", "ab", "Upper", "-abc", "a/b", "a_b", "abc\n"])
def test_repository_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="repository"):
        EmbeddedStore(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_short_commit_ids_and_ambiguous_ones(store: EmbeddedStore) -> None:
    commit = put(store, "a", "1")
    assert store.resolve(commit[:10]) == commit
    with pytest.raises(NotFound):
        store.resolve(git(store, "rev-parse", f"{commit}^{{tree}}").strip())
    with pytest.raises(InvalidName):
        store.resolve("main~x")


def test_pointers_are_yaml_that_every_version_reads_alike() -> None:
    pointer = Pointer("1" * 31 + "e", "2e" + "0" * 62, 7, {"12e3": "no", "ü": "a\x85b\n\ttrue", "": " "})
    text = encode("x/0o17", pointer)
    assert decode(text) == pointer
    assert f'md5: "{pointer.md5}"'.encode() in text and b'path: "0o17"' in text
    for broken in (b"", b"[]", b"outs: []", b"outs:\n- md5: abc", b"\x00", b"a: [", b"outs: 1"):
        with pytest.raises(ValueError, match="pointer"):
            decode(broken)


def test_threads_share_one_store(store: EmbeddedStore) -> None:
    def work(number: int) -> None:
        local = store.folder.parent / f"thread-{number}"
        for step in range(5):
            branch = f"t{number}-{step}"
            local.write_text(branch)
            store.create_branch(branch)
            store.commit(branch, {f"{number}/{step}": local}, "m")
            store.merge(branch, MAIN, "m")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(store, MAIN) == {f"{n}/{s}": f"t{n}-{s}" for n in range(4) for s in range(5)}


def test_many_processes_create_one_repository(tmp_path: Path) -> None:
    assert processes.finish(*(processes.start(workers.first_open, tmp_path) for _ in range(8))) == [0] * 8
    store = workers.open_store(tmp_path)
    assert [commit.message for commit in store.log(MAIN)] == ["Repository created"]
    git(store, "fsck", "--full", "--strict")


def test_a_large_object_takes_constant_memory(tmp_path: Path) -> None:
    """64 MiB go through commit, merge and open in a process of their own."""
    script = """
import resource, sys
from pathlib import Path
from ml_platform.datasets.embedded.store import EmbeddedStore
root = Path(sys.argv[1])
store = EmbeddedStore(root, "test-repo")
def through(name, local):
    store.create_branch(name); store.commit(name, {name: local}, "m")
    store.merge(name, "main", "m"); store.open("main", name).close()
(root / "small").write_text("x")
through("small", root / "small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with (root / "large").open("wb") as out:
    for number in range(64):
        out.write(bytes([number]) * (1 << 20))
through("large", root / "large")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16 * 1024, "KiB more for an object of 64 MiB"


def test_git_itself_finds_no_fault(store: EmbeddedStore) -> None:
    for number in range(3):
        merge = put(store, f"x/{number}", str(number))
    store.tag("v1", merge)
    store.revert(MAIN, merge, parent_number=1)
    git(store, "fsck", "--full", "--strict")
    git(store, "gc", "--quiet")
    packed = EmbeddedStore(store.folder.parent, store.repository)
    assert content(packed, "v1") == {"x/0": "0", "x/1": "1", "x/2": "2"}
    put(store, "x/0", "new")
    store.delete_branch("work")
    assert store.branches() == [MAIN] and store.fsck() == []


def _dvc() -> str | None:
    """Python that has DVC: the one that DVC_PYTHON names (``make test-slow`` does), else this one if it has."""
    named = os.environ.get("DVC_PYTHON")
    return named or (sys.executable if importlib.util.find_spec("dvc") else None)


@pytest.mark.slow
def test_an_unmodified_dvc_reads_the_bare_repository(store: EmbeddedStore, tmp_path: Path) -> None:
    python = _dvc()
    if python is None:
        pytest.skip("dvc is not importable: make test-slow installs it, or DVC_PYTHON names a Python that has it")
    old = bytes(range(256)) * 5000
    store.tag("v1", put(store, "datasets/flights/2013-01 ü.bin", old))
    put(store, "datasets/flights/2013-01 ü.bin", b"corrected")
    repository, environment = str(store.folder / "meta.git"), {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for revision, expected in (("v1", old), (MAIN, b"corrected"), (store.resolve("v1"), old)):
        out = tmp_path / f"out-{revision}"
        get = [python, "-m", "dvc", "get", repository, "datasets/flights/2013-01 ü.bin", "--rev", revision]
        done = subprocess.run([*get, "-o", str(out)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert out.read_bytes() == expected
    script = """
import sys, dvc.api
sys.stdout.buffer.write(dvc.api.read("datasets/flights/2013-01 ü.bin", repo=sys.argv[1], rev="v1", mode="rb"))
"""
    done = subprocess.run([python, "-c", script, repository], env=environment, capture_output=True)
    assert done.stdout == old, done.stderr.decode()


def test_commits_carry_the_time(store: EmbeddedStore) -> None:
    # Whole seconds, of a clock that git reads more coarsely: it lags behind by a tick, also over a second's end.
    before = time.time() - 2
    put(store, "a", "1")
    created = next(iter(store.log(MAIN))).created
    assert created.tzinfo is not None and before <= created.timestamp() <= time.time() + 1
