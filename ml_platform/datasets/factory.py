"""Opens the dataset store that the settings name."""

from ml_platform.datasets.embedded import EmbeddedStore
from ml_platform.datasets.store import VersionedStore
from ml_platform.errors import PlatformError
from ml_platform.settings import Settings


def open_store(settings: Settings) -> VersionedStore:
    """The store of these settings, created where it is missing. Raises PlatformError for an unknown one."""
    if settings.store == "embedded":
        return EmbeddedStore(settings.local / "store", settings.repository)
    raise PlatformError(f"ML_PLATFORM_STORE={settings.store!r} is no dataset store; use 'embedded'")
