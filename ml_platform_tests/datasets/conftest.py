"""Stores and provenance for the tests of this folder."""

from pathlib import Path

import pytest

from ml_platform.datasets.embedded import EmbeddedStore
from ml_platform.environment import Provenance

pytest.register_assert_rewrite("ml_platform_tests.datasets.contract", "ml_platform_tests.datasets.workers")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store", "test-repo")


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(code_commit="c0ffee", dirty=False, lock_sha256="0" * 64, python="3.11.7")
