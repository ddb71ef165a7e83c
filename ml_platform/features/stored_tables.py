"""What is kept of the past beside features, by content: sums of each partition's days, and the state after it.

Both are derived data on one branch. Whoever may write to the store can put other content there: what counts is what was
made here, by the ledger, from exactly this content and by this code.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.datasets import batches
from ml_platform.datasets.store import NotFound, ObjectInfo, VersionedStore
from ml_platform.features.contract import FeatureFunction
from ml_platform.features.growing import Content
from ml_platform.features.made import Made
from ml_platform.features.state import FORMAT
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.parquet import write_frame
from ml_platform.sources.partitions import Partitions

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.history import History

#: Derived data: committed without an audit, since every reader re-reads the verdicts of its content.
BRANCH = "features"
#: File, its sha256 and its labels, by name.
Files = dict[str, tuple[Path, str, dict[str, str]]]


def stat(store: VersionedStore, path: str) -> ObjectInfo | None:
    """What the branch has at a path; None where nothing."""
    try:
        return store.stat(BRANCH, path)
    except NotFound:
        return None


class StoredTables:
    """Daily sums and states of one feature set: read where they were made here, else made.

    ``key`` names the feature set, ``raw`` gives the rows of a partition's content, ``codes`` the version of the feature
    code and other names for the same, ``made`` what was made here of some names.
    """

    def __init__(
        self,
        store: VersionedStore,
        key: str,
        *,
        function: Callable[[], FeatureFunction],
        codes: Callable[[], Sequence[str]],
        raw: "Callable[[str, str], pl.DataFrame]",
        made: Callable[[Iterable[str]], Made],
    ) -> None:
        self._store, self._key, self._raw, self._made = store, key, raw, made
        self._function, self._codes = function, codes

    def name(self, partition: str, what: str = "history") -> str:
        """What the ledger calls the daily sums of a partition, or its ``state``."""
        return f"{self._key}/{what}/{partition}"

    @lru_cache(maxsize=40)  # noqa: B019 - one per process; a month of daily aggregates is some 4 MB
    def daily(self, partition: str, sha256: str) -> "pl.DataFrame":
        """The daily sums of a partition's content."""
        from ml_platform.features.history import daily

        if (known := self._stored(self.name(partition), self._keys(sha256))) is not None:
            return batches.read_at(self._store, BRANCH, known.path, known.sha256)
        return daily(self._function(), self._raw(partition, sha256))

    def add_daily(self, content: Sequence[tuple[str, str]], folder: Path, files: Files) -> None:
        """Keep the daily sums that are not there: later partitions read them instead of the rows."""
        # Asked once: each partition has all that came before it among its inputs.
        there = self._made(self.name(partition) for partition, _ in content)
        for partition, sha256 in content:
            name, keys = self.name(partition), self._keys(sha256)
            if self._stored(name, keys, there) is None:
                self._add(name, keys, self.daily(partition, sha256), folder / f"{partition}.history.parquet", files)

    def state(self, partition: str, chain: str) -> "pl.DataFrame | None":
        """The state after a partition that was made of content of this ``chain``; None where it is not there."""
        known = self._stored(self.name(partition, "state"), self._keys(f"{chain} {FORMAT}"))
        return batches.read_at(self._store, BRANCH, known.path, known.sha256) if known is not None else None

    def add_state(self, partition: str, chain: str, table: "pl.DataFrame", folder: Path, files: Files) -> None:
        """Keep a state, unless it is there."""
        name, keys = self.name(partition, "state"), self._keys(f"{chain} {FORMAT}")
        if self._stored(name, keys) is None:
            self._add(name, keys, table, folder / f"{partition}.state.parquet", files)

    def _stored(self, name: str, keys: Sequence[str], made: Made | None = None) -> ObjectInfo | None:
        """What has one of the keys, where it was made here, as ``made`` says or what is asked now, and is there."""
        known = stat(self._store, f"features/{name}.parquet")
        if known is None or known.metadata.get("key") not in keys:
            return None
        return known if (made or self._made([name])).named(name, known.sha256, known.metadata) else None

    def _add(self, name: str, keys: Sequence[str], table: "pl.DataFrame", target: Path, files: Files) -> None:
        made, known = write_frame(table, target), stat(self._store, f"features/{name}.parquet")
        # Where an earlier release made the same, it stays under the key that it has.
        equal = known is not None and known.sha256 == made and known.metadata.get("key") in keys
        labels = {"key": known.metadata["key"] if known and equal else keys[0], "rows": str(table.height)}
        files[name] = target, made, labels

    def _keys(self, content: str) -> tuple[str, ...]:
        return tuple(sha256_bytes(f"{content} {code}") for code in self._codes())


