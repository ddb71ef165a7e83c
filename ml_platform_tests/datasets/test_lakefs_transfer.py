"""Bytes to and from lakeFS: whole and in parts, broken off and damaged on the way, in constant memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from ml_platform.datasets.embedded.pointers import digests
from ml_platform.datasets.lakefs import transfer as lakefs_transfer
from ml_platform.datasets.lakefs.cache import ContentCache
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN, NoChanges, ObjectInfo
from ml_platform.foundation.errors import Corrupt, StoreError
from ml_platform.foundation.files import sha256_bytes, sha256_file
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.lakefs_standin import StandIn

PART = 1 << 16


@pytest.fixture
def presigning() -> Iterator[StandIn]:
    """A server that offers presigned addresses."""
    with StandIn(presign=True) as standin:
        yield standin


@pytest.fixture
def parted(presigning: StandIn, tmp_path: Path) -> Iterator[LakeFSStore]:
    server = lakefs_servers.key(presigning)
    with lakefs_servers.repository(server, "local://", tmp_path, part_bytes=PART) as store:
        store.create_branch("draft")
        yield store


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three full parts and a rest."""
    local = tmp_path / "large"
    local.write_bytes(os.urandom(3 * PART + 17))
    return local


def asked(standin: StandIn, part: str) -> list[str]:
    return [request for request in standin.requests if part in request]


def test_a_large_file_goes_in_parts_past_the_server(parted: LakeFSStore, presigning: StandIn, large: Path) -> None:
    parted.commit("draft", {"x/large": large}, "m", objects={"x/large": {"rows": "ä\n"}})
    info = ObjectInfo("x/large", sha256_file(large), large.stat().st_size, {"rows": "ä\n"})
    assert parted.stat("draft", "x/large") == info
    assert parted.open("draft", "x/large").read() == large.read_bytes()
    assert len(asked(presigning, "PUT /store/")) == 4
    assert not asked(presigning, "/refs/draft/objects?")
    assert not presigning.uploads
    with pytest.raises(NoChanges):
        parted.commit("draft", {"x/large": large}, "m", objects={"x/large": {"rows": "ä\n"}})


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("POST .*/pmpu$", {"status": 503}),
        ("POST .*/pmpu$", {"kind": "lost"}),
        ("PUT /store/", {"status": 503, "times": 3}),
        ("PUT /store/", {"status": 403, "message": "Request has expired", "times": 2}),
        ("PUT /store/", {"kind": "lost", "times": 2}),
        ("PUT .*/pmpu/[^/]*$", {"kind": "lost"}),
        ("PUT .*/pmpu/[^/]*$", {"kind": "acted", "status": 500}),
        ("GET /store/", {"kind": "cut", "times": 3}),
        ("GET /store/", {"kind": "flip"}),
        ("PUT /store/", {"kind": "rot"}),
    ],
)
def test_parts_survive_failures(parted: LakeFSStore, presigning: StandIn, large: Path, where: str, fault: dict) -> None:
    ordered = presigning.order(where, **fault)
    parted.commit("draft", {"large": large}, "m")
    assert ordered.struck == ordered.times
    assert parted.open("draft", "large").read() == large.read_bytes()
    assert parted.stat("draft", "large").sha256 == sha256_file(large)


def test_an_upload_that_fails_leaves_no_parts(parted: LakeFSStore, presigning: StandIn, large: Path) -> None:
    presigning.order("PUT .*/pmpu/[^/]*$", status=400, message="InvalidPart", times=9)
    with pytest.raises(StoreError, match="InvalidPart"):
        parted.commit("draft", {"large": large}, "m")
    assert not presigning.uploads
    assert parted.uncommitted("draft") == []


def test_a_download_that_breaks_off_goes_on_where_it_ended(
    lakefs_store: LakeFSStore, standin: StandIn, large: Path
) -> None:
    lakefs_store.create_branch("draft")
    lakefs_store.commit("draft", {"large": large}, "m")
    standin.order("GET .*/draft/objects$", kind="cut", times=4)
    assert lakefs_store.open("draft", "large").read() == large.read_bytes()


@pytest.mark.parametrize("position", ["first", "second"])
def test_bytes_that_are_wrong_on_arrival(
    lakefs_store: LakeFSStore, standin: StandIn, large: Path, position: str
) -> None:
    """Damage in the server's store is found after the upload: once it is healed, twice it is told and nothing stays."""
    lakefs_store.create_branch("draft")
    times = 1 if position == "first" else 2
    standin.order("POST .*/objects$", kind="rot", times=times)
    if times == 1:
        lakefs_store.commit("draft", {"large": large}, "m")
        assert lakefs_store.open("draft", "large").read() == large.read_bytes()
    else:
        with pytest.raises(Corrupt, match="large on branch 'draft'"):
            lakefs_store.commit("draft", {"large": large}, "m")
        assert lakefs_store.uncommitted("draft") == []


