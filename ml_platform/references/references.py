"""The port to what keeps references: by run, with a pointer to the latest of each partition."""

from typing import Any, Protocol

from ml_platform.foundation.errors import MissingReference
from ml_platform.references.refs import Ref


class References(Protocol):
    """References of assets (``<owner>/<name>``). ``partition`` is empty for an asset without partitions.

    Made by the function that ``ML_PLATFORM_ADAPTERS`` names, from the settings. ``ml_platform.references.refs`` has
    ``written(ref)``, the JSON to keep, and ``read(content, name)``, the reference from it; what there is none of is
    raised as ``missing(asset, partition)`` of ``ml_platform.references.references``.
    """

    def save(self, asset: str, partition: str, ref: Ref) -> None:
        """Keep a reference under its run and as the latest one, both or neither for who reads the latest."""
        ...

    def load(self, asset: str, partition: str = "", run_id: str = "") -> Any:
        """The reference that a run made (an ``AnyRef``), else the latest one. Raises MissingReference."""
        ...

    def all(self, asset: str) -> dict[str, Any]:
        """Partition to its latest reference, by partition."""
        ...

    def partitions(self, asset: str) -> list[str]:
        """Partitions that have a latest reference, sorted."""
        ...

    def of_run(self, asset: str, partition: str, run_id: str) -> bool:
        """Whether that run made a reference."""
        ...

    def forget(self, asset: str, partition: str) -> None:
        """Let no reference be the latest; those of runs stay. What has none is no error."""
        ...


def missing(asset: str, partition: str) -> MissingReference:
    """The error for what has no reference."""
    where = f"{asset}/{partition}" if partition else asset
    return MissingReference(f"{where} was never materialized; materialize it first")
