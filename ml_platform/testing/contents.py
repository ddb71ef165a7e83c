"""What a versioned store keeps: bytes, many objects, a long history, and what many write at once; part of its suite."""

import io
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ml_platform.datasets.store import MAIN, VersionedStore
from ml_platform.foundation.files import sha256_bytes
from ml_platform.testing.elsewhere import ZONES, in_zone
from ml_platform.testing.merging import MergeLaws, content

#: More objects and commits than a page of a server's list has.
OBJECTS, COMMITS = 1001, 101
#: How far the clock of a store's server may be from ours.
APART = timedelta(minutes=30)


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
        kept = open_store()
        assert content(kept, MAIN) == {f"x/{number:02}": str(number) for number in range(12)}, "a merge was lost"
        told = {entry.message for entry in kept.log(MAIN)}
        assert {f"merge {number}" for number in range(12)} <= told, "a merge is not in the history"

    def test_no_address_shows_what_opens_the_store(self, store: VersionedStore, secret: str | None) -> None:
        """They stand in logs and on pages."""
        if secret is None:
            pytest.skip("give the contract a fixture `secret`, where one opens the store")
        commit = self.branch(store, "work", {"a": "1"})
        for address in (store.url(commit, "a"), store.url("work"), repr(store)):
            assert secret not in address, "`url` or `repr` of the store shows its secret"
