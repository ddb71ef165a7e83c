"""A packaged version as a service: package, request schema, guard, prediction log, process, client, checks.

Which package answers is said in ``rollout``; what a request is refused for, in ``refusals``; the paths that predict, in
``routes``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "answer",
    "arrow",
    "bounds",
    "bundle",
    "checks",
    "client",
    "code",
    "hashed_keys",
    "known",
    "load",
    "packaging",
    "prediction_log",
    "process",
    "refusals",
    "routes",
    "schema",
    "service",
    "snapshots",
]
