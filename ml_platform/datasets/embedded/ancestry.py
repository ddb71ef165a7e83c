"""Walks along the parents of Git commits, on commits that were compared with their names first.

libgit2 has such walks too, but reads the commits on the way by itself, and with some damaged ones never ends.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import count, takewhile
from typing import NamedTuple


class Record(NamedTuple):
    """What a commit says."""

    id: str
    tree: str
    parents: tuple[str, ...]
    #: When it was committed, seconds since 1970.
    time: int
    message: str


Read = Callable[[str], Record]


def parse(name: str, content: bytes) -> Record:
    """The commit in the bytes of a Git object without its header. Raises ValueError where it is none."""
    head, _, message = content.partition(b"\n\n")
    tree, *lines = head.split(b"\n")
    parents = list(takewhile(lambda line: line.startswith(b"parent "), lines))
    # After the parents come author and committer, then what not every commit has.
    committer = lines[len(parents) + 1] if len(lines) > len(parents) + 1 else b""
    if not tree.startswith(b"tree ") or not committer.startswith(b"committer "):
        raise ValueError(f"object {name} is no commit")
    encoding = next((line[9:].decode() for line in lines if line.startswith(b"encoding ")), "utf-8")
    return Record(
        name,
        tree[5:].decode(),
        tuple(line[7:].decode() for line in parents),
        int(committer.rsplit(b" ", 2)[1]),
        message.lstrip(b"\n").decode(encoding, "replace"),
    )


def newest_first(start: str, read: Read) -> Iterator[Record]:
    """A commit and all its ancestors, each once: none before one that stands on it, else by time.

    The first is there at once; for the second all are read.
    """
    first = read(start)
    yield first
    records, waiting = {start: first}, [start]
    children: dict[str, int] = {}
    while waiting:
        for parent in records[waiting.pop()].parents:
            children[parent] = children.get(parent, 0) + 1
            if parent not in records:
                records[parent] = read(parent)
                waiting.append(parent)
    order = count()
    ready: list[tuple[int, int, str]] = []
    done = records.pop(start)
    while True:
        for parent in done.parents:
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(ready, (-records[parent].time, next(order), parent))
        if not ready:
            return
        done = records.pop(heapq.heappop(ready)[2])
        yield done


_LEFT, _RIGHT, _BELOW = 1, 2, 4


def merge_base(left: str, right: str, read: Read) -> str | None:
    """A commit that both stand on (or are) and that stands below no other such commit, as ``git merge-base`` finds it.

    Of several the newest; ``None`` where there is none. Reads commits up to about the time of the base only.
    """
    records: dict[str, Record] = {}
    flags: dict[str, int] = {}
    order = count()
    queue: list[tuple[int, int, str]] = []

    def mark(name: str, flag: int) -> None:
        if flags.get(name, 0) | flag != flags.get(name):
            if name not in records:
                records[name] = read(name)
            flags[name] = flags.get(name, 0) | flag
            heapq.heappush(queue, (-records[name].time, next(order), name))

    mark(left, _LEFT)
    mark(right, _RIGHT)
    found: dict[str, Record] = {}
    # What only stands below a base that was found already needs no look.
    while any(not flags[name] & _BELOW for _, _, name in queue):
        name = heapq.heappop(queue)[2]
        flag = flags[name]
        if flag == _LEFT | _RIGHT:
            found[name] = records[name]
            flag |= _BELOW
        for parent in records[name].parents:
            mark(parent, flag)
    return _top({name: record for name, record in found.items() if not flags[name] & _BELOW}, read)


def _top(found: dict[str, Record], read: Read) -> str | None:
    """The newest commit that is no ancestor of another one: commits of one second come in any order above."""
    for name in sorted(found, key=lambda name: -found[name].time):
        others = (other for other in found if other != name)
        if not any(name == ancestor.id for other in others for ancestor in newest_first(other, read)):
            return name
    return None