def test_damage_on_the_way_out_is_found_and_never_kept(
    lakefs_store: LakeFSStore, standin: StandIn, large: Path
) -> None:
    store = lakefs_store
    store.create_branch("draft")
    store.commit("draft", {"x/large": large}, "m")
    commit = store.merge("draft", MAIN, "m")
    for reader in (store.open, store.local_path):
        standin.order("GET .*/objects$", kind="flip")
        with pytest.raises(Corrupt) as error:
            reader(MAIN, "x/large")
        assert "x/large" in str(error.value) and commit in str(error.value)
    assert store.open(commit, "x/large").read() == large.read_bytes()


def test_a_single_bit_anywhere_in_a_copy_is_found_and_fetched_again(lakefs_store: LakeFSStore, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(40))
    lakefs_store.create_branch("draft")
    lakefs_store.commit("draft", {"a": local}, "m")
    copy = lakefs_store.local_path("draft", "a")
    assert copy.stat().st_mode & 0o222 == 0
    for bit in range(320):
        damaged = bytearray(local.read_bytes())
        damaged[bit // 8] ^= 1 << bit % 8
        copy.chmod(0o644)
        copy.write_bytes(damaged)
        assert lakefs_store.open("draft", "a").read() == local.read_bytes()


def test_a_copy_is_asked_for_once(lakefs_store: LakeFSStore, standin: StandIn, large: Path) -> None:
    lakefs_store.create_branch("draft")
    lakefs_store.commit("draft", {"large": large}, "m")
    standin.requests.clear()
    for _ in range(3):
        assert lakefs_store.local_path("draft", "large").read_bytes() == large.read_bytes()
    assert len([request for request in standin.requests if request.endswith("/objects")]) == 1


def test_the_cache_keeps_to_its_limit(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache", limit_bytes=250)

    class Fixed:
        def download(self, ref: str, path: str, size: int, target: object) -> str:
            content = path.encode() * size
            target.write(content)  # type: ignore[attr-defined]
            return sha256_bytes(content)

    keys = [sha256_bytes(letter * 100) for letter in "abcd"]
    for age, (key, letter) in enumerate(zip(keys, "abcd", strict=True)):
        for known in keys[:age]:
            if cache.path(known).exists():
                os.utime(cache.path(known), (1000 + keys.index(known), 1000 + keys.index(known)))
        cache.fill(key, Fixed(), "draft", letter, 100, letter)  # type: ignore[arg-type]
    assert [cache.path(key).exists() for key in keys] == [False, False, True, True]
    assert cache.open(keys[2]).read() == b"c" * 100  # type: ignore[union-attr]
    assert cache.path(keys[2]).stat().st_mtime > time.time() - 60


def test_a_file_that_changes_while_it_is_put(
    lakefs_store: LakeFSStore, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_change(stream: BinaryIO) -> tuple[str, str, int]:
        found = digests(stream)
        large.write_bytes(bytes(large.stat().st_size))
        return found

    monkeypatch.setattr(lakefs_transfer, "digests", then_change)
    lakefs_store.create_branch("draft")
    with pytest.raises(StoreError, match="changed while it was put"):
        lakefs_store.commit("draft", {"large": large}, "m")
    assert lakefs_store.uncommitted("draft") == []


def test_without_reading_back_the_servers_checksum_decides(standin: StandIn, large: Path, tmp_path: Path) -> None:
    with lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path, read_back=False) as store:
        store.create_branch("draft")
        store.commit("draft", {"large": large}, "m")
        assert not [request for request in standin.requests if request.endswith("/refs/draft/objects")]


MEASURED = """
import json, resource, sys
from pathlib import Path
from pydantic import SecretStr
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.lakefs.api import Connection, Server
endpoint, access, secret, repository, folder, part = sys.argv[1:]
store = LakeFSStore(Connection(Server(endpoint, access, SecretStr(secret))), repository, Path(folder) / "cache2",
                    part_bytes=int(part))
peaks = []
for name in ("small", "large"):
    store.commit("draft", {name: Path(folder) / name}, "m")
    store.local_path("draft", name)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.parametrize("presign", [False, True])
def test_memory_does_not_grow_with_the_file(presign: bool, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(os.urandom(9 << 20))
    with (tmp_path / "large").open("wb") as target:
        for _ in range(12):
            target.write(os.urandom(8 << 20))
    with (
        StandIn(presign=presign) as standin,
        lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path) as store,
    ):
        store.create_branch("draft")
        arguments = [standin.address, standin.access_key, standin.secret_key, store.repository, str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments, str(8 << 20)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    small, large = json.loads(done.stdout)
    assert large - small < 24, f"peak memory grew from {small} to {large} MiB"
