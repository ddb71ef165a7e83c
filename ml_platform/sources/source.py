"""What every source can do."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl


@runtime_checkable
class Source(Protocol):
    """Batches by partition. An object of one's own needs no more than these two methods."""

    def partitions(self) -> dict[str, str]:
        """Partition key to a fingerprint that changes when the content may have changed. A key is the ISO date of the
        partition's first day (``2024-01-01``, of months too), of hours ``2024-01-31T05`` in UTC, without time ``all``.
        """
        ...

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of one partition; equal content gives equal rows in equal order. One that is not there is an error,
        never a frame without rows."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A source that says before a run what cannot work."""

    def check(self) -> None:
        """Raises DeclarationError where it cannot be asked as it will be."""
        ...


@runtime_checkable
class Sampled(Protocol):
    """A source of which a few rows can be looked at, without a partition."""

    def sample(self, rows: int) -> "pl.DataFrame | None":
        """Some rows, as :meth:`Source.read` has them; None where there are none yet."""
        ...
