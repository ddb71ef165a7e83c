"""Versioned data: stores, and how batches are staged, published, quarantined, rolled back and read at a commit.

What a batch must hold is said in ``validation``, and whether it may be published in ``gates`` and ``ledger``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "batches",
    "copying",
    "derived",
    "factory",
    "history",
    "lakefs",
    "maintenance",
    "names",
    "publishing",
    "quarantine",
    "rollback",
    "store",
    "unasked",
    "view",
]
