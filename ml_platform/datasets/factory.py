"""Opens the dataset store that the settings name."""

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.adapters import opened
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings


def open_store(settings: Settings, *, create: bool = True) -> VersionedStore:
    """The store of these settings, created where it is missing. Raises PlatformError for an unknown one.

    A lakeFS server is asked at once, so that a wrong address, key or name is told here and not in a run. Without
    ``create`` nothing is changed there: a repository that is missing raises NotFound.
    """
    if (own := opened(settings, "store", VersionedStore)) is not None:
        return own
    if settings.store == "embedded":
        return EmbeddedStore(settings.local / "store", settings.repository)
    if settings.store == "lakefs":
        return _open_lakefs(settings, create)
    raise PlatformError(f"ML_PLATFORM_STORE={settings.store!r} is no dataset store; use 'embedded' or 'lakefs'")


def _open_lakefs(settings: Settings, create: bool) -> VersionedStore:
    from ml_platform.datasets.lakefs.api import Connection, Server
    from ml_platform.datasets.lakefs.server import open_repository
    from ml_platform.datasets.lakefs.store import LakeFSStore

    server = Server(
        endpoint=settings.lakefs_endpoint,
        access_key=settings.lakefs_access_key,
        secret_key=settings.lakefs_secret_key,
        timeout_seconds=settings.lakefs_timeout_seconds,
    )
    api = Connection(server)
    open_repository(api, settings.repository, settings.lakefs_storage_namespace, create=create)
    return LakeFSStore(
        api,
        settings.repository,
        settings.local / "lakefs-cache",
        cache_bytes=settings.lakefs_cache_bytes,
        part_bytes=settings.lakefs_part_bytes,
        read_back=settings.lakefs_read_back,
        dagster_url=settings.dagster_url,
        s3_endpoint=settings.lakefs_s3_endpoint,
    )
