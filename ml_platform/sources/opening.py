"""Opens the source that a dataset declares. Nothing is read before it is asked."""

from typing import TYPE_CHECKING, cast

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import load_object, require_instance
from ml_platform.sources.context import SourceContext
from ml_platform.sources.rules import AnySource, FolderSource, FsspecSource, SqlSource
from ml_platform.sources.source import Source

if TYPE_CHECKING:
    import polars as pl


class OwnSource:
    """A source of one's own, held to what every source returns."""

    def __init__(self, rule: str, source: Source) -> None:
        self.rule, self.source = rule, source

    def partitions(self) -> dict[str, str]:
        """What it offers. Raises PlatformError where that is no dict of texts."""
        # A user's method may return anything.
        found = cast("object", self.source.partitions())
        if not isinstance(found, dict) or not all(isinstance(one, str) for pair in found.items() for one in pair):
            what = "a dict of other things than texts" if isinstance(found, dict) else type(found).__name__
            raise PlatformError(
                f"source: {self.rule}: partitions() returned {what}; return a dict of partition to fingerprint, both "
                "texts, and {} where there is none"
            )
        return cast("dict[str, str]", found)

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of a partition. Raises PlatformError where that is no DataFrame."""
        import polars as pl

        frame = cast("object", self.source.read(partition))
        if not isinstance(frame, pl.DataFrame):
            raise PlatformError(
                f"source: {self.rule}: read({partition!r}) returned {type(frame).__name__}, not a polars DataFrame"
            )
        return frame


def open_source(rule: AnySource, context: SourceContext) -> Source:
    """The source of a declaration: ``module:object``, or a mapping with a ``kind``.

    Raises DeclarationError where the object is not there or is no source, or does not fit the partitions.
    """
    if isinstance(rule, str):
        source = load_object(rule, "source")
        for method in ("partitions", "read"):
            if not callable(getattr(source, method, None)):
                raise DeclarationError(f"source: {rule} has no method {method}()")
        require_instance(source, rule, "source", ("partitions", "read"))
        return OwnSource(rule, source)
    timed = context.partitions.timed
    if isinstance(rule, FolderSource | FsspecSource):
        if timed and rule.by is None:
            raise DeclarationError(
                "source: by is missing: take `time` (rows go by their day) or `name` (the date in a file's name)"
            )
        if not timed and rule.by is not None:
            raise DeclarationError(f"source: by: {rule.by} divides by time, and there are no partitions; remove it")
        if context.partitions.hourly and rule.by == "name" and "%H" not in (rule.date_format or ""):
            raise DeclarationError("source: date_format needs the hour, %H, with hourly partitions")
        from ml_platform.sources.files import FileSource, folder_files, fsspec_files

        files = folder_files(rule) if isinstance(rule, FolderSource) else fsspec_files(rule)
        return FileSource(rule, files, context)
    if isinstance(rule, SqlSource):
        from ml_platform.sources.sql import QuerySource

        if timed and rule.unbound:
            raise DeclarationError(
                f"source: the query needs the parameter {rule.unbound[0]}: it is asked for one partition at a time"
            )
        return QuerySource(rule, context)
    from ml_platform.sources.function import CalledSource

    return CalledSource(rule, context)
