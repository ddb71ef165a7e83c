"""What a versioned store keeps: bytes, many objects, a long history, and what many write at once; part of its suite."""

import io
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pytest

from ml_platform.datasets.store import MAIN, VersionedStore
from ml_platform.foundation.errors import Corrupt
from ml_platform.foundation.files import sha256_bytes
from ml_platform.testing.elsewhere import ZONES, in_zone, together
from ml_platform.testing.merging import MergeLaws, content

#: More objects and commits than a page of a server's list has.
OBJECTS, COMMITS = 1001, 101
#: How far the clock of a store's server may be from ours.
APART = timedelta(minutes=30)


#: Merges of each of several processes.
EACH = 6


def merge_some(open_store: Callable[[], VersionedStore], process: int) -> None:
    """What one of several processes does: branches of its own, each merged into the same one."""
    store = open_store()
    with TemporaryDirectory() as folder:
        for number in range(process * EACH, (process + 1) * EACH):
            file = Path(folder) / str(number)
            file.write_text(str(number))
            store.create_branch(f"w{number}")
            store.commit(f"w{number}", {f"x/{number:02}": file}, "edit")
            store.merge(f"w{number}", MAIN, f"merge {number}")


def require_merged(store: VersionedStore, count: int) -> None:
    """What so many merges brought is there, and each of them in the history."""
    assert content(store, MAIN) == {f"x/{number:02}": str(number) for number in range(count)}, "a merge was lost"
    told = {entry.message for entry in store.log(MAIN)}
    assert {f"merge {number}" for number in range(count)} <= told, "a merge is not in the history"


def _from_the_middle(stream: BinaryIO) -> bytes:
    stream.seek(3)
    return stream.read()


def _from_the_end(stream: BinaryIO) -> bytes:
    stream.seek(-8, os.SEEK_END)
    return stream.read(6)


def _piece_by_piece(stream: BinaryIO) -> bytes:
    return b"".join(iter(lambda: stream.read(2), b""))


def _into_a_buffer(stream: BinaryIO) -> bytes:
    """As readers of arrays do."""
    buffer = bytearray(64)
    return bytes(buffer[: stream.readinto(buffer)])  # type: ignore[attr-defined]


