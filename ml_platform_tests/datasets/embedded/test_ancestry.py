"""The merge base, the order of the log, and damaged objects on the way."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.datasets.embedded.ancestry import merge_base
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import Corrupt

#: Seconds that one reading may take; libgit2 alone never ends.
PATIENCE = 20
READ = """
import json, signal, sys
from pathlib import Path
from ml_platform.datasets import history
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.foundation.errors import Corrupt

root, patience, flips = Path(sys.argv[1]), int(sys.argv[2]), json.load(sys.stdin)
all_known = lambda *_: True
readers = {
    "log": lambda store: [commit.id for commit in store.log("main")],
    "short": lambda store: [commit.id for commit in store.log(store.tip[:12])],
    "publications": lambda store: [list(map(str, item)) for item in history.publications(store, "d", known=all_known)],
    "diff": lambda store: [str(change) for change in store.diff(store.first, "main")],
    "branch": lambda store: [str(change) for change in store.diff("main", "side")],
}

def run():
    found = {}
    for name, reader in readers.items():
        # The default action ends the process, also where it never comes back to Python.
        signal.alarm(patience)
        store = EmbeddedStore(root, "test-repo")
        store.first, store.tip = ids
        try:
            found[name] = reader(store)
        except Corrupt as error:
            found[name] = str(error)
    signal.alarm(0)
    return found

