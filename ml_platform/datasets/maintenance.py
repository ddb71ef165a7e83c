"""Upkeep of a store, for adapters that keep the bytes themselves."""

from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.errors import StoreError


def check(store: VersionedStore) -> list[str]:
    """Read everything that a branch or tag names; returns the problems, one line each.

    Raises StoreError for a store that cannot do it.
    """
    fsck = getattr(store, "fsck", None)
    if fsck is None:
        raise StoreError(
            f"store {store.repository!r} cannot check itself: its adapter has no method fsck(), a list of problems; "
            "add one, or check its server by that one's own means"
        )
    return fsck()


def collect(store: VersionedStore, grace_seconds: float) -> int:
    """Remove bytes that nothing names and that are older than the grace; returns the number of files.

    What a version, tag or manifest names is on a branch or tag, and stays. Raises StoreError for a negative
    grace, and for a store whose server collects garbage itself.
    """
    if grace_seconds < 0:
        raise StoreError("garbage collection: the grace must not be negative")
    gc = getattr(store, "gc", None)
    if gc is None:
        raise StoreError(
            f"store {store.repository!r} collects no garbage from here: its adapter has no method gc(grace_seconds); "
            "add one, or leave it to the rules of its server"
        )
    return gc(grace_seconds)