class ContentContract(MergeLaws):
    """The tests of what is kept."""

    @pytest.fixture
    def secret(self) -> str | None:
        """What opens the store and nobody may read, such as a token; None: there is none."""
        return None

    def test_bytes_come_back_as_they_are(self, store: VersionedStore) -> None:
        """Ends of lines, binary ones and many."""
        store.create_branch("work")
        many = random.Random(1).randbytes((1 << 20) + 7)
        given = {"text": b"a\r\nb\r\n\r\n", "mac": b"a\rb", "none": b"", "zero": b"\x00\r\n\x1a\xff", "many": many}
        for name, data in given.items():
            (self.folder / name).write_bytes(data)
        store.commit("work", {name: self.folder / name for name in given}, "m")
        for name, data in given.items():
            with store.open("work", name) as stream:
                assert stream.read() == data, f"`open` gives other bytes than {name}"
            assert store.local_path("work", name).read_bytes() == data, f"`local_path` has other bytes than {name}"
            info = store.stat("work", name)
            assert (info.size, info.sha256) == (len(data), sha256_bytes(data)), f"`stat` of {name}"

    def damage(self, store: VersionedStore, ref: str, path: str) -> None:
        """Change a stored byte of an object behind the store's back, its size and time kept.

        As it stands, that of the local file: a store that keeps the bytes elsewhere changes those as well.
        """
        file = store.local_path(ref, path)
        before, data = file.stat(), bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(data)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        file.chmod(0o444)

    def test_damaged_bytes_are_never_read(self, open_store: Callable[[], VersionedStore]) -> None:
        """Corrupt is raised, or the right bytes are had from elsewhere; by who has read them before, too."""
        store = open_store()
        self.branch(store, "work", {"a/b": "right bytes"})
        assert store.open("work", "a/b").read() == store.local_path("work", "a/b").read_bytes() == b"right bytes"
        self.damage(store, "work", "a/b")
        for one in (store, open_store()):
            with suppress(Corrupt):
                assert one.open("work", "a/b").read() == b"right bytes"
            with suppress(Corrupt):
                assert one.local_path("work", "a/b").read_bytes() == b"right bytes"
            for way in (_from_the_middle, _from_the_end, _piece_by_piece, _into_a_buffer):
                with suppress(Corrupt):
                    assert way(one.open("work", "a/b")) in b"right bytes", "`open` gives damaged bytes of a stream"

    def test_a_stream_is_read_from_where_it_is_wanted(self, store: VersionedStore) -> None:
        """As readers of Parquet do, which begin at the end."""
        self.branch(store, "work", {"a": "0123456789"})
        with store.open("work", "a") as stream:
            assert stream.seekable(), "`open` gives a stream that cannot seek"
            assert stream.seek(-3, io.SEEK_END) == 7 and stream.read(2) == b"78" and stream.tell() == 9
            assert stream.seek(0) == 0 and stream.read() == b"0123456789"

    def test_what_is_listed_is_all_that_is_there(self, store: VersionedStore) -> None:
        """More than a page of a server has."""
        store.create_branch("work")
        one = self.file("1")
        names = [f"x/{number:05}" for number in range(OBJECTS)]
        store.commit("work", dict.fromkeys(names, one), "m")
        listed = [info.path for info in store.list("work", "x/")]
        assert listed == names, f"of {OBJECTS} objects `list` gives {len(listed)}"
        changed = [change.path for change in store.diff(MAIN, "work")]
        assert changed == names, f"of {OBJECTS} changes `diff` gives {len(changed)}"

    def test_a_long_history_is_told_to_its_beginning(self, store: VersionedStore) -> None:
        """With messages, metadata and times as they were, newest first."""
        store.create_branch("work")
        first = store.resolve("work")
        messages = [f"Größe {number}: a longer message" for number in range(COMMITS)]
        with in_zone(ZONES[1]):
            begun = datetime.now(UTC)
            for number, message in enumerate(messages):
                store.commit("work", {"a": self.file(str(number))}, message, {"run_id": f"r{number}"})
            log = list(store.log("work"))
            ended = datetime.now(UTC)
        told = [entry.message for entry in log]
        assert len(log) > COMMITS and log[COMMITS].id == first, f"of {COMMITS} commits `log` tells {len(log)}"
        assert told[:COMMITS] == messages[::-1], "`log` tells other messages than were given"
        assert [entry.metadata["run_id"] for entry in log[:COMMITS]] == [f"r{n}" for n in range(COMMITS)][::-1]
        wrong = [one.created for one in log[:COMMITS] if not begun - APART <= one.created <= ended + APART]
        assert not wrong, f"`log` says that a commit of now is of {wrong[0]}"

    def test_what_many_write_at_once_is_all_there(self, open_store: Callable[[], VersionedStore]) -> None:
        """Each on a branch of its own, which it merges into the same one; nothing of another is undone."""
        open_store()
        for number in range(12):
            self.file(str(number))

        def write(number: int) -> None:
            store = open_store()
            self.branch(store, f"w{number}", {f"x/{number:02}": str(number)})
            store.merge(f"w{number}", MAIN, f"merge {number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(12)))
        require_merged(open_store(), 12)

    def test_what_two_processes_write_at_once_is_all_there(self, open_store: Callable[[], VersionedStore]) -> None:
        """As two runs do: what holds others off holds off other processes, too."""
        open_store()
        together(merge_some, open_store)
        require_merged(open_store(), 2 * EACH)

    def test_what_is_named_is_all_listed(self, store: VersionedStore) -> None:
        """Branches and tags: more than a page of a server has."""
        commit = self.branch(store, "work", {"a": "1"})
        names = [f"x-{number:03}" for number in range(COMMITS)]
        for name in names:
            store.create_branch(name, "work")
            store.tag(name, commit)
        assert store.branches("x-") == names, f"of {COMMITS} branches `branches` gives {len(store.branches('x-'))}"
        assert store.branches() == sorted([MAIN, "work", *names]), "`branches` gives others than there are"
        for found in (store.tags("x-"), store.tags()):
            assert found == dict.fromkeys(names, commit), f"of {COMMITS} tags `tags` gives {len(found)}"

    def test_no_address_shows_what_opens_the_store(self, store: VersionedStore, secret: str | None) -> None:
        """They stand in logs and on pages."""
        if secret is None:
            pytest.skip("give the contract a fixture `secret`, where one opens the store")
        commit = self.branch(store, "work", {"a": "1"})
        for address in (store.url(commit, "a"), store.url("work"), repr(store)):
            assert secret not in address, "`url` or `repr` of the store shows its secret"
