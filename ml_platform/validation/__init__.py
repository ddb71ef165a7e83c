"""Schemas as pandera models, and evidence on rows: broken rules, missing values, duplicates, drift.

What is too much is said in ``gates``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["drift", "evidence", "groups", "made_up", "schema"]
