"""The store of the settings."""

import pytest

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.factory import open_store
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings


def test_the_default_store_lies_below_local(settings: Settings) -> None:
    store = open_store(settings)
    assert isinstance(store, EmbeddedStore)
    assert store.folder == settings.local.resolve() / "store" / settings.repository
    assert open_store(settings).resolve("main") == store.resolve("main")


def test_an_unknown_store_is_named(settings: Settings) -> None:
    unknown = settings.model_copy(update={"store": "floppy"})
    with pytest.raises(PlatformError, match="floppy"):
        open_store(unknown)
    assert not settings.local.exists()
