"""What everything else builds on: errors, files, settings, the project, processes, locks, the clock, user code.

Knows nothing of data, models or gates, and imports no other room.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "adapters",
    "bindings",
    "clock",
    "database",
    "earlier",
    "errors",
    "files",
    "inherited",
    "internals",
    "locks",
    "names",
    "objects",
    "parquet",
    "parts",
    "patience",
    "processes",
    "project",
    "provenance",
    "raised",
    "reached",
    "settings",
    "times",
    "user_code",
    "variables",
    "words",
]
