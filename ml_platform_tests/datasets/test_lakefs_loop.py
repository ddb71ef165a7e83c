"""The loop on lakeFS: the same content hashes and the same model as on the embedded store."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.datasets.lakefs_api import Connection, Server
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.lakefs_standin import StandIn
from ml_platform_tests.project import APRIL, FEBRUARY, JANUARY, MARCH, MODEL, Project, new_project, sample_months

pytestmark = pytest.mark.slow


@pytest.fixture(params=["standin", "real server"])
def server(request: pytest.FixtureRequest, standin: StandIn) -> Server:
    if request.param == "standin":
        return lakefs_servers.key(standin)
    if not lakefs_servers.ENDPOINT:
        pytest.skip("LAKEFS_ENDPOINT names no server")
    return lakefs_servers.real_server()


@pytest.fixture
def on_lakefs(server: Server) -> Iterator[dict[str, str]]:
    """The settings that switch a project to the server."""
    name = f"test-{uuid.uuid4().hex}"
    namespace = lakefs_servers.below(lakefs_servers.NAMESPACE, name)
    yield {
        "ML_PLATFORM_STORE": "lakefs",
        "ML_PLATFORM_REPOSITORY": name,
        "ML_PLATFORM_LAKEFS_ENDPOINT": server.endpoint,
        "ML_PLATFORM_LAKEFS_ACCESS_KEY": server.access_key,
        "ML_PLATFORM_LAKEFS_SECRET_KEY": server.secret_key.get_secret_value(),
        "ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE": namespace,
    }
    api = Connection(server)
    api.call(name, api.sdk.repositories_api.delete_repository, name, force=True)


def contents(project: Project) -> dict[str, str]:
    """sha256 of every object on every branch, of the split and of the model."""
    with project.active() as workspace:
        store = workspace.store
        found = {f"{branch} {info.path}": info.sha256 for branch in store.branches() for info in store.list(branch)}
        assert workspace.ledger.verify() > 0
        assert sorted(store.tags()) == sorted(
            f"flights-{month}-{sha256[:12]}" for month, sha256 in project.published().items()
        )
    return {**found, **{part: project.reference(f"{MODEL}/{part}").sha256 for part in ("split", "model")}}


def test_switching_the_store_changes_no_content(tmp_path: Path, on_lakefs: dict[str, str]) -> None:
    originals = sample_months(tmp_path / "flights")
    held = []
    for name, environment in (("embedded", {}), ("lakefs", on_lakefs)):
        project = new_project(
            tmp_path / name, originals, arrived=(JANUARY, FEBRUARY, MARCH, APRIL), environment=environment
        )
        assert not (outcome := project.ingest(JANUARY, APRIL)).errors, outcome.error
        trained = project.train()
        assert (MODEL + "/model", None) in trained.materialized, trained.error
        held.append(contents(project))
        before = project.holdings()
        assert project.ingest(JANUARY, APRIL).success
        assert project.holdings().commits == before.commits, "a repeated run commits nothing"
    assert held[0] == held[1]
    assert sum(name.startswith("main ") for name in held[0]) == 4
