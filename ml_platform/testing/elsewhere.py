"""Code that another process runs, with another seed of Python's ``hash()``: as the next run of a step is one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import TypeVar

import cloudpickle
import pytest

from ml_platform.foundation.raised import raised

T = TypeVar("T")

#: Seconds after which processes that work together are ended.
_PATIENCE = 300

#: Two time zones in which it is never the same day.
ZONES = ("Etc/GMT+12", "Etc/GMT-14")

#: What a process ends with that cannot open what others have open.
_UNKNOWN = 3
#: One of several processes: its argument is a file with what it does; it says that it is ready, and waits to be told.
_TOGETHER = f"""
import sys
from pathlib import Path
import cloudpickle
try:
    work, opened, number = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
except Exception as error:
    print(error, file=sys.stderr)
    sys.exit({_UNKNOWN})
print("ready", flush=True)
sys.stdin.readline()
work(opened, number)
"""

_ORDER = "import sys; print(*set(sys.argv[1:]))"


def elsewhere(
    code: str, given: bytes, *arguments: str, seed: str, zone: str = "", folder: Path | None = None
) -> "CompletedProcess[bytes]":
    """Run Python code in a process that finds the same modules and reads ``given`` as its standard input.

    Where they are given, in a time ``zone``, as ``TZ`` names it, and in a ``folder``.
    """
    environment = _environment(PYTHONHASHSEED=seed) | ({"TZ": zone} if zone else {})
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=given, env=environment, cwd=folder, capture_output=True, check=False)


def _environment(**variables: str) -> dict[str, str]:
    """In which a process finds the modules of this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), **variables}


def together(work: Callable[[Callable[[], T], int], object], opened: Callable[[], T], processes: int = 2) -> None:
    """Do ``work(opened, number)`` in several processes at once, each with a number of its own from 0 on.

    ``opened`` opens the same place in each. A test that asks for it is skipped where no other process can: where
    ``opened`` cannot be given to it, or its code cannot be imported there. Raises AssertionError where one fails.
    """
    try:
        given = [cloudpickle.dumps((work, opened, number)) for number in range(processes)]
    except Exception as error:
        pytest.skip(
            f"what opens it cannot be given to another process ({raised(error)}); build it from paths and texts"
        )
    with TemporaryDirectory() as folder, ExitStack() as stack:
        running: list[subprocess.Popen[str]] = []
        for number, content in enumerate(given):
            file = Path(folder) / str(number)
            file.write_bytes(content)
            one = subprocess.Popen(
                [sys.executable, "-c", _TOGETHER, str(file)],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(one)
            stack.callback(one.kill)
            running.append(one)
        ready = [one.stdout is not None and one.stdout.readline() == "ready\n" for one in running]
        for one in running:
            if one.stdin is not None and all(ready):
                with suppress(BrokenPipeError):
                    one.stdin.write("go\n")
                    one.stdin.flush()
        ended = [one.communicate(timeout=_PATIENCE)[1] for one in running]
        for one, said in zip(running, ended, strict=True):
            last = (said.strip().splitlines() or [""])[-1]
            if one.returncode == _UNKNOWN:
                pytest.skip(f"another process cannot open it ({last}); let its code lie in modules")
            assert one.returncode == 0, f"beside another process it fails: {last}"


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
