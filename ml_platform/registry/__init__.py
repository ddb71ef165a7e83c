"""Versions of models with approval and aliases, the runs that made them, and their evaluations, kept in MLflow.

Whether a version may be registered is asked in ``ledger``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["evaluations", "registry", "tracking"]
