"""From raw rows to features, by one path for training, evaluation and serving, with a history of a declared age.

Where feature files lie is said in ``datasets``, when they are built in ``pipeline``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "build",
    "calls",
    "checks",
    "code",
    "contract",
    "daily",
    "dry_run",
    "expressions",
    "growing",
    "history",
    "leakage",
    "lineage",
    "made",
    "materialize",
    "parts",
    "single",
]
