"""One holder at a time, among threads and processes; who waits too long learns who holds it."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.foundation.locks import Locked, locked

HOLD = """
import sys, time
from pathlib import Path
from ml_platform.foundation.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "one.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_holder_is_named_and_a_killed_one_frees_it(path: Path, holder: subprocess.Popen) -> None:
    started = time.monotonic()
    with (
        pytest.raises(Locked, match=r"^the store: .* holds one\.lock; wait for it or end it$") as error,
        locked(path, timeout=0, what="the store"),
    ):
        pytest.fail("two hold it")
    assert time.monotonic() - started < 1
    if Path("/proc/locks").exists():
        assert f"process {holder.pid} (" in str(error.value)
    with pytest.raises(Locked, match=r"one\.lock: .* for more than 1 s"), locked(path, timeout=1):
        pytest.fail("two hold it")
    holder.kill()
    with locked(path, timeout=5):
        assert path.exists()


def test_threads_take_turns(path: Path) -> None:
    found: list[int] = [0]

    def count() -> None:
        for _ in range(20):
            with locked(path):
                held = found[0]
                time.sleep(0.0005)
                found[0] = held + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [80]


def test_an_error_in_the_block_frees_it_and_comes_through(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with locked(path, timeout=0), pytest.raises(Locked, match="this process holds"), locked(path, timeout=0):
        pytest.fail("it is not re-entrant")
