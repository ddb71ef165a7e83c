"""Locks between the processes and threads of one machine, which the system frees when their holder ends."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made

#: Seconds between two attempts. A step of the store takes about a millisecond; the default of filelock is 50.
_POLL_SECONDS = 0.002


class Locked(PlatformError):
    """Another process (or thread) holds a lock for longer than was to be waited."""


@contextmanager
def locked(path: Path, timeout: float | None = None, what: str = "") -> Generator[None]:
    """Hold the lock ``path`` for the block, alone among all processes and threads; not re-entrant.

    Folders are made where they are missing, and the file stays. ``timeout``: seconds to wait, ``None`` for as long as
    it takes. Raises Locked, which begins with ``what`` (default: the path) and names the holder where the system tells.
    """
    from filelock import FileLock, Timeout

    made(path.parent)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if timeout is None else timeout, poll_interval=_POLL_SECONDS)
    except Timeout:
        waited = f" for more than {timeout:.0f} s" if timeout else ""
        raise Locked(f"{what or path}: {_holder(path)} holds {path.name}{waited}; wait for it or end it") from None
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who holds a lock, as Linux tells it: without a note in the file that a killed holder would leave behind."""
    import psutil

    try:
        inode = path.stat().st_ino
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        pid = next(int(entry[4]) for entry in held if entry[1] == "FLOCK" and entry[5].endswith(f":{inode}"))
        # The name only: a command line may hold secrets.
        name = psutil.Process(pid).name()
    except (OSError, LookupError, ValueError, StopIteration, psutil.Error):
        return "another process"
    return "this process" if pid == os.getpid() else f"process {pid} ({name})"
