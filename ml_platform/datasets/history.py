"""What happened to a dataset: its publications, and the difference between two of its states, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_platform.datasets.batches import batch_path, batches_at, read_at
from ml_platform.datasets.quarantine import count_of
from ml_platform.datasets.store import MAIN, Commit, NotFound, VersionedStore
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl


class Known(Protocol):
    """What the ledger knows of ``main``: commits say what they are, and whoever may write to the store can
    let one say anything."""

    def __call__(self, dataset: str, partition: str, sha256: str, then: str | None = None, /) -> bool:
        """Whether a partition ever was published with a content; where that is empty, whether it was taken out before
        ``then`` was published, or is out now where that is None."""
        ...


class Publication(NamedTuple):
    """One change of a partition on ``main``."""

    commit: str
    created: datetime
    partition: str
    #: What ``main`` holds since; empty where the partition was withdrawn.
    sha256: str
    rows: int
    quarantined: int
    #: Content that was withdrawn; empty for a publication.
    rolled_back: str
    #: Why, for a rollback.
    reason: str
    #: Who wanted the rollback; empty for a publication, and in commits of earlier releases.
    by: str
    run_id: str
    code_commit: str


#: What a server adds to the metadata of a commit that was copied from elsewhere, its other metadata included.
_COPIED = "cherry-pick-origin"
_FACTS = {"ledger_head", "dataset", "partition", "sha256", "rows"}


def facts_of(commit: Commit) -> Mapping[str, str] | None:
    """What a commit on ``main`` says that the platform published or took back by it; None where it says nothing."""
    facts = commit.metadata
    return facts if facts.keys() >= _FACTS and _COPIED not in facts else None


def publications(
    store: VersionedStore, dataset: str, partition: str | None = None, *, known: Known
) -> Iterator[Publication]:
    """Publications and rollbacks of a dataset, or of one partition, newest first; those that are ``known`` only."""
    newer: dict[str, str] = {}
    for commit in store.log(MAIN):
        facts = facts_of(commit)
        if facts is None or facts["dataset"] != dataset:
            continue
        name = facts["partition"]
        if partition not in (None, name) or not known(dataset, name, facts["sha256"], newer.get(name)):
            continue
        newer[name] = facts["sha256"]
        yield Publication(
            commit=commit.id,
            created=commit.created,
            partition=name,
            sha256=facts["sha256"],
            rows=int(facts["rows"]),
            quarantined=count_of(store.stat(commit.id, batch_path(dataset, name))) if facts["sha256"] else 0,
            rolled_back=facts.get("rolled_back", ""),
            reason=facts.get("reason", ""),
            by=facts.get("by", ""),
            run_id=facts.get("run_id", ""),
            code_commit=facts.get("code_commit", ""),
        )


def earlier_contents(store: VersionedStore, dataset: str, partition: str, *, known: Known) -> list[str]:
    """Contents of a partition, oldest first, up to the one that ``main`` holds; what was withdrawn is not among them.

    An empty text stands for a withdrawal.
    """
    stack: list[str] = []
    for item in reversed(list(publications(store, dataset, partition, known=known))):
        if item.rolled_back and item.sha256 in stack:
            del stack[stack.index(item.sha256) + 1 :]
        elif not stack or stack[-1] != item.sha256:
            stack.append(item.sha256)
    return stack


class Difference(NamedTuple):
    """How a partition differs between two states."""

    partition: str
    #: Contents; empty where the partition is not there.
    left: str
    right: str
    #: Rows by key: only right, only left, in both with other values, in both and equal.
    added: int
    removed: int
    changed: int
    equal: int
    #: Column to how many common rows differ in it, most first.
    columns: dict[str, int]
    #: Columns (with their type) on one side only; another type counts as another column.
    new_columns: tuple[str, ...]
    lost_columns: tuple[str, ...]
    #: Column to how many of those rows have a value on the right only.
    filled: dict[str, int] = {}  # noqa: RUF012 - of a NamedTuple, never changed


def differences(
    store: VersionedStore, dataset: str, left: str, right: str, key: Sequence[str], partition: str | None = None
) -> list[Difference]:
    """Partitions whose content differs between two references (commit, tag or branch), with row counts.

    Raises NotFound for an unknown reference, and for a ``partition`` that neither has.
    """
    before, after = (
        {name: info.sha256 for name, info in batches_at(store, store.resolve(ref), dataset).items()}
        for ref in (left, right)
    )
    names = sorted(before.keys() | after.keys())
    if partition is not None:
        if partition not in names:
            raise NotFound(f"{dataset}: neither {left} nor {right} has partition {partition}")
        names = [partition]
    found = []
    for name in names:
        if before.get(name) == after.get(name):
            continue
        path = batch_path(dataset, name)
        frames = [
            read_at(store, ref, path, sha256) if sha256 else None
            for ref, sha256 in ((left, before.get(name)), (right, after.get(name)))
        ]
        found.append(compare(name, frames[0], frames[1], key, before.get(name, ""), after.get(name, "")))
    return found


def compare(
    name: str,
    left: "pl.DataFrame | None",
    right: "pl.DataFrame | None",
    key: Sequence[str],
    left_sha256: str = "",
    right_sha256: str = "",
) -> Difference:
    """Compare two tables row by row; rows that repeat a key are compared in their order.

    Raises PlatformError where a key column is missing on a side.
    """
    import polars as pl

    if left is None or right is None:
        return Difference(
            name,
            left_sha256,
            right_sha256,
            added=right.height if right is not None else 0,
            removed=left.height if left is not None else 0,
            changed=0,
            equal=0,
            columns={},
            new_columns=(),
            lost_columns=(),
        )
    for side, frame in (("left", left), ("right", right)):
        if lacking := [column for column in key if column not in frame.columns]:
            raise PlatformError(f"{name}: the {side} side lacks the key columns {', '.join(lacking)}")
    old, new = ({f"{column} {kind}": column for column, kind in frame.schema.items()} for frame in (left, right))
    lost, gained = (tuple(sorted(one.keys() - two.keys())) for one, two in ((old, new), (new, old)))
    common = [column for text, column in old.items() if text in new and column not in key]
    # Rows of one key are told apart by their order, so that none is counted twice.
    order = pl.int_range(pl.len()).over(*key).alias(_ORDER)
    pairs = left.select(*key, order, *common).join(
        right.select(*key, order, *common), on=[*key, _ORDER], how="inner", suffix=_RIGHT, nulls_equal=True
    )
    both = pairs.select(pl.col(column).ne_missing(pl.col(column + _RIGHT)) for column in common)
    known = pairs.select(pl.col(column).is_null() & pl.col(column + _RIGHT).is_not_null() for column in common)
    # Without a common column a join of keys alone still counts the rows in both.
    matched = left.select(*key, order).join(right.select(*key, order), on=[*key, _ORDER], how="inner", nulls_equal=True)
    changed = int(both.select(pl.any_horizontal(pl.all())).to_series().sum()) if common else 0
    counts = both.sum().row(0, named=True) if common else {}
    return Difference(
        name,
        left_sha256,
        right_sha256,
        added=right.height - matched.height,
        removed=left.height - matched.height,
        changed=changed,
        equal=matched.height - changed,
        columns=dict(sorted(((c, n) for c, n in counts.items() if n), key=lambda item: -item[1])),
        new_columns=gained,
        lost_columns=lost,
        filled={c: n for c, n in known.sum().row(0, named=True).items() if n} if common else {},
    )


_ORDER, _RIGHT = "__order__", "__right__"
