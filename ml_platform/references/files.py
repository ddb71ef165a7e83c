"""References as files: ``<root>/<asset>/<partition>/<run id>.json`` and ``latest.json`` beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.foundation.files import write_atomic
from ml_platform.references.references import missing
from ml_platform.references.refs import AnyRef, DatasetRef, Ref, read, written

_LATEST = "latest"


class Kept(NamedTuple):
    """A reference as it lies on disk."""

    asset: str
    partition: str
    run_id: str
    text: str
    latest: bool


class FileReferences:
    """References in a folder of one machine (see :class:`~ml_platform.references.references.References`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, asset: str, partition: str, ref: Ref) -> None:
        """Keep a reference under its run and as the latest one."""
        text = written(ref, indent=1)
        folder = self._folder(asset, partition)
        write_atomic(folder / f"{ref.run_id}.json", text)
        write_atomic(folder / f"{_LATEST}.json", text)

    def load(self, asset: str, partition: str = "", run_id: str = "") -> Any:
        """The reference of a run where it made one, else the latest. Raises MissingReference."""
        folder = self._folder(asset, partition)
        for name in (run_id, _LATEST):
            if name and (folder / f"{name}.json").exists():
                return self._read(folder / f"{name}.json")
        raise missing(asset, partition)

    def all(self, asset: str) -> dict[str, Any]:
        """Partition to its latest reference."""
        return {partition: self.load(asset, partition) for partition in self.partitions(asset)}

    def partitions(self, asset: str) -> list[str]:
        """Partitions that have a latest reference, sorted."""
        return sorted(path.parent.name for path in self._folder(asset, "").glob(f"*/{_LATEST}.json"))

    def of_run(self, asset: str, partition: str, run_id: str) -> bool:
        """Whether that run made a reference."""
        return (self._folder(asset, partition) / f"{run_id}.json").exists()

    def forget(self, asset: str, partition: str) -> None:
        """Let no reference be the latest."""
        (self._folder(asset, partition) / f"{_LATEST}.json").unlink(missing_ok=True)

    def kept(self) -> Iterator[Kept]:
        """Every reference, of runs and the latest ones. Raises PlatformError for a file that holds none."""
        for folder in sorted({path.parent for path in self.root.rglob("*.json")}):
            latest = folder / f"{_LATEST}.json"
            newest = self._read(latest) if latest.exists() else None
            for path in sorted(folder.glob("*.json")):
                ref = self._read(path)
                if path != latest:
                    yield self._kept(folder, ref, newest is not None and ref.run_id == newest.run_id)
            if newest is not None and not (folder / f"{newest.run_id}.json").exists():
                yield self._kept(folder, newest, True)

    def _kept(self, folder: Path, ref: AnyRef, latest: bool) -> Kept:
        parts = folder.relative_to(self.root).parts
        # Only content of datasets and feature sets has partitions, and it names its own.
        partition = ref.partition if isinstance(ref, DatasetRef) and parts[-1] == ref.partition else ""
        asset = "/".join(parts[:-1] if partition else parts)
        return Kept(asset, partition, ref.run_id, ref.model_dump_json(), latest)

    def _read(self, path: Path) -> AnyRef:
        return read(path.read_bytes(), str(path.relative_to(self.root)))

    def _folder(self, asset: str, partition: str) -> Path:
        return self.root / asset / partition
