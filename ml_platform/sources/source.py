"""What every source can do."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl


@runtime_checkable
class Source(Protocol):
    """Batches by partition. An object of one's own needs no more than these two methods."""

    def partitions(self) -> dict[str, str]:
        """Partition key to a fingerprint that changes when the content of the partition may have changed."""
        ...

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of one partition; equal content gives equal rows in equal order."""
        ...
