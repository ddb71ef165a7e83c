"""The store of the settings."""

from typing import get_args

import pytest

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.factory import STORES, open_store
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, StoreName, read_settings


def test_the_default_store_lies_below_local(settings: Settings) -> None:
    store = open_store(settings)
    assert isinstance(store, EmbeddedStore)
    assert store.folder == settings.local.resolve() / "store" / settings.repository
    assert open_store(settings).resolve("main") == store.resolve("main")


def test_an_unknown_store_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_PLATFORM_STORE", "floppy")
    with pytest.raises(PlatformError, match=r"ML_PLATFORM_STORE.*'floppy'|floppy.*embedded"):
        read_settings()
    assert {*STORES} == {*get_args(StoreName)}, "every store that a setting may name can be opened"
