"""Which version of a model answers: the rollout record, and the supervisor that keeps its processes running.

It knows no ledger and no registry, so that it goes on without them.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "changes",
    "control",
    "factory",
    "pairs",
    "processes",
    "record",
    "record_files",
    "records",
    "shadow",
    "supervisor",
    "targets",
]
