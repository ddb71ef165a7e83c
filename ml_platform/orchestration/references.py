"""Between assets pass references: kept as JSON by run, with a pointer to the latest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import TypeAdapter

from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.settings import get_settings
from ml_platform.references.refs import AnyRef, Ref

_adapter: TypeAdapter[AnyRef] = TypeAdapter(AnyRef)


class References:
    """References on disk: ``<root>/<asset>/<partition>/<run id>.json`` and ``latest.json`` beside them."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or get_settings().local / "refs"

    def save(self, asset: str, partition: str | None, ref: Ref) -> None:
        """Keep a reference under its run and as the latest one."""
        text = ref.model_dump_json(indent=1)
        folder = self._folder(asset, partition)
        write_atomic(folder / f"{ref.run_id}.json", text)
        write_atomic(folder / "latest.json", text)

    def load(self, asset: str, partition: str | None, run_id: str | None = None) -> Any:
        """The reference of a run where it made one, else the latest. Raises MissingReference."""
        folder = self._folder(asset, partition)
        for name in (run_id, "latest"):
            if name is not None and (folder / f"{name}.json").exists():
                return _adapter.validate_json((folder / f"{name}.json").read_bytes())
        where = f"{asset}/{partition}" if partition else asset
        raise MissingReference(f"{where} was never materialized; materialize it first")

    def of_run(self, asset: str, partition: str | None, run_id: str) -> bool:
        """Whether that run made a reference."""
        return (self._folder(asset, partition) / f"{run_id}.json").exists()

    def partitions(self, asset: str) -> Iterator[str]:
        """Partitions of an asset that have a reference."""
        folder = self._folder(asset, None)
        yield from sorted(path.parent.name for path in folder.glob("*/latest.json"))

    def all(self, asset: str) -> dict[str, Any]:
        """The latest reference of every partition of an asset."""
        return {partition: self.load(asset, partition) for partition in self.partitions(asset)}

    def forget(self, asset: str, partition: str | None) -> None:
        """Let no reference be the latest; those of runs stay. What has none is no error."""
        (self._folder(asset, partition) / "latest.json").unlink(missing_ok=True)

    def _folder(self, asset: str, partition: str | None) -> Path:
        return self.root / asset / (partition or "")


class ReferenceIOManager(dg.IOManager):
    """Hands references on. A partitioned input is always a dict; partitions without a reference are left
    to the step, which knows whether they were refused or are missing."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Save one reference, or one for each partition."""
        references = References()
        asset = context.asset_key.to_user_string()
        if not context.has_asset_partitions:
            references.save(asset, None, obj)
            return
        for partition, ref in obj.items():
            references.save(asset, partition, ref)

    def load_input(self, context: dg.InputContext) -> Any:
        """Load one reference, or a dict by partition."""
        references = References()
        asset = context.asset_key.to_user_string()
        run_id = context.step_context.run_id
        if not context.has_asset_partitions:
            return references.load(asset, None, run_id)
        known = set(references.partitions(asset))
        return {
            partition: references.load(asset, partition, run_id)
            for partition in context.asset_partition_keys
            if partition in known
        }