def chains(content: Content) -> list[str]:
    """A hash for each partition of it and of all before it: of names and content, each after the one before."""
    found, last = list[str](), ""
    for partition, sha256 in content:
        found.append(last := sha256_bytes(f"{last} {partition} {sha256}"))
    return found


class RunningHistory:
    """Histories for the rows of one partition after the other, from the state before it: what is read for one does not
    grow with the number of those before.

    A correction changes the chain of every partition from it on, so that the states from there on are made anew from
    the one before it.
    """

    def __init__(
        self,
        tables: StoredTables,
        partitions: Partitions,
        lag: int,
        refreshed: Partitions | None,
        function: Callable[[], FeatureFunction],
    ) -> None:
        self._tables, self._partitions, self._lag, self._refreshed = tables, partitions, lag, refreshed
        self._function = function
        #: The state of the content that was asked for last, by its chain.
        self._held: dict[str, pl.DataFrame] = {}
        #: Partitions whose daily sums were read for the newest history, with their content.
        self.read: Content = ()

    def of(self, content: Content) -> "History | None":
        """The history for rows of the newest partition of a content; None where only the whole one can tell."""
        from ml_platform.features.history import History

        if (before := self.before(content)) is None:
            return None
        tables = [self._tables.daily(*content[-1])]
        made = History.from_tables(self._function(), tables, self._lag, before)
        return made.as_refreshed(self._refreshed, self._last_day(content))

    def before(self, content: Content) -> "History | None":
        """:meth:`of`, without the outcomes of that partition."""
        from ml_platform.features.history import History

        if (state := self.state(content[:-1])) is None or not self._within(content[-1]):
            return None
        since, _ = self._partitions.window(content[-1][0])
        resumed = History.resumed(self._function(), state, self._lag, since)
        return resumed.as_refreshed(self._refreshed, self._last_day(content[:-1]))

    def state(self, content: Content) -> "pl.DataFrame | None":
        """The state after a content; None where a partition has outcomes of days that are not its own."""
        from ml_platform.features.history import History

        links = chains(content)
        known, state = self._newest(content, links)
        function, added = self._function(), content[known:]
        self.read = added
        if state is None:
            state = History.from_tables(function, (), self._lag).carried(self._partitions.start)
        if added:
            if not all(map(self._within, added)):
                return None
            since, (_, end) = self._partitions.window(added[0][0])[0], self._partitions.window(added[-1][0])
            held = History.resumed(function, state, self._lag, since)
            tables = [self._tables.daily(*one) for one in added]
            state = History.from_tables(function, tables, self._lag, held).carried(end)
        self._held = {links[-1] if links else "": state}
        return state

    def keep(self, content: Content, folder: Path, files: Files) -> None:
        """Keep the state after a content, unless it is there or there is none."""
        if (state := self.state(content)) is not None:
            self._tables.add_state(content[-1][0], chains(content)[-1], state, folder, files)

    def _newest(self, content: Content, links: Sequence[str]) -> "tuple[int, pl.DataFrame | None]":
        """How many partitions the newest state has that this content begins with, and that state."""
        for count in range(len(content), 0, -1):
            link = links[count - 1]
            state = self._held.get(link)
            if state is None:
                state = self._tables.state(content[count - 1][0], link)
            if state is not None:
                return count, state
        return 0, None

    def _last_day(self, content: Content) -> date | None:
        return self._partitions.window(content[-1][0])[1] - timedelta(days=1) if content else None

    def _within(self, one: tuple[str, str]) -> bool:
        """Whether all days of a partition's outcomes are its own."""
        days = self._tables.daily(*one)["day"]
        begin, end = self._partitions.window(one[0])
        return not len(days) or (days.min() >= begin and days.max() < end)  # type: ignore[operator]


def as_content(inputs: Mapping[str, str]) -> Content:
    """Partitions and the content of each, in order, from what features were made from."""
    return tuple((name.rpartition("/")[2], sha256) for name, sha256 in sorted(inputs.items()))
