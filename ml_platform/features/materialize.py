"""Features of partitions in the store: incremental, content-addressed, with their history beside them."""

import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_objects
from ml_platform.datasets.store import NotFound, ObjectInfo
from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.parquet import write_frame
from ml_platform.references.refs import DatasetRef, ManifestEntry

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.declarations.dataset import DatasetSpec
    from ml_platform.declarations.features import FeatureSpec
    from ml_platform.features.history import History
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline.workspace import Workspace

#: Derived data: committed without an audit, since every reader re-reads the verdicts of its content.
BRANCH = "features"


class Stale(PlatformError):
    """Features stand on content or code that has been replaced since."""


class Standing(NamedTuple):
    """The partitions of a dataset at one moment."""

    published: dict[str, ObjectInfo]
    #: Refused, and nothing of them is published.
    refused: set[str]


class Materializer:
    """Builds, finds and reads the features of one feature set."""

    def __init__(self, workspace: "Workspace", spec: "FeatureSpec", dataset: "DatasetSpec") -> None:
        self.workspace, self.spec, self.dataset = workspace, spec, dataset

    @classmethod
    def of(cls, workspace: "Workspace", spec: "FeatureSpec", dataset: "DatasetSpec") -> "Materializer":
        """The one of this workspace: what it has read serves every step of the process."""
        name = f"features {spec.model_dump_json()} {dataset.model_dump_json()}"
        return workspace.shared(name, lambda: cls(workspace, spec, dataset))

    @cached_property
    def function(self) -> FeatureFunction:
        """The feature function."""
        return self.spec.load_function()

    @cached_property
    def code(self) -> str:
        """Version of the feature code, and of the declared age of history."""
        return f"{self.spec.code_version()}-{self.spec.history_lag}"

    @cached_property
    def _codes(self) -> tuple[str, ...]:
        """That version, and how earlier releases wrote the same: what they built is adopted."""
        from ml_platform.features.code import equal_versions

        return (self.code, *(f"{earlier}-{self.spec.history_lag}" for earlier in equal_versions(self.function)))

    def path(self, partition: str) -> str:
        """Path of a partition's features in the store."""
        return f"features/{self.spec.key}/{partition}.parquet"

    def history_path(self, partition: str) -> str:
        """Path of a partition's daily aggregates in the store."""
        return f"features/{self.spec.key}/history/{partition}.parquet"

    def materialize(self, refs: dict[str, DatasetRef], run: "Run") -> dict[str, DatasetRef]:
        """Features of the given published partitions; what is there already for the same inputs is adopted."""
        published = batches.published(self.workspace.store, self.dataset.name)
        held = self._refused(published)
        built: dict[str, DatasetRef] = {}
        with tempfile.TemporaryDirectory(prefix="features-") as folder:
            files: dict[str, Path] = {}
            metadata: dict[str, dict[str, str]] = {}
            pending: dict[str, dict[str, str]] = {}
            for partition in sorted(refs):
                inputs, refused = self._inputs(partition, published, held)
                known = self._stat(self.path(partition))
                if known is not None and known.metadata.get("key") in self._keys(inputs):
                    built[partition] = self._ref(partition, known, inputs, refused, run)
                    continue
                frame = self._build(partition, inputs)
                target = Path(folder) / f"{partition}.parquet"
                write_frame(frame, target)
                files[self.path(partition)] = target
                key = self._keys(inputs)[0]
                metadata[self.path(partition)] = {"key": key, "rows": str(frame.height), "code": self.code}
                self._add_history(partition, inputs, Path(folder), files, metadata)
                pending[partition] = inputs
            if files:
                commit_objects(
                    self.workspace.store,
                    BRANCH,
                    files,
                    run_id=run.id,
                    message=f"Features of {self.spec.key}: {', '.join(sorted(pending))}",
                    metadata={"code_commit": run.provenance.code_commit},
                    objects=metadata,
                )
            for partition, inputs in pending.items():
                info = self.workspace.store.stat(BRANCH, self.path(partition))
                _, refused = self._inputs(partition, published, held)
                built[partition] = self._ref(partition, info, inputs, refused, run)
        return dict(sorted(built.items()))

    def standing(self) -> "Standing":
        """What is published and what is refused now: asked once by those who look at many partitions."""
        published = batches.published(self.workspace.store, self.dataset.name)
        return Standing(published, self._refused(published))

    def check_current(self, ref: DatasetRef, standing: "Standing | None" = None) -> None:
        """Raise Stale unless ``ref`` was built by the current code from what is published now (or in ``standing``)."""
        inputs, _ = self._inputs(ref.partition, *(standing or self.standing()))
        way_out = f"materialize {self.spec.key} again for {ref.partition}"
        if ref.inputs != inputs:
            changed = sorted(
                name for name in ref.inputs.keys() | inputs.keys() if ref.inputs.get(name) != inputs.get(name)
            )
            raise Stale(f"{self.spec.key}/{ref.partition} is stale: {', '.join(changed)} changed since; {way_out}")
        info = self.workspace.store.stat(ref.commit, ref.path)
        if info.metadata.get("key") not in self._keys(inputs):
            raise Stale(f"{self.spec.key}/{ref.partition} is stale: its code or history_lag changed since; {way_out}")

    def read(self, ref: DatasetRef) -> "pl.DataFrame":
        """The features of a reference, verified."""
        return batches.read(self.workspace.store, ref)

    def raw(self, partition: str) -> "pl.DataFrame":
        """The published rows of a partition."""
        info = batches.published(self.workspace.store, self.dataset.name)[partition]
        return self._raw(partition, info.sha256)

    def raw_at(self, entry: ManifestEntry) -> "pl.DataFrame":
        """The rows that the features of a manifest entry were built from, by content."""
        name = f"{self.dataset.name}/{entry.partition}"
        return batches.read_batch(self.workspace.store, self.dataset.name, entry.partition, entry.inputs[name])

    def history_at(self, entry: ManifestEntry) -> "History":
        """The history that the features of a manifest entry were built from, by content."""
        return self._history(tuple((name.rpartition("/")[2], sha256) for name, sha256 in sorted(entry.inputs.items())))

    def published_partitions(self) -> list[str]:
        """Partitions that are published now, in order."""
        return sorted(batches.published(self.workspace.store, self.dataset.name))

    @lru_cache(maxsize=2)  # noqa: B019 - one materializer per process
    def _raw(self, partition: str, sha256: str) -> "pl.DataFrame":
        return batches.read_batch(self.workspace.store, self.dataset.name, partition, sha256)

    def tables(self, partitions: list[str]) -> "list[pl.DataFrame]":
        """Daily aggregates of published partitions."""
        published = batches.published(self.workspace.store, self.dataset.name)
        return [self._daily(partition, published[partition].sha256) for partition in partitions]

    def history(self, partitions: list[str]) -> "History":
        """The history over the given published partitions."""
        published = batches.published(self.workspace.store, self.dataset.name)
        return self._history(tuple((name, published[name].sha256) for name in partitions))

    @lru_cache(maxsize=2)  # noqa: B019 - several gates of one partition look at the same history
    def _history(self, content: tuple[tuple[str, str], ...]) -> "History":
        from ml_platform.features.history import History

        tables = [self._daily(partition, sha256) for partition, sha256 in content]
        return History.from_tables(self.function, tables, self.spec.history_lag)

    @lru_cache(maxsize=40)  # noqa: B019 - as above; a month of daily aggregates is some 4 MB
    def _daily(self, partition: str, sha256: str) -> "pl.DataFrame":
        from ml_platform.features.history import daily

        known = self._stat(self.history_path(partition))
        if known is not None and known.metadata.get("key") in self._history_keys(sha256):
            return batches.read_at(self.workspace.store, BRANCH, self.history_path(partition), known.sha256)
        return daily(self.function, self._raw(partition, sha256))

    def _history_keys(self, sha256: str) -> tuple[str, ...]:
        return tuple(sha256_bytes(f"{sha256} {code}") for code in self._codes)

    def _add_history(
        self,
        partition: str,
        inputs: dict[str, str],
        folder: Path,
        files: dict[str, Path],
        metadata: dict[str, dict[str, str]],
    ) -> None:
        """Keep the daily aggregates too: later partitions read them instead of the rows."""
        sha256 = inputs[f"{self.dataset.name}/{partition}"]
        table = self._daily(partition, sha256)
        target = folder / f"{partition}.history.parquet"
        write_frame(table, target)
        path = self.history_path(partition)
        files[path] = target
        metadata[path] = {"key": self._history_keys(sha256)[0], "rows": str(table.height)}

    def _build(self, partition: str, inputs: dict[str, str]) -> "pl.DataFrame":
        from ml_platform.features.build import build

        names = sorted(name.rpartition("/")[2] for name in inputs)
        raw = self._raw(partition, inputs[f"{self.dataset.name}/{partition}"])
        return build(self.function, raw, self.history(names))

    def _refused(self, published: dict[str, ObjectInfo]) -> set[str]:
        held = self.workspace.ledger.refused(self.dataset.prefix)
        names = {name.removeprefix(self.dataset.prefix) for name in held}
        return names - published.keys()

    def _inputs(
        self, partition: str, published: dict[str, ObjectInfo], held: set[str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Content that the features of a partition stand on, and the earlier partitions that were refused."""
        window = self.dataset.partitions.window(partition)
        needed = self.dataset.partitions.keys(window[1])
        gaps = [name for name in needed if name not in published and name not in held]
        if gaps:
            raise MissingReference(
                f"{self.spec.key}/{partition} needs the history of {', '.join(gaps)}, which is neither published "
                f"nor refused; materialize {self.dataset.name}/dataset for it first"
            )
        inputs = {f"{self.dataset.name}/{name}": published[name].sha256 for name in needed if name in published}
        return inputs, tuple(name for name in needed if name not in published)

    def _keys(self, inputs: dict[str, str]) -> tuple[str, ...]:
        """What features of these inputs are found by: the first is written, the others were."""
        return tuple(sha256_bytes(canonical_json({"inputs": inputs, "code": code})) for code in self._codes)

    def _stat(self, path: str) -> ObjectInfo | None:
        try:
            return self.workspace.store.stat(BRANCH, path)
        except NotFound:
            return None

    def _ref(
        self, partition: str, info: ObjectInfo, inputs: dict[str, str], refused: tuple[str, ...], run: "Run"
    ) -> DatasetRef:
        return DatasetRef(
            run_id=run.id,
            provenance=run.provenance,
            dataset=self.spec.key,
            partition=partition,
            branch=BRANCH,
            commit=self.workspace.store.resolve(BRANCH),
            path=self.path(partition),
            sha256=info.sha256,
            rows=int(info.metadata["rows"]),
            inputs=inputs,
            refused=refused,
        )
