"""Batches from a Python function of two days."""

import inspect
from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.sources.context import SourceContext
from ml_platform.sources.source_rule import SourceRule

if TYPE_CHECKING:
    import polars as pl


class FunctionSource(SourceRule):
    """A Python function ``(start: date, end: date) -> polars.DataFrame``; ``end`` is exclusive. With hourly partitions
    both are datetimes in UTC. Without partitions it takes no arguments.

    A partition's fingerprint is the version of the function's module and what it imports of the project, unless
    ``fingerprint`` names a second function ``(start, end) -> str``.
    """

    kind: Literal["function"]
    #: ``module:object``.
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    #: ``module:object``.
    fingerprint: str | None = Field(None, pattern=r"^[\w.]+:\w+$")

    def open(self, context: SourceContext) -> "CalledSource":
        """What the function returns."""
        return CalledSource(self, context)


class CalledSource:
    """``function(start, end)`` for every partition whose time has ended."""

    def __init__(self, rule: FunctionSource, context: SourceContext) -> None:
        self.rule, self.context = rule, context

    def check(self) -> None:
        """Raises DeclarationError where a function is not there or cannot be called as it will be; calls none."""
        for key, named in (("function", self.rule.function), ("fingerprint", self.rule.fingerprint)):
            if named is not None:
                self._check(f"source.{key}", named)

    def _check(self, key: str, named: str) -> None:
        from ml_platform.foundation.objects import load_object

        function = load_object(named, key)
        if not callable(function):
            raise DeclarationError(f"{key}: {named} is a {type(function).__name__}; name a function")
        given = ("start", "end") if self.context.partitions.timed else ()
        try:
            inspect.signature(function).bind(*given)
        except ValueError:
            return  # one that is written in C and says nothing of its arguments
        except TypeError as error:
            when = f"with {' and '.join(given)}" if given else "without arguments, since there are no partitions"
            raise DeclarationError(
                f"{key}: {named} is called {when}, and takes others ({error}); def "
                f"{named.rpartition(':')[2]}({', '.join(given)})"
            ) from error

    def partitions(self) -> dict[str, str]:
        """Every partition whose time has ended, with what the fingerprint function says, or the version of the code.

        The version follows imports within the user's own project and ignores comments and layout.
        """
        from ml_platform.foundation.objects import load_object
        from ml_platform.foundation.user_code import user_code_version

        keys = self.context.partitions.keys(self.context.now())
        if self.rule.fingerprint is not None:
            said = load_object(self.rule.fingerprint, "source.fingerprint")
            values = {key: str(said(*self._days(key))) for key in keys}
        else:
            values = dict.fromkeys(keys, user_code_version(self.rule.function))
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
