"""What Dagster shows as stale."""

from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from ml_platform_tests.project import Project


def stale(project: Project, *partitions: str) -> dict[str, set[str]]:
    """Assets that are shown as stale, and why: those with partitions by the partitions asked for."""
    graph = project.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(project.instance, graph, LoadingContextForTest(project.instance))
    found = {}
    for key in sorted(graph.materializable_asset_keys):
        for partition in partitions if graph.get(key).is_partitioned else (None,):
            if resolver.get_status(key, partition) == StaleStatus.STALE:
                name = key.to_user_string() + (f"/{partition}" if partition and len(partitions) > 1 else "")
                found[name] = {cause.reason for cause in resolver.get_stale_root_causes(key, partition)}
    return found
