"""Real processes for the concurrency and kill tests."""

import multiprocessing
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

SECONDS = 120


@lru_cache(maxsize=1)
def _context() -> ForkServerContext:
    """Processes fork from a server that has imported the workers, so that starting one is cheap."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ml_platform_tests.datasets.workers"])
    return context


def start(target: Callable, *arguments: Any) -> ForkServerProcess:
    """Start a worker."""
    process = _context().Process(target=target, args=arguments)
    process.start()
    return process


def finish(*processes: ForkServerProcess) -> list[int]:
    """Wait for workers; returns their exit codes. A worker that hangs is killed and fails the test."""
    for process in processes:
        process.join(SECONDS)
    hung = [process for process in processes if process.is_alive()]
    for process in hung:
        process.kill()
    assert not hung, f"{len(hung)} workers did not end within {SECONDS} s"
    return [process.exitcode or 0 for process in processes]
