"""Batches from a Python function of two days."""

from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.sources.context import SourceContext
from ml_platform.sources.rules import FunctionSource

if TYPE_CHECKING:
    import polars as pl


class CalledSource:
    """``function(start, end)`` for every partition whose time has ended."""

    def __init__(self, rule: FunctionSource, context: SourceContext) -> None:
        self.rule, self.context = rule, context

    def partitions(self) -> dict[str, str]:
        """Every partition whose time has ended, with what the fingerprint function says, or the hash of the code."""
        from ml_platform.foundation.objects import load_object

        keys = self.context.partitions.keys(self.context.now())
        if self.rule.fingerprint is not None:
            said = load_object(self.rule.fingerprint, "source.fingerprint")
            values = {key: str(said(*self._days(key))) for key in keys}
        else:
            found = find_spec(self.rule.function.partition(":")[0])
            if found is None or found.origin is None:
                raise PlatformError(f"source.function: there is no module of {self.rule.function}")
            values = dict.fromkeys(keys, sha256_file(Path(found.origin)))
        return {key: sha256_bytes(canonical_json([key, value])) for key, value in values.items()}

    def read(self, partition: str) -> "pl.DataFrame":
        """What the function returns. Raises PlatformError where that is no polars DataFrame."""
        import polars as pl

        from ml_platform.foundation.objects import load_object

        if partition not in self.context.partitions.keys(self.context.now()):
            raise MissingReference(f"{self.context.name}: partition {partition} has not ended or does not exist")
        frame = load_object(self.rule.function, "source.function")(*self._days(partition))
        if not isinstance(frame, pl.DataFrame):
            raise PlatformError(
                f"{self.context.name}: {self.rule.function} returned {type(frame).__name__}, not a polars DataFrame"
            )
        return frame

    def _days(self, partition: str) -> tuple[date, ...]:
        """What the functions are called with."""
        return self.context.partitions.window(partition) if self.context.partitions.timed else ()
