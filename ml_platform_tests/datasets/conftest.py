"""Stores and provenance for the tests of this folder."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.lakefs.api import Connection, Server
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.provenance import Provenance
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.flow import Flow
from ml_platform_tests.datasets.lakefs_standin import StandIn

pytest.register_assert_rewrite("ml_platform_tests.datasets.workers")


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


@pytest.fixture(params=["embedded", "lakefs standin", "lakefs real server"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VersionedStore]:
    """Each adapter in turn, on an empty repository; lakeFS on the stand-in, and on a real server where there is one."""
    if request.param == "embedded":
        yield EmbeddedStore(tmp_path / "store", "test-repo")
    elif request.param == "lakefs standin":
        yield request.getfixturevalue("lakefs_store")
    elif lakefs_servers.ENDPOINT:
        with lakefs_servers.repository(lakefs_servers.real_server(), lakefs_servers.NAMESPACE, tmp_path) as store:
            yield store
    else:
        pytest.skip("LAKEFS_ENDPOINT names no server")


@pytest.fixture
def flow(any_store: VersionedStore, provenance: Provenance) -> Flow:
    """Stages and publishes on each adapter in turn."""
    return Flow(any_store, provenance)


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(code_commit="c0ffee", dirty=False, lock_sha256="0" * 64, python="3.11.7")


@pytest.fixture(params=["standin", "real server"])
def server(request: pytest.FixtureRequest, standin: StandIn) -> Server:
    """The stand-in, and the real server where ``LAKEFS_ENDPOINT`` names one."""
    if request.param == "standin":
        return lakefs_servers.key(standin)
    if not lakefs_servers.ENDPOINT:
        pytest.skip("LAKEFS_ENDPOINT names no server")
    return lakefs_servers.real_server()


@pytest.fixture
def nowhere(server: Server) -> dict[str, str]:
    """The settings that switch a project to a repository of the server that is not there yet."""
    name = f"test-{uuid.uuid4().hex}"
    return {
        "ML_PLATFORM_STORE": "lakefs",
        "ML_PLATFORM_REPOSITORY": name,
        "ML_PLATFORM_LAKEFS_ENDPOINT": server.endpoint,
        "ML_PLATFORM_LAKEFS_ACCESS_KEY": server.access_key,
        "ML_PLATFORM_LAKEFS_SECRET_KEY": server.secret_key.get_secret_value(),
        "ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE": lakefs_servers.below(lakefs_servers.NAMESPACE, name),
    }


@pytest.fixture
def on_lakefs(server: Server, nowhere: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same, and the repository is removed afterwards."""
    yield nowhere
    api, name = Connection(server), nowhere["ML_PLATFORM_REPOSITORY"]
    api.call(name, api.sdk.repositories_api.delete_repository, name, force=True)
