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
from ml_platform.features.stored_tables import BRANCH, Files, RunningHistory, StoredTables, as_content, stat
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
        return f"features/{self._tables.name(partition)}.parquet"

    def _name(self, partition: str) -> str:
        return f"{self.key}/{partition}"

    def materialize(self, refs: dict[str, DatasetRef], run: Run) -> dict[str, DatasetRef]:
        """Features of the given published partitions; what was made here already of the same inputs is adopted."""
        published = self._published()
        held = self._refused(published)
        made = self._made(self._name(partition) for partition in refs)
        inputs = {partition: self._inputs(partition, published, held) for partition in sorted(refs)}
        found: dict[str, ObjectInfo] = {}
        with tempfile.TemporaryDirectory(prefix="features-") as folder:
            files: Files = {}
            adopted: dict[str, tuple[str, Mapping[str, str]]] = {}
            for partition, (content, _) in inputs.items():
                known = stat(self.store, self.path(partition))
                if (
                    known is not None
                    and known.metadata.get("key") in self._keys(content)
                    and made.known(self._name(partition), known, content)
                ):
                    found[partition] = known
                    adopted[self._name(partition)] = known.sha256, known.metadata
                    continue
                frame = self._build(as_content(content), Path(folder), files)
                labels = {"key": self._keys(content)[0], "rows": str(frame.height), "code": self.code}
                target = Path(folder) / f"{partition}.parquet"
                files[self._name(partition)] = target, write_frame(frame, target), labels
            message = f"Features of {self.key}: {', '.join(sorted(inputs.keys() - found.keys()))}"
            # What an earlier release made may lack its daily sums.
            self._tables.add_daily([as_content(inputs[name][0])[-1] for name in found], Path(folder), files)
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
        return self._history(as_content(entry.inputs))

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

    def history_of_newest(self, partitions: list[str]) -> "History":
        """:meth:`history`, as far as the rows of the newest of these partitions need it."""
        content = self._published_content(partitions)
        own = self._own(content)
        return own if own is not None else self._history(content)

    def declared_before_newest(self, partitions: list[str]) -> "History":
        """:meth:`declared_history` without the newest of these partitions, as far as the rows of that need it."""
        content = self._published_content(partitions)
        before = self._running.before(content) if self._has_states else None
        return before if before is not None else self._declared.history(content[:-1])

    def _own(self, content: "Content") -> "History | None":
        return self._running.of(content) if self._goes_on else None

    @property
    def _has_states(self) -> bool:
        return bool(self.partitions.timed and not self.partitions.hourly and self.function.histories)

    @property
    def _goes_on(self) -> bool:
        """Whether the step that this materializer was given may go on from a state: one of its own is asked for all."""
        return self._has_states and self._make_history is from_tables

    @cached_property
    def _tables(self) -> StoredTables:
        return StoredTables(
            self.store,
            self.key,
            function=lambda: self.function,
            codes=lambda: self._codes,
            raw=self._raw,
            made=self._made,
        )

    @cached_property
    def _running(self) -> RunningHistory:
        return RunningHistory(self._tables, self.partitions, self.lag, self.refreshed, lambda: self.function)

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

        return Growing(self._tables.daily, made)

    def _build(self, content: "Content", folder: Path, files: Files) -> "pl.DataFrame":
        """The features of the newest partition; beside them is kept what later ones are made from."""
        from ml_platform.features.build import build

        history, read = self._own(content), (*self._running.read, content[-1])
        if history is None:
            history, read = self._history(content), content
        self._tables.add_daily(read, folder, files)
        if self._goes_on:
            self._running.keep(content, folder, files)
        return build(self.function, self._raw(*content[-1]), history)

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
