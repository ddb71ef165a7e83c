"""A small lakeFS for tests: the parts of the public API that the adapter uses, in this process, with failures
on demand. `docs/lakefs.md` lists where it differs from a real server."""

from ml_platform_tests.datasets.lakefs_standin.faults import Fault
from ml_platform_tests.datasets.lakefs_standin.server import StandIn

__all__ = ["Fault", "StandIn"]
