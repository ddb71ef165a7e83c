"""Versioned data: stores, and how batches are staged, published, set aside, taken back and read at a commit.

What a batch must hold is said in ``validation``, and whether it may be published in ``gates`` and ``ledger``.
"""

# The modules are imported where they are used: some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "batches",
    "derived",
    "factory",
    "history",
    "lakefs",
    "maintenance",
    "publishing",
    "quarantine",
    "rollback",
    "store",
    "view",
]
