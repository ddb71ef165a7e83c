"""Where batches come from: folders, object stores, SQL queries, Python functions, and the partitions of a dataset.

What a batch must be like is said in ``validation`` and ``gates``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "addresses",
    "columns",
    "context",
    "day_forms",
    "detection",
    "files",
    "folder",
    "function",
    "kinds",
    "number_texts",
    "opening",
    "partitions",
    "source",
    "source_rule",
    "sql",
    "stray_texts",
    "table_file",
    "text_files",
]
