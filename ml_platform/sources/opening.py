"""Opens the source that a dataset declares. Nothing is read before it is asked."""

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.objects import load_object
from ml_platform.sources.context import SourceContext
from ml_platform.sources.rules import AnySource, FolderSource, FsspecSource, SqlSource
from ml_platform.sources.source import Source


def open_source(rule: AnySource, context: SourceContext) -> Source:
    """The source of a declaration: ``module:object``, or a mapping with a ``kind``.

    Raises DeclarationError where the object is not there or is no source, or does not fit the partitions.
    """
    if isinstance(rule, str):
        source = load_object(rule, "source")
        for method in ("partitions", "read"):
            if not callable(getattr(source, method, None)):
                raise DeclarationError(f"source: {rule} has no method {method}()")
        return source
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
