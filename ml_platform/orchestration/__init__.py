"""Dagster: components, and the assets, checks, jobs and sensors that they build.

With ``cli`` the only place that knows Dagster; what a step does is said in ``pipeline``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "components",
    "dagster_internals",
    "data_jobs",
    "events",
    "metadata",
    "platform",
    "quiet",
    "refusals",
    "runs",
    "webserver",
]
