"""Wrong settings: one clear line within ten seconds. Right ones: a repository that is protected and never collected."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr, ValidationError

from ml_platform.datasets.factory import open_store
from ml_platform.datasets.lakefs.api import Connection, Server
from ml_platform.datasets.lakefs.server import RETENTION_DAYS
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN, NotFound, VersionedStore
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.patience import waiting
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline import workspace
from ml_platform_tests.datasets.lakefs_standin import StandIn

pytestmark = pytest.mark.timeout(10)


@pytest.fixture
def right(settings: Settings, standin: StandIn) -> Settings:
    """Settings that work with the stand-in and create the repository."""
    return settings.model_copy(
        update={
            "store": "lakefs",
            "lakefs_endpoint": standin.address,
            "lakefs_access_key": standin.access_key,
            "lakefs_secret_key": SecretStr(standin.secret_key),
            "lakefs_storage_namespace": "local://data",
        }
    )


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(params=[200, 404])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """A web server that answers every question with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def refused(settings: Settings, **wrong: object) -> str:
    with waiting(0.3), pytest.raises(PlatformError) as error:
        open_store(settings.model_copy(update=wrong))
    assert "\n" not in str(error.value)
    assert "not-a-secret" not in str(error.value)
    return str(error.value)


def test_a_wrong_key(right: Settings) -> None:
    message = refused(right, lakefs_secret_key=SecretStr("wrong"))
    assert "does not accept access key 'AKIATEST'" in message and "ML_PLATFORM_LAKEFS_SECRET_KEY" in message
    assert "wrong" not in message


@pytest.mark.parametrize("missing", [{"lakefs_access_key": ""}, {"lakefs_secret_key": SecretStr("")}])
def test_a_missing_key(right: Settings, missing: dict) -> None:
    assert "set ML_PLATFORM_LAKEFS_ACCESS_KEY" in refused(right, **missing)


@pytest.mark.parametrize("endpoint", ["", "lakefs.example.org", "s3://bucket", "http://"])
def test_an_endpoint_that_is_no_address(right: Settings, endpoint: str) -> None:
    assert "ML_PLATFORM_LAKEFS_ENDPOINT" in refused(right, lakefs_endpoint=endpoint)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://lakefs.invalid"])
def test_a_server_that_cannot_be_reached(right: Settings, endpoint: str) -> None:
    assert f"lakeFS at {endpoint} failed" in refused(right, lakefs_endpoint=endpoint)


@pytest.mark.slow
def test_a_server_that_never_answers(right: Settings, silent: str) -> None:
    assert "timed out" in refused(right, lakefs_endpoint=silent).lower()


def test_a_server_that_is_something_else(right: Settings, elsewhere: str) -> None:
    message = refused(right, lakefs_endpoint=elsewhere)
    assert "not lakeFS's" in message or "answers, but not as lakeFS does" in message


def test_a_missing_repository(right: Settings, standin: StandIn) -> None:
    message = refused(right, lakefs_storage_namespace="")
    assert "'ml-platform' does not exist" in message and "ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE" in message
    assert not standin.repositories


@pytest.mark.parametrize("name", ["UPPER", "a", "with_underscore", "with/slash", "-dash", "x" * 64])
def test_a_forbidden_name(right: Settings, standin: StandIn, name: str) -> None:
    assert f"{name!r}: use 3 to 63 lower-case letters" in refused(right, repository=name)
    assert not standin.requests


def test_a_storage_namespace_that_the_server_refuses(right: Settings) -> None:
    assert "'s3://elsewhere'" in refused(right, lakefs_storage_namespace="s3://elsewhere")


def test_a_key_without_rights(right: Settings, standin: StandIn) -> None:
    standin.order("GET .*/repositories/ml-platform$", status=403, message="insufficient permissions")
    assert "'AKIATEST' may not do this: 403 insufficient permissions" in refused(right)


def test_an_unknown_store_and_an_impossible_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_PLATFORM_STORE", "floppy")
    monkeypatch.setenv("ML_PLATFORM_LAKEFS_PART_BYTES", "17")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert {str(problem["loc"][0]).lower() for problem in error.value.errors()} == {"store", "lakefs_part_bytes"}


def test_the_secret_comes_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_PLATFORM_LAKEFS_SECRET_KEY", "not-a-secret")
    settings = Settings()
    assert settings.lakefs_secret_key.get_secret_value() == "not-a-secret"
    assert "not-a-secret" not in repr(settings) + settings.model_dump_json()


def test_a_new_repository_is_protected_and_keeps_every_commit(right: Settings, standin: StandIn) -> None:
    store = open_store(right)
    assert isinstance(store, LakeFSStore) and isinstance(store, VersionedStore)
    made = standin.repositories["ml-platform"]
    assert made.protected == [MAIN]
    assert made.gc_rules == {"default_retention_days": RETENTION_DAYS, "branches": []}
    standin.requests.clear()
    open_store(right)
    assert all(request.startswith("GET") for request in standin.requests)


@pytest.mark.parametrize("where", ["POST .*/repositories$", "PUT .*/branch_protection$", "PUT .*/gc_rules$"])
def test_a_repository_whose_making_was_interrupted_is_finished(right: Settings, standin: StandIn, where: str) -> None:
    standin.order(where, status=403, message="interrupted")
    refused(right)
    open_store(right)
    made = standin.repositories["ml-platform"]
    assert (made.protected, made.gc_rules is not None) == ([MAIN], True)


def test_rules_that_would_collect_commits_are_put_right(right: Settings, standin: StandIn) -> None:
    open_store(right)
    made = standin.repositories["ml-platform"]
    made.gc_rules = {"default_retention_days": 28, "branches": [{"branch_id": MAIN, "retention_days": 7}]}
    made.protected.append("release-*")
    open_store(right)
    assert made.gc_rules == {"default_retention_days": RETENTION_DAYS, "branches": []}
    assert made.protected == [MAIN, "release-*"]


def test_who_only_looks_makes_no_repository(right: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Connection(Server(right.lakefs_endpoint, right.lakefs_access_key, right.lakefs_secret_key))

    def exists() -> bool:
        try:
            return bool(api.call("it", api.sdk.repositories_api.get_repository, "ml-platfrom"))
        except NotFound:
            return False

    mistyped = right.model_copy(update={"repository": "ml-platfrom"})
    monkeypatch.setattr(workspace, "get_settings", lambda: mistyped)
    with pytest.raises(NotFound, match=r"'ml-platfrom' does not exist .*check ML_PLATFORM_REPOSITORY; ml-platform run"):
        _ = workspace.Workspace.reading().store
    assert not exists()
    assert workspace.Workspace().store.branches() == ["main"] and exists()
    assert workspace.Workspace.reading().store.branches() == ["main"]
