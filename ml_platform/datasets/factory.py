"""Opens the dataset store that the settings name."""

from collections.abc import Callable

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.adapters import KEY, named_adapters, opened
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, StoreKind, StoreName


def open_store(settings: Settings, *, create: bool = True) -> VersionedStore:
    """The store of these settings, created where it is missing.

    A lakeFS server is asked at once, so that a wrong address, key or name is told here and not in a run. Without
    ``create`` nothing is changed there: a repository that is missing raises NotFound.
    """
    if (own := _own(settings, create)) is not None:
        return own
    return STORES[settings.store](settings, create)


def open_kind(settings: Settings, kind: StoreKind, *, create: bool = True) -> VersionedStore:
    """A store of a kind, whichever the settings use. Raises PlatformError where the project has none of its own."""
    if kind != "own":
        return STORES[kind](settings, create)
    if (own := _own(settings, create)) is None:
        raise PlatformError(f"there is no store of the project's own: name one, as `store`, by {KEY}")
    return own


def store_on_disk(settings: Settings) -> VersionedStore | None:
    """The store, where it may be held still for a backup: the project's own, or the embedded one if there is one yet.

    Nothing is created, and no server asked.
    """
    if (own := _own(settings, False)) is not None:
        return own
    there = settings.store == "embedded" and (settings.local / "store").is_dir()
    return STORES[settings.store](settings, False) if there else None


def kind_of_store(settings: Settings) -> StoreKind:
    """Which kind the settings use. Nothing is opened."""
    return "own" if "store" in named_adapters(settings) else settings.store


def _own(settings: Settings, create: bool) -> VersionedStore | None:
    return opened(settings, "store", VersionedStore, create=create)


def _open_embedded(settings: Settings, _: bool) -> VersionedStore:
    return EmbeddedStore(settings.local / "store", settings.repository)


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


#: How each store that the setting ``store`` may name is opened; the second argument: whether it is created.
STORES: dict[StoreName, Callable[[Settings, bool], VersionedStore]] = {
    "embedded": _open_embedded,
    "lakefs": _open_lakefs,
}
