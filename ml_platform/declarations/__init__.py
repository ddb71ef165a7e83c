"""What a user declares in ``defs.yaml``: datasets, feature sets and models, read and checked without Dagster.

What becomes of a declaration is said in ``pipeline`` (steps) and ``orchestration`` (assets).
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "catalogue",
    "context",
    "dataset",
    "declaration",
    "features",
    "loading",
    "mistakes",
    "model",
    "reading",
    "weak",
]
