"""Stores and provenance for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.datasets.embedded import EmbeddedStore
from ml_platform.datasets.lakefs import LakeFSStore
from ml_platform.environment import Provenance
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.lakefs_standin import StandIn

pytest.register_assert_rewrite("ml_platform_tests.datasets.contract", "ml_platform_tests.datasets.workers")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store", "test-repo")


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def lakefs_store(standin: StandIn, tmp_path: Path) -> Iterator[LakeFSStore]:
    """The lakeFS adapter on the stand-in."""
    with lakefs_servers.repository(lakefs_servers.key(standin), "local://", tmp_path) as store:
        yield store


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(code_commit="c0ffee", dirty=False, lock_sha256="0" * 64, python="3.11.7")
