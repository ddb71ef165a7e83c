"""Code that another process runs, with another seed of Python's ``hash()``: as the next run of a step is one."""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

#: Two time zones in which it is never the same day.
ZONES = ("Etc/GMT+12", "Etc/GMT-14")

_ORDER = "import sys; print(*set(sys.argv[1:]))"


def elsewhere(
    code: str, given: bytes, *arguments: str, seed: str, zone: str = "", folder: Path | None = None
) -> "CompletedProcess[bytes]":
    """Run Python code in a process that finds the same modules and reads ``given`` as its standard input.

    Where they are given, in a time ``zone``, as ``TZ`` names it, and in a ``folder``.
    """
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    environment |= {"TZ": zone} if zone else {}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=given, env=environment, cwd=folder, capture_output=True, check=False)


@contextmanager
def in_zone(zone: str) -> Generator[None]:
    """This process in a time zone, as ``TZ`` names it."""
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def seeds(names: Sequence[str]) -> Iterator[str]:
    """Two seeds under which a set of these names has different orders, where it can have any."""
    orders: dict[str, str] = {}
    for seed in map(str, range(1, 9)):
        done = subprocess.run(
            [sys.executable, "-S", "-c", _ORDER, *names],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        orders.setdefault(done.stdout, seed)
        if len(orders) > 1:
            break
    yield from orders.values()
