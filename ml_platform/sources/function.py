"""Batches from a Python function of two days."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.pipeline.workspace import Workspace
from ml_platform.sources.rules import FunctionSource

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.declarations.dataset import DatasetSpec


class CalledSource:
    """``function(start, end)`` for every partition whose time has ended."""

    def __init__(self, rule: FunctionSource, spec: "DatasetSpec") -> None:
        self.rule, self.spec = rule, spec

    def partitions(self) -> dict[str, str]:
        """Every partition whose time has ended, with what the fingerprint function says, or the hash of the code."""
        from ml_platform.foundation.objects import load_object

        keys = self.spec.partitions.keys(Workspace().now())
        if self.rule.fingerprint is not None:
            said = load_object(self.rule.fingerprint, "source.fingerprint")
            values = {key: str(said(*self.spec.partitions.window(key))) for key in keys}
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

        if partition not in self.spec.partitions.keys(Workspace().now()):
            raise MissingReference(f"{self.spec.name}: partition {partition} has not ended or does not exist")
        frame = load_object(self.rule.function, "source.function")(*self.spec.partitions.window(partition))
        if not isinstance(frame, pl.DataFrame):
            raise PlatformError(
                f"{self.spec.name}: {self.rule.function} returned {type(frame).__name__}, not a polars DataFrame"
            )
        return frame
