"""Features of partitions in the store: incremental, content-addressed, with their history beside them."""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_derived
from ml_platform.datasets.store import NotFound, ObjectInfo, VersionedStore
from ml_platform.features.contract import FeatureFunction, Refresh
from ml_platform.features.growing import Content, Growing, from_tables
from ml_platform.features.made import Made
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.references.refs import DatasetRef, ManifestEntry
from ml_platform.sources.partitions import Partitions

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.growing import MakeHistory
    from ml_platform.features.history import History

#: Derived data: committed without an audit, since every reader re-reads the verdicts of its content.
BRANCH = "features"


class Stale(PlatformError):
    """Features were made from content or code that has been replaced since."""


class PartitionState(NamedTuple):
    """The partitions of a dataset at one moment."""

    published: dict[str, ObjectInfo]
    #: Refused, and nothing of them is published.
    refused: set[str]
    #: What was made of the published ones.
    made: Made


class Materializer:
    """Builds, finds and reads the features of one feature set, and keeps what it has read.

    ``key`` names the feature set and ``dataset`` what it is made from, of which ``published`` gives what counts;
    ``lag`` is the declared age of history in days, ``refresh`` when it is refreshed.
    ``codes`` are the version of the feature code and other names for the same, ``refused`` the partitions whose newest
    batch is held back: both are asked when they are first needed, as is ``function``. ``history`` makes a history of
    daily tables, the first of which another history may hold already. ``made`` says what was made here of some names,
    and ``note`` keeps (sha256 and metadata, by name) what is: nothing else on the branch is adopted or read.
    """

    def __init__(
        self,
        store: VersionedStore,
        *,
        key: str,
        dataset: str,
        partitions: Partitions,
        published: Callable[[], dict[str, ObjectInfo]],
        lag: int,
        refresh: Refresh = "day",
        function: Callable[[], FeatureFunction],
        codes: Callable[[], Sequence[str]],
        refused: Callable[[], Collection[str]],
        history: "MakeHistory",
        made: Callable[[Iterable[str]], Made],
        note: Callable[[Mapping[str, tuple[str, Mapping[str, str]]], Run], None],
    ) -> None:
        self.store, self.key, self.dataset, self.partitions, self.lag = store, key, dataset, partitions, lag
        #: Partitions with which the history is refreshed; None: it follows each day, as it does with hours.
        self.refreshed = partitions if refresh == "partition" and not partitions.hourly else None
        self._published = published
        self._load_function, self._name_codes, self._ask_refused, self._make_history = function, codes, refused, history
        self._made, self._note = made, note

    @cached_property
    def function(self) -> FeatureFunction:
        """The feature function."""
        return self._load_function()

    @property
    def code(self) -> str:
        """Version of the feature code, and of the declared age and refresh of history."""
        return self._codes[0]

    @cached_property
    def _codes(self) -> tuple[str, ...]:
        """That version, and how earlier releases wrote the same: what they built is adopted."""
        when = "-partition" if self.refreshed else ""
        return tuple(f"{code}-{self.lag}{when}" for code in self._name_codes())

    def path(self, partition: str) -> str:
        """Path of a partition's features in the store."""
        return f"features/{self._name(partition)}.parquet"

    def history_path(self, partition: str) -> str:
        """Path of a partition's daily aggregates in the store."""
        return f"features/{self._history_name(partition)}.parquet"

    def _name(self, partition: str) -> str:
        return f"{self.key}/{partition}"

    def _history_name(self, partition: str) -> str:
        return f"{self.key}/history/{partition}"

    def materialize(self, refs: dict[str, DatasetRef], run: Run) -> dict[str, DatasetRef]:
        """Features of the given published partitions; what was made here already of the same inputs is adopted."""
        published = self._published()
        held = self._refused(published)
        made = self._made(self._name(partition) for partition in refs)
        inputs = {partition: self._inputs(partition, published, held) for partition in sorted(refs)}
        found: dict[str, ObjectInfo] = {}
        with tempfile.TemporaryDirectory(prefix="features-") as folder:
            files: dict[str, tuple[Path, str, dict[str, str]]] = {}
            contents: dict[str, str] = {}
            for partition, (content, _) in inputs.items():
                known = self._stat(self.path(partition))
                own = f"{self.dataset}/{partition}"
                if (
                    known is not None
                    and known.metadata.get("key") in self._keys(content)
                    and made.known(self._name(partition), known, content)
                ):
                    found[partition] = known
                    contents[own] = content[own]
                    continue
                frame = self._build(partition, content)
                labels = {"key": self._keys(content)[0], "rows": str(frame.height), "code": self.code}
                target = Path(folder) / f"{partition}.parquet"
                files[self._name(partition)] = target, write_frame(frame, target), labels
                contents |= content
            message = f"Features of {self.key}: {', '.join(sorted(inputs.keys() - found.keys()))}"
            self._add_histories(contents, Path(folder), files)
            adopted = {self._name(partition): (info.sha256, info.metadata) for partition, info in found.items()}
            self._note(adopted | {name: (sha256, labels) for name, (_, sha256, labels) in files.items()}, run)
            put = {f"features/{name}.parquet": one for name, one in files.items()}
            objects = {path: labels for path, (_, _, labels) in put.items()}
            commit_derived(self.store, BRANCH, {path: one[0] for path, one in put.items()}, run, message, objects)
        return {
            partition: self._ref(
                partition, found.get(partition) or self.store.stat(BRANCH, self.path(partition)), *one, run
            )
            for partition, one in inputs.items()
        }

    def partition_state(self) -> "PartitionState":
        """What is published and what is refused now: asked once by those who look at many partitions."""
        published = self._published()
        return PartitionState(published, self._refused(published), self._made(map(self._name, published)))

    def require_stored(self, ref: DatasetRef, made: Made | None = None) -> ObjectInfo:
        """What the store has of a reference, which is a file. Raises Stale unless it names that as it is, and that was
        made here, as ``made`` says or what is asked now."""
        name, way_out = f"{self.key}/{ref.partition}", f"materialize {self.key} again for {ref.partition}"
        try:
            info = self.store.stat(ref.commit, self.path(ref.partition))
        except NotFound as error:
            raise Stale(f"{name}: the commit that its reference names has it not ({error}); {way_out}") from None
        named = {"path": ref.path, "content": ref.sha256, "rows": str(ref.rows)}
        held = {"path": self.path(ref.partition), "content": info.sha256, "rows": info.metadata.get("rows")}
        if wrong := [fact for fact, value in named.items() if held[fact] != value]:
            said = ", ".join(f"{fact} {named[fact]}, the store has {held[fact]}" for fact in wrong)
            raise Stale(f"{name}: its reference was edited: it names {said}; {way_out}")
        # What was asked before may be older than the content.
        if not any(one.known(name, info, ref.inputs) for one in self._asked(name, made)):
            raise Stale(f"{name}: the ledger names no making of this content ({info.sha256[:12]}); {way_out}")
        return info

    def _asked(self, name: str, made: Made | None) -> Iterator[Made]:
        if made is not None:
            yield made
        yield self._made([name])

    def check_current(self, ref: DatasetRef, state: "PartitionState | None" = None) -> None:
        """Raise Stale unless ``ref`` was built by the current code from what is published now (or in ``state``), and
        names what the store has of it (:meth:`require_stored`)."""
        state = state or self.partition_state()
        inputs, _ = self._inputs(ref.partition, state.published, state.refused)
        way_out = f"materialize {self.key} again for {ref.partition}"
        if ref.inputs != inputs:
            changed = sorted(
                name for name in ref.inputs.keys() | inputs.keys() if ref.inputs.get(name) != inputs.get(name)
            )
            raise Stale(f"{self.key}/{ref.partition} is stale: {', '.join(changed)} changed since; {way_out}")
        if self.require_stored(ref, state.made).metadata.get("key") not in self._keys(inputs):
            raise Stale(f"{self.key}/{ref.partition} is stale: its code or history_lag changed since; {way_out}")

    def read(self, ref: DatasetRef) -> "pl.DataFrame":
        """The features of a reference, verified."""
        return batches.read(self.store, ref)

    def raw(self, partition: str) -> "pl.DataFrame":
        """The published rows of a partition."""
        info = self._published()[partition]
        return self._raw(partition, info.sha256)

    def raw_at(self, entry: ManifestEntry) -> "pl.DataFrame":
        """The rows that the features of a manifest entry were built from, by content."""
        name = f"{self.dataset}/{entry.partition}"
        return batches.read_batch(self.store, self.dataset, entry.partition, entry.inputs[name])

    def history_at(self, entry: ManifestEntry) -> "History":
        """The history that the features of a manifest entry were built from, by content."""
        return self._history(tuple((name.rpartition("/")[2], sha256) for name, sha256 in sorted(entry.inputs.items())))

    def published_partitions(self) -> list[str]:
        """Partitions that are published now, in order."""
        return sorted(self._published())

    @lru_cache(maxsize=2)  # noqa: B019 - one materializer per process
    def _raw(self, partition: str, sha256: str) -> "pl.DataFrame":
        return batches.read_batch(self.store, self.dataset, partition, sha256)

    def history(self, partitions: list[str], days: "pl.DataFrame | None" = None) -> "History":
        """The history over the given published partitions, by the step that this materializer was given.

        ``days`` are raw rows of days after those partitions, whose outcomes count too.
        """
        history = self._history(self._published_content(partitions))
        if days is None:
            return history
        from ml_platform.features.history import daily

        tables = [*history.tables, daily(self.function, days)]
        return self._make_history(self.function, tables, self.lag, history).as_refreshed(self.refreshed)

    def declared_history(self, partitions: list[str]) -> "History":
        """The history that the declaration means: whatever step makes the features, they are compared with this."""
        return self._declared.history(self._published_content(partitions))

    def _published_content(self, partitions: list[str]) -> "Content":
        published = self._published()
        return tuple((name, published[name].sha256) for name in partitions)

    def _history(self, content: "Content") -> "History":
        return self._given.history(content)

    @cached_property
    def _given(self) -> "Growing":
        return self._growing(self._make_history)

    @cached_property
    def _declared(self) -> "Growing":
        return self._given if self._make_history is from_tables else self._growing(from_tables)

    def _growing(self, make: "MakeHistory") -> "Growing":
        from ml_platform.features.history import of_hours

        def made(tables: "Sequence[pl.DataFrame]", content: Content, known: "History | None") -> "History":
            if self.partitions.hourly:
                return make(self.function, of_hours(tables), self.lag, None).opened()
            timed = content and self.partitions.timed
            through = self.partitions.window(max(content)[0])[1] - timedelta(days=1) if timed else None
            return make(self.function, tables, self.lag, known).as_refreshed(self.refreshed, through)

        return Growing(self._daily, made)

    @lru_cache(maxsize=40)  # noqa: B019 - one materializer per process; a month of daily aggregates is some 4 MB
    def _daily(self, partition: str, sha256: str) -> "pl.DataFrame":
        from ml_platform.features.history import daily

        if (known := self._stored_table(partition, sha256)) is not None:
            return batches.read_at(self.store, BRANCH, known.path, known.sha256)
        return daily(self.function, self._raw(partition, sha256))

    def _stored_table(self, partition: str, sha256: str, made: Made | None = None) -> ObjectInfo | None:
        """The daily aggregates of a content, where they were made here, as ``made`` says or what is asked now, and are
        there."""
        known, name = self._stat(self.history_path(partition)), self._history_name(partition)
        if known is None or known.metadata.get("key") not in self._history_keys(sha256):
            return None
        return known if (made or self._made([name])).named(name, known.sha256, known.metadata) else None

    def _history_keys(self, sha256: str) -> tuple[str, ...]:
        return tuple(sha256_bytes(f"{sha256} {code}") for code in self._codes)

    def _add_histories(
        self, contents: Mapping[str, str], folder: Path, files: dict[str, tuple[Path, str, dict[str, str]]]
    ) -> None:
        """Keep the daily aggregates that are not there: later partitions read them instead of the rows."""
        partitions = {name.rpartition("/")[2]: sha256 for name, sha256 in sorted(contents.items())}
        # Asked once: each has all that came before it among its inputs.
        there = self._made(map(self._history_name, partitions))
        for partition, sha256 in partitions.items():
            if self._stored_table(partition, sha256, there) is None:
                table, target = self._daily(partition, sha256), folder / f"{partition}.history.parquet"
                made, keys = write_frame(table, target), self._history_keys(sha256)
                known = self._stat(self.history_path(partition))
                # Where an earlier release made the same, it stays under the key that it has.
                equal = known is not None and known.sha256 == made and known.metadata.get("key") in keys
                labels = {"key": known.metadata["key"] if known and equal else keys[0], "rows": str(table.height)}
                files[self._history_name(partition)] = target, made, labels

    def _build(self, partition: str, inputs: dict[str, str]) -> "pl.DataFrame":
        from ml_platform.features.build import build

        names = sorted(name.rpartition("/")[2] for name in inputs)
        raw = self._raw(partition, inputs[f"{self.dataset}/{partition}"])
        return build(self.function, raw, self.history(names))

    def _refused(self, published: dict[str, ObjectInfo]) -> set[str]:
        return set(self._ask_refused()) - published.keys()

    def _inputs(
        self, partition: str, published: dict[str, ObjectInfo], held: set[str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Content that the features of a partition are made from, and the earlier partitions that were refused."""
        window = self.partitions.window(partition)
        needed = self.partitions.keys(window[1])
        gaps = [name for name in needed if name not in published and name not in held]
        if gaps:
            raise MissingReference(
                f"{self.key}/{partition} needs the history of {', '.join(gaps)}, which is neither published "
                f"nor refused; materialize {self.dataset}/dataset for it first"
            )
        inputs = {f"{self.dataset}/{name}": published[name].sha256 for name in needed if name in published}
        return inputs, tuple(name for name in needed if name not in published)

    def _keys(self, inputs: dict[str, str]) -> tuple[str, ...]:
        """What features of these inputs are found by: the first is written, the others were."""
        return tuple(sha256_bytes(canonical_json({"inputs": inputs, "code": code})) for code in self._codes)

    def _stat(self, path: str) -> ObjectInfo | None:
        try:
            return self.store.stat(BRANCH, path)
        except NotFound:
            return None

    def _ref(
        self, partition: str, info: ObjectInfo, inputs: dict[str, str], refused: tuple[str, ...], run: Run
    ) -> DatasetRef:
        return DatasetRef(
            run_id=run.id,
            provenance=run.provenance,
            dataset=self.key,
            partition=partition,
            branch=BRANCH,
            commit=self.store.resolve(BRANCH),
            path=self.path(partition),
            sha256=info.sha256,
            rows=int(info.metadata["rows"]),
            inputs=inputs,
            refused=refused,
        )
