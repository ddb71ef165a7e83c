"""The webhook that lakeFS asks before a merge: what it answers, and that a real server heeds it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
import yaml
from starlette.testclient import TestClient

from ml_platform.datasets.lakefs.hook import (
    ACTION,
    EVENTS,
    HEADER,
    HOOK,
    VARIABLE,
    Installed,
    action,
    application,
    install,
)
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN, NotFound
from ml_platform.foundation.errors import Refused
from ml_platform_tests.datasets import lakefs_servers

EVENT = {"event_type": "pre-merge", "repository_id": "data", "branch_id": MAIN, "source_ref": "c0ffee"}
SECRET = "told to the server alone"  # pragma: allowlist secret
ASKED = {HEADER: SECRET}


def judge(source: str) -> None:
    if source == "bad":
        raise Refused("flights/batch/2013-03-01: schema failed")
    if source == "gone":
        raise NotFound("reference 'gone' does not exist")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({}, 200, "allows"),
        ({"source_ref": "bad"}, 403, "schema failed"),
        ({"source_ref": "gone"}, 503, "'gone'"),
        ({"repository_id": "other"}, 400, "main of data"),
        ({"branch_id": "features"}, 400, "main of data"),
        ({"event_type": "pre-commit"}, 403, "a commit says not what it would change"),
        ({"event_type": "pre-revert"}, 403, "ml-platform data rollback"),
        ({"event_type": "pre-cherry-pick"}, 403, "a cherry-pick says not"),
        ({"event_type": "post-merge"}, 400, "main of data"),
        ({"branch_id": None}, 400, "main of data"),
    ],
)
def test_answers(change: dict, status: int, said: str) -> None:
    with TestClient(application("data", judge, SECRET)) as client:
        answer = client.post(HOOK, json={**EVENT, **change}, headers=ASKED)
    assert answer.status_code == status and said in answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
def test_what_is_no_event(body: bytes) -> None:
    with TestClient(application("data", judge, SECRET)) as client:
        assert client.post(HOOK, content=body, headers=ASKED).status_code == 400


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "guessed"}])
def test_who_does_not_know_the_secret_learns_nothing(headers: dict[str, str]) -> None:
    asked: list[str] = []
    with TestClient(application("data", asked.append, SECRET)) as client:
        answer = client.post(HOOK, json=EVENT, headers=headers)
    assert answer.status_code == 401 and "verdict" not in answer.text and asked == []


def test_an_error_of_the_judge_refuses(lakefs_store: LakeFSStore) -> None:
    def broken(source: str) -> None:
        raise ZeroDivisionError

    with TestClient(application("data", broken, SECRET), raise_server_exceptions=False) as client:
        assert client.post(HOOK, json=EVENT, headers=ASKED).status_code == 500


def test_the_action_is_installed_once_on_every_branch_and_is_no_data(lakefs_store: LakeFSStore, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_text("1")
    lakefs_store.create_branch("earlier")
    lakefs_store.commit("earlier", {"a": local}, "m")
    assert install(lakefs_store, "http://127.0.0.1:3199/") == Installed([MAIN, "earlier"], [])
    assert install(lakefs_store, "http://127.0.0.1:3199") == Installed([], [])
    lakefs_servers.put_by_another_tool(lakefs_store, "earlier", "b", "half done")
    done = install(lakefs_store, "http://127.0.0.1:3198")
    assert done.branches == [MAIN] and "earlier" in done.without[0] and "staged changes" in done.without[0]
    held = yaml.safe_load(lakefs_store.open(MAIN, ACTION))
    assert held == yaml.safe_load(action("http://127.0.0.1:3198"))
    assert set(held["on"]) == set(EVENTS) and all(on == {"branches": [MAIN]} for on in held["on"].values())
    asked = held["hooks"][0]["properties"]
    assert asked["url"] == f"http://127.0.0.1:3198{HOOK}"
    # Who may read the repository reads the file: it has the name of the secret's variable and not the secret.
    assert asked["headers"] == {HEADER: f"{{{{ ENV.{VARIABLE} }}}}"}
    assert lakefs_store.list(MAIN) == [] and [one.path for one in lakefs_store.list("earlier")] == ["a", "b"]
    assert lakefs_store.branches() == ["earlier", MAIN]


@pytest.mark.skipif(
    not (lakefs_servers.ENDPOINT and lakefs_servers.CALLBACK),
    reason="LAKEFS_ENDPOINT names no server that can call back",
)
class TestOnRealServer:
    """A server of its own asks this process; both must be on one machine."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LakeFSStore]:
        with lakefs_servers.repository(lakefs_servers.real_server(), lakefs_servers.NAMESPACE, tmp_path) as store:
            yield store

    def test_a_merge_is_refused_until_it_is_allowed(self, store: LakeFSStore, tmp_path: Path) -> None:
        allowed: set[str] = set()
        asked: list[str] = []

        def only_allowed(source: str) -> None:
            asked.append(source)
            changed = [change.path for change in store.diff(MAIN, source)]
            if not set(changed) <= allowed:
                raise Refused(f"{changed[0]} has no verdicts")

        config = uvicorn.Config(
            application(store.repository, only_allowed, lakefs_servers.SECRET), port=0, log_level="critical"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            install(store, f"{lakefs_servers.CALLBACK}:{port}")
            local = tmp_path / "local"
            local.write_text("1")
            store.create_branch("work")
            commit = store.commit("work", {"a": local}, "m")
            head = store.resolve(MAIN)
            with pytest.raises(Refused, match="hook"):
                store.merge("work", MAIN, "m")
            assert store.resolve(MAIN) == head
            allowed.add("a")
            assert store.merge("work", MAIN, "m") == store.resolve(MAIN)
            assert asked[-2:] == [commit, commit]
        finally:
            server.should_exit = True
            thread.join(10)
        store.create_branch("later")
        store.commit("later", {"b": local}, "m")
        with pytest.raises(Refused):
            # A hook that cannot be reached refuses.
            store.merge("later", MAIN, "m")
