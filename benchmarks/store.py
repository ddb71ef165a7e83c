"""The embedded dataset store against plain copies of the same files: time, peak memory, and many objects.

``python benchmarks/store.py [--folder FOLDER] [--sizes 200,2000] [--objects 10000]`` prints a Markdown table. Every
cycle runs in a process of its own. A cycle of the store is commit + merge (which hashes, copies and syncs),
then one verified read; beside it ``cp`` + ``sync`` and ``cat`` of the same file, in turn, so that both see the same
disk. The page cache is warm for both.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

MEGABYTE = 1_000_000
ROUNDS = 5


def timed(command: list[str]) -> float:
    """Seconds of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def fresh(path: Path, size: int) -> Path:
    """A file of random bytes: nothing of it can be shared with an earlier round."""
    with path.open("wb") as stream:
        for _ in range(0, size, 10 * MEGABYTE):
            stream.write(os.urandom(min(10 * MEGABYTE, size)))
        stream.flush()
        os.fsync(stream.fileno())
    return path


def opened(folder: str) -> Any:
    """The store, warmed up by one small cycle."""
    from ml_platform.datasets.embedded.store import EmbeddedStore

    return EmbeddedStore(Path(folder), "benchmark")


def cycle(store: Any, file: Path, name: str) -> float:
    """Seconds of branch, commit and merge of one object."""
    started = time.perf_counter()
    store.create_branch(name)
    store.merge(store.commit(name, {f"objects/{name}": file}, "Benchmark"), "main", "Benchmark")
    store.delete_branch(name)
    return time.perf_counter() - started


def memory() -> float:
    """Peak memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def worker(folder: str, file: str, small: str, name: str) -> None:
    """One cycle and one read in this process; prints seconds and memory as JSON."""
    store = opened(folder)
    cycle(store, Path(small), f"{name}-warm")
    store.open("main", f"objects/{name}-warm").close()
    before = memory()
    write = cycle(store, Path(file), name)
    peak = memory() - before
    started = time.perf_counter()
    with store.open("main", f"objects/{name}") as stream:
        while stream.read(1 << 20):
            pass
    read = time.perf_counter() - started
    print(json.dumps({"write": write, "read": read, "memory": peak, "memory_read": memory() - before}))


def sizes(folder: Path, megabytes: list[int]) -> None:
    """Compare the store with plain copies, for files of these sizes."""
    print("| file | commit + merge | cp + sync | ratio | verified read | cat | peak memory above baseline |")
    print("|---|---|---|---|---|---|---|")
    small = fresh(folder / "small", 1000)
    for size in megabytes:
        rows = []
        for round_ in range(ROUNDS):
            file = fresh(folder / "file", size * MEGABYTE)
            copy = timed(["sh", "-c", f"cp '{file}' '{folder}/copy' && sync '{folder}/copy' && sync '{folder}'"])
            command = [sys.executable, __file__, "--worker", str(folder / "store"), str(file), str(small)]
            done = subprocess.run([*command, f"s{size}-{round_}"], check=True, capture_output=True, text=True)
            rows.append({**json.loads(done.stdout), "copy": copy, "cat": timed(["cat", str(folder / "copy")])})
            (folder / "copy").unlink()
            file.unlink()
            # Room for the next round: nothing names these bytes once the object is gone.
            subprocess.run(["rm", "-rf", str(folder / "store")], check=True)
        value = {name: median(row[name] for row in rows) for name in rows[0]}
        ratio = median(row["write"] / row["copy"] for row in rows)
        peak = max(row["memory_read"] for row in rows)
        print(
            f"| {size:,} MB | {value['write']:.2f} s | {value['copy']:.2f} s | {ratio:.2f} | {value['read']:.2f} s "
            f"| {value['cat']:.2f} s | {peak:.0f} MB |",
            flush=True,
        )


def many(folder: Path, count: int) -> None:
    """The cycle of one more object in a repository with few and with many objects."""
    file = fresh(folder / "one", 100_000)
    found = {}
    for objects in (10, count):
        store = opened(str(folder / f"many{objects}"))
        store.create_branch("fill")
        # A year of hourly partitions lies in folders; so do these. They share their bytes, which does not matter here.
        paths = [f"datasets/d{number // 500:03}/{number:05}" for number in range(objects)]
        store.merge(store.commit("fill", dict.fromkeys(paths, file), "Fill"), "main", "Fill")
        found[objects] = median(cycle(store, fresh(folder / "one", 100_000), f"more-{number}") for number in range(21))
    few = found[10]
    print("\n| objects in the repository | cycle of one object (100 kB) | against 10 |")
    print("|---|---|---|")
    for objects, seconds in found.items():
        print(f"| {objects:,} | {seconds * 1000:.1f} ms | {seconds / few:.2f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=None, help="Where to work; on the disk that is to be measured.")
    parser.add_argument("--sizes", default="200,2000", help="Megabytes, separated by commas.")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--worker", nargs=4, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="benchmark-store-") as name:
        sizes(Path(name), [int(size) for size in arguments.sizes.split(",")])
        many(Path(name), arguments.objects)


if __name__ == "__main__":
    main()
