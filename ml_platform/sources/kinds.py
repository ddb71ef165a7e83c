"""The kinds of sources of the platform. A kind is a module with its rule and what that opens, and a line here."""

#: Kind to its :class:`ml_platform.sources.source_rule.SourceRule`, in the order in which they are listed.
SOURCES = {
    "folder": "ml_platform.sources.folder:FolderSource",
    "fsspec": "ml_platform.sources.addresses:FsspecSource",
    "sql": "ml_platform.sources.sql:SqlSource",
    "function": "ml_platform.sources.function:FunctionSource",
}
