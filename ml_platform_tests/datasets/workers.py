"""What the processes of the concurrency and kill tests run. Nothing here starts a thread when imported."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pyarrow.parquet  # noqa: F401  (so that a forked worker has it loaded)

from ml_platform.datasets.derived import commit_objects
from ml_platform.datasets.embedded.pointers import ContentFiles
from ml_platform.datasets.embedded.repository import GitRepository
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.lakefs.api import Connection
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import DatasetRef
from ml_platform_tests.datasets import lakefs_servers

PROVENANCE = Provenance(code_commit="c0ffee", dirty=False, lock_sha256="0" * 64, python="3.11.7")
REPOSITORY = "test-repo"


def open_store(root: Path) -> EmbeddedStore:
    return EmbeddedStore(root, REPOSITORY)


def batch(seed: int) -> polars.DataFrame:
    return polars.DataFrame({"row": list(range(seed, seed + 50)), "text": [f"t{seed}"] * 50})


def batch_through(store: VersionedStore, partition: str, seed: int, run_id: str = "run") -> DatasetRef:
    """Stage and publish one partition."""
    staged = stage(store, "flights", partition, batch(seed), run_id=run_id, provenance=PROVENANCE)
    return publish(store, staged, run_id=run_id, ledger_head="head", provenance=PROVENANCE)


def publish_many(root: Path, worker: int, count: int) -> None:
    store = open_store(root)
    for number in range(count):
        batch_through(store, f"w{worker}-{number}", 1000 * worker + number)


def publish_many_on_lakefs(repository: str, cache: Path, worker: int, count: int) -> None:
    """On the real server that the environment names."""
    store = LakeFSStore(Connection(lakefs_servers.real_server()), repository, cache)
    for number in range(count):
        batch_through(store, f"w{worker}-{number}", 1000 * worker + number)


def publish_same(root: Path, count: int, worker: int) -> None:
    """Several workers publish the same partitions with the same content."""
    store = open_store(root)
    for number in range(count):
        batch_through(store, f"p{number}", number, f"run-{worker}")


def derive(root: Path, worker: int, count: int) -> None:
    """Commit objects of this worker onto a branch that all workers share."""
    store = open_store(root)
    for number in range(count):
        local = root / f"derived-{worker}"
        local.write_text(f"{worker}-{number}")
        commit_objects(
            store, "features", {f"f/{worker}/{number}": local}, run_id=f"{worker}-{number}", message="Derive"
        )


def first_open(root: Path) -> None:
    open_store(root).resolve("main")


def _killing(function: Callable, countdown: list[int]) -> Callable:
    """``function`` that kills the process with SIGKILL before or after one of its calls."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        _tick(countdown)
        result = function(*arguments, **options)
        _tick(countdown)
        return result

    return wrapped


def _tick(countdown: list[int]) -> None:
    countdown[0] -= 1
    if countdown[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)


def killed_at(root: Path, step: int, action: str, number: int) -> None:
    """Do ``action`` and die at its ``step``-th durable step; end normally where it has fewer."""
    countdown = [step]
    for owner, name in (
        (GitRepository, "write"),
        (GitRepository, "point"),
        (GitRepository, "drop"),
        (ContentFiles, "add"),
        (os, "replace"),
        (os, "fsync"),
    ):
        setattr(owner, name, _killing(getattr(owner, name), countdown))
    run(root, action, number)


def run(root: Path, action: str, number: int) -> None:
    """The action that is killed, and the same one again as the retry."""
    store = open_store(root)
    if action == "publish":
        batch_through(store, f"p{number}", number)
    elif action == "correct":
        batch_through(store, "corrected", number)
    else:
        local = root / "derived"
        local.write_text(str(number))
        commit_objects(store, "features", {f"f/{number}": local}, run_id=f"r{number}", message="Derive")
