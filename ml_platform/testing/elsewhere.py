"""Code that another process runs, with another seed of Python's ``hash()``: as the next run of a step is one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from subprocess import CompletedProcess

_ORDER = "import sys; print(*set(sys.argv[1:]))"


def elsewhere(code: str, given: bytes, *arguments: str, seed: str) -> "CompletedProcess[bytes]":
    """Run Python code in a process that finds the same modules and reads ``given`` as its standard input."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=given, env=environment, capture_output=True, check=False)


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
