"""The merge base of two commits, through commits that were compared with their names first.

libgit2 finds it too, but reads the commits on the way by itself, and with some damaged ones never ends. Which ones it
will read is known only after the search, and comparing a whole history (some 50 µs for each commit) before each first
merge is too much; so the search is done here. It trusts no commit's time, since clocks go back.
"""

import heapq
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import Any, Protocol


class Record(Protocol):
    """What is asked of a commit; ``pygit2.Commit`` has it."""

    @property
    def parent_ids(self) -> Sequence[Any]: ...
    @property
    def commit_time(self) -> int: ...


Read = Callable[[Any], Record]
_LEFT, _RIGHT, _BELOW = 1, 2, 4


def merge_base(left: Hashable, right: Hashable, read: Read) -> Any:
    """Id of a commit that both descend from (or are), below no other such commit, as ``git merge-base`` finds it.

    Of several the newest; ``None`` where there is none. Reads commits up to about the time of the base only.
    """
    records: dict[Hashable, Record] = {}
    flags: dict[Hashable, int] = {}
    order = count()
    queue: list[tuple[int, int, Hashable]] = []

    def mark(name: Hashable, flag: int) -> None:
        if flags.get(name, 0) | flag != flags.get(name):
            if name not in records:
                records[name] = read(name)
            flags[name] = flags.get(name, 0) | flag
            heapq.heappush(queue, (-records[name].commit_time, next(order), name))

    mark(left, _LEFT)
    mark(right, _RIGHT)
    found: set[Hashable] = set()
    # What only stands below a base that was found already needs no look.
    while any(not flags[name] & _BELOW for _, _, name in queue):
        name = heapq.heappop(queue)[2]
        flag = flags[name]
        if flag == _LEFT | _RIGHT:
            found.add(name)
            flag |= _BELOW
        for parent in records[name].parent_ids:
            mark(parent, flag)
    # Commits of one second come in any order above, so that some may stand below others still.
    best = sorted((name for name in found if not flags[name] & _BELOW), key=lambda name: -records[name].commit_time)
    return next((name for name in best if not any(_below(name, other, read) for other in best if other != name)), None)


def _below(name: Hashable, other: Hashable, read: Read) -> bool:
    """Whether a commit is an ancestor of another one."""
    waiting, seen = [other], {other}
    while waiting:
        for parent in read(waiting.pop()).parent_ids:
            if parent == name:
                return True
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False