whole = EmbeddedStore(root, "test-repo")
ids = [commit.id for commit in whole.log("main")]
ids = ids[-1], ids[0]
print(json.dumps(run()), flush=True)
for file, bit in flips:
    content = Path(file).read_bytes()
    broken = bytearray(content)
    broken[bit // 8] ^= 1 << bit % 8
    Path(file).chmod(0o644)
    Path(file).write_bytes(broken)
    print(json.dumps(run()), flush=True)
    Path(file).write_bytes(content)
"""


class Record(NamedTuple):
    """A commit."""

    id: str
    parent_ids: tuple[str, ...]
    commit_time: int


Graph = dict[str, Record]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Commits with parents among earlier ones; times with ties, and clocks that go back."""
    made: Graph = {}
    for number in range(draw(st.integers(1, 12))):
        parents = draw(st.lists(st.sampled_from(sorted(made)), max_size=3, unique=True)) if made else []
        made[f"{number:02}"] = Record(f"{number:02}", tuple(parents), draw(st.integers(0, 6)))
    return made


def ancestors(graph: Graph, name: str) -> set[str]:
    """A commit and its ancestors."""
    return {name}.union(*(ancestors(graph, parent) for parent in graph[name].parent_ids))


@given(graphs(), st.data())
def test_a_merge_base_is_below_no_other_common_ancestor(graph: Graph, data: st.DataObject) -> None:
    left, right = (data.draw(st.sampled_from(sorted(graph))) for _ in range(2))
    common = ancestors(graph, left) & ancestors(graph, right)
    best = {name for name in common if not any(name in ancestors(graph, other) for other in common - {name})}
    found = merge_base(left, right, graph.__getitem__)
    if not best:
        assert found is None
    else:
        assert found in best and graph[found].commit_time == max(graph[name].commit_time for name in best)


def test_only_what_is_asked_for_is_read() -> None:
    graph = {str(n): Record(str(n), (str(n - 1),) if n else (), n) for n in range(1000)}
    read: list[str] = []

    def reading(name: str) -> Record:
        read.append(name)
        return graph[name]

    assert merge_base("990", "999", reading) == "990" and len(read) < 20


def published(store: EmbeddedStore) -> None:
    """Some publications on ``main``, merged from branches, and a branch that waits."""
    local = store.folder.parent / "local"
    for number in range(6):
        branch = f"b{number}" if number < 5 else "side"
        store.create_branch(branch)
        local.write_text(str(number))
        path = f"datasets/d/{number % 3}.parquet"
        facts = {"ledger_head": "h", "dataset": "d", "partition": str(number % 3), "sha256": "x", "rows": "1"}
        commit = store.commit(branch, {path: local}, "m", {"run_id": str(number)}, objects={path: {"rows": "1"}})
        if branch != "side":
            store.merge(commit, MAIN, "m", facts)
            store.delete_branch(branch)


def test_the_order_is_that_of_git(store: EmbeddedStore) -> None:
    published(store)
    repository = store.folder / "meta.git"
    shown = subprocess.run(
        ["git", "-C", str(repository), "log", "--topo-order", "--format=%H", MAIN], capture_output=True, text=True
    ).stdout.split()
    logged = [commit.id for commit in store.log(MAIN)]
    assert sorted(logged) == sorted(shown) and logged[0] == shown[0] and len(logged) == 11
    subprocess.run(["git", "-C", str(repository), "gc", "--quiet"], check=True)
    packed = EmbeddedStore(store.folder.parent, store.repository)
    assert not any((repository / "objects" / name[:2] / name[2:]).exists() for name in logged), "all are in a pack"
    assert list(packed.log(MAIN)) == list(store.log(MAIN))
    assert packed.diff(MAIN, "side") == store.diff(MAIN, "side") != []


def read_with(store: EmbeddedStore, flips: list[tuple[Path, int]]) -> tuple[dict, list[dict]]:
    """What each reader gives in a process of its own: as it is, and with each of the bits flipped."""
    command = [sys.executable, "-c", READ, str(store.folder.parent), str(PATIENCE)]
    given = json.dumps([(str(file), bit) for file, bit in flips])
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    right, *after = map(json.loads, done.stdout.splitlines())
    # Ended by a signal: reading never came back, or crashed.
    assert done.returncode == 0, f"{flips[len(after)]}: {done.returncode} {done.stderr[-2000:]}"
    assert len(after) == len(flips) and len(right["log"]) == 11 and len(right["publications"]) == 5
    return right, after


def test_flipped_bits_on_the_way_are_named_and_no_reading_hangs(store: EmbeddedStore) -> None:
    """Every reader of a history gives what it gave before, or one error that names what is damaged."""
    published(store)
    folder = store.folder / "meta.git"
    listed = subprocess.run(
        ["git", "-C", str(folder), "rev-list", "--objects", MAIN, "side"], capture_output=True, text=True, check=True
    )
    kinds = {name: store._repo.git[name].type_str for name in (line.split()[0] for line in listed.stdout.splitlines())}
    rng = random.Random(8)
    flips, names = [], []
    for kind, count in (("commit", 60), ("tree", 30)):
        for _ in range(count):
            name = rng.choice(sorted(name for name, found in kinds.items() if found == kind))
            file = folder / "objects" / name[:2] / name[2:]
            flips.append((file, rng.randrange(file.stat().st_size * 8)))
            names.append(name)
    right, after = read_with(store, flips)
    errors = dict.fromkeys(right, 0)
    for name, results in zip(names, after, strict=True):
        for reader, result in results.items():
            if result != right[reader]:
                assert isinstance(result, str) and name in result and "is damaged" in result, (reader, name, result)
                errors[reader] += 1
        if kinds[name] == "commit" and name in right["log"]:
            assert (results["log"] == right["log"]) == (results["short"] == right["log"])
    # A few bits at the end of a compressed file mean nothing.
    assert errors["log"] > 45 and all(errors.values()), errors


def test_flipped_bits_of_packs_are_found_before_libgit2_reads_them(store: EmbeddedStore) -> None:
    """Some in an index make it crash."""
    published(store)
    folder = store.folder / "meta.git"
    subprocess.run(["git", "-C", str(folder), "gc", "--quiet"], check=True)
    rng = random.Random(9)
    subprocess.run(["git", "-C", str(folder), "commit-graph", "write", "--reachable"], check=True)
    files = [file for ending in ("pack", "idx") for file in folder.glob(f"objects/pack/*.{ending}")]
    files.append(folder / "objects" / "info" / "commit-graph")
    assert len(files) == 3
    flips = [(file, rng.randrange(file.stat().st_size * 8)) for file in files for _ in range(30)]
    _, after = read_with(store, flips)
    for (file, _), results in zip(flips, after, strict=True):
        for result in results.values():
            assert isinstance(result, str) and file.name in result and "is damaged" in result, result
    file, bit = flips[0]
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.chmod(0o644)
    file.write_bytes(content)
    (problem,) = EmbeddedStore(store.folder.parent, store.repository).fsck()
    assert file.name in problem


def test_a_lost_commit_on_the_way_is_named(store: EmbeddedStore) -> None:
    published(store)
    lost = [commit.id for commit in store.log(MAIN)][5]
    (store.folder / "meta.git" / "objects" / lost[:2] / lost[2:]).unlink()
    fresh = EmbeddedStore(store.folder.parent, store.repository)
    with pytest.raises(Corrupt, match=f"history of main: .* is damaged .*{lost}"):
        list(fresh.log(MAIN))
    assert next(iter(fresh.log(MAIN))).id == fresh.resolve(MAIN)
