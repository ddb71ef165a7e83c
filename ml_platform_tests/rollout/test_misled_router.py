"""What the router reads is exchanged while it runs: no answer of another process lasts, and a sound router stays."""

import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.processes import router_secret
from ml_platform.rollout.routers import envoy
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.routers.envoy_dump import foreign, plain
from ml_platform.rollout.routers.factory import open_router
from ml_platform.rollout.routers.keeper import Keeper
from ml_platform.rollout.routers.router import Route, Side
from ml_platform.serving import process
from ml_platform_tests.conftest import ports

pytestmark = pytest.mark.skipif(not Envoy.is_here(), reason="there is no wheel of Envoy for this machine")
SOUND, OTHER, ROGUE = b"sound", b"other", b"rogue"


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Starts what answers everything with a text; gives its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(text: bytes) -> int:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Answers))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return servers[-1].server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Keeper]:
    settings = Settings(local=tmp_path / ".local", ports=ports(3560, 20), router="envoy")
    found = Keeper(settings, open_router(settings))
    yield found
    found.stop()


@pytest.fixture
def route(kept: Keeper, answering: Callable[[bytes], int]) -> Route:
    """The way to what is sound, which Envoy carries out."""
    port = process.free_port(kept.settings.port_range)
    found = Route("m", port, Side("1_a", 1, (answering(SOUND),)))
    until(kept, [found], lambda: asked(found) == SOUND)
    return found


def until(kept: Keeper, routes: list[Route], condition: Callable[[], bool], seconds: float = 15) -> None:
    """Look as the supervisor does, until something is so."""
    deadline = time.monotonic() + seconds
    while True:
        kept.keep(routes)
        if len(kept.router.applied()) == len(routes) and condition():
            return
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def asked(route: Route) -> bytes:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{route.port}/", timeout=2).read()
    except (urllib.error.URLError, OSError):
        return b""


def exchange(file: Path, before: int, after: int, version: str = "") -> None:
    """Another port in a file that Envoy takes at once, under the version that it had or another one."""
    other = file.with_name("new.json")
    content = json.loads(file.read_text().replace(f'"port_value": {before}', f'"port_value": {after}'))
    other.write_text(json.dumps({**content, **({"version_info": version} if version else {})}))
    os.replace(other, file)


def mislead(kept: Keeper, route: Route, rogue: int, *, moved: bool = False, version: str = "") -> None:
    """Lead the address to another process; where nothing is moved, put the file back in place, unseen by Envoy."""
    assert route.stable is not None
    place, right = kept.place, route.stable.ports[0]
    if moved:
        place = place.rename(place.with_name(".moved"))
    sound = (place / "clusters.json").read_text()
    exchange(place / "clusters.json", right, rogue, version)
    if moved:
        # So that files and socket are where they were, for who looks by their paths.
        shutil.copytree(place, kept.place, ignore=shutil.ignore_patterns("*.sock"))
        (kept.place / "clusters.json").write_text(sound)
        os.link(place / "admin.sock", kept.place / "admin.sock")
    deadline = time.monotonic() + 10
    while not moved and asked(route) != ROGUE:
        assert time.monotonic() < deadline, "Envoy took nothing"
    (kept.place / "clusters.json").write_text(sound)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [True, False], ids=["folder moved", "file put back"])
def test_an_address_leads_no_longer_to_another_process_than_a_look_takes(
    kept: Keeper, route: Route, answering: Callable[[bytes], int], moved: bool
) -> None:
    before = kept.state.pid
    mislead(kept, route, answering(ROGUE), moved=moved)
    until(kept, [route], lambda: kept.state.pid != before and asked(route) == SOUND)
    if moved:
        assert route.stable is not None
        exchange(kept.place.with_name(".moved") / "clusters.json", route.stable.ports[0], answering(ROGUE))
    after = kept.state.pid
    for _ in range(15):
        kept.keep([route])
        assert asked(route) == SOUND
        time.sleep(0.1)
    assert kept.state.pid == after


def test_a_file_that_was_taken_under_another_version_is_written_again(
    kept: Keeper, route: Route, answering: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoy, "AGAIN", 1.0)
    mislead(kept, route, answering(ROGUE), version="another")
    until(kept, [route], lambda: asked(route) == SOUND)


def test_a_new_supervisor_takes_over_no_router_of_a_moved_folder(
    kept: Keeper, route: Route, answering: Callable[[bytes], int]
) -> None:
    mislead(kept, route, answering(ROGUE), moved=True)
    fresh = Keeper(kept.settings, open_router(kept.settings))
    fresh.state = kept.state.model_copy()
    fresh.adopt()
    assert not fresh.state.running
    until(fresh, [route], lambda: asked(route) == SOUND)
    kept.state = fresh.state


def test_a_new_supervisor_takes_over_a_sound_router(kept: Keeper, route: Route) -> None:
    fresh = Keeper(kept.settings, open_router(kept.settings))
    fresh.state = kept.state.model_copy()
    fresh.adopt()
    assert fresh.state.running
    until(fresh, [route], lambda: asked(route) == SOUND)
    assert fresh.state.pid == kept.state.pid


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hangs", "socket exchanged"])
def test_a_router_that_does_not_answer_by_itself_is_started_anew(
    kept: Keeper, route: Route, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(envoy, "HANGS", 1.0)
    monkeypatch.setattr(envoy, "PATIENCE", 0.2)
    before = kept.state.pid
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if how == "hangs":
        os.kill(before, signal.SIGSTOP)
    else:
        (kept.place / "admin.sock").unlink()
        here = os.getcwd()
        os.chdir(kept.place)
        try:
            listening.bind("admin.sock")
        finally:
            os.chdir(here)
        listening.listen()
    assert kept.router.applied() == {}, "nothing is taken from another process, or from none"
    until(kept, [route], lambda: kept.state.pid != before and asked(route) == SOUND)
    listening.close()


def test_a_sound_router_is_left_alone_whatever_it_carries_out(
    kept: Keeper, route: Route, answering: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of resource is shown as it was written: of a rollout through all its steps, and after it."""
    monkeypatch.setattr(envoy, "LOOK", 0.0)
    monkeypatch.setattr(envoy, "REST", 0)
    before, other = kept.state.pid, Side("2_b", 2, (answering(OTHER),))
    copies = replace(route, candidate=other, shadow=30)
    steps = [copies, replace(copies, shadow=0, weight=40), replace(copies, shadow=100, weight=40)]
    steps += [replace(copies, shadow=0, weight=100), replace(route, stable=other, behind=route.stable), route]
    two = replace(route, model="n", port=process.free_port(kept.settings.port_range, avoid={route.port}), stable=None)
    for step in steps:
        until(kept, [step, two], lambda: asked(route) in (SOUND, OTHER))
        for _ in range(5):
            kept.keep([step, two])
            assert kept.router.doubt() == ""
    assert kept.state.pid == before and kept.state.restarts == 0
    # What it looked at was there, and would have been told.
    dump = json.dumps(json.loads(envoy.ask(kept.place, "/config_dump", before)))
    taken = {
        file.name: {item["name"]: plain(item) for item in json.loads(file.read_text())["resources"]}
        for file in kept.place.glob("*.json")
    }
    assert foreign(json.loads(dump), taken) == ""
    for text, what in (("/readyz", "cluster"), ("connect-failure", "route"), ("PASS_THROUGH", "listener")):
        told = foreign(json.loads(dump.replace(text, "another")), taken)
        assert told.startswith(f"it carries out another {what} of ")


def test_the_secret_of_the_router_is_in_no_file_that_others_may_read(kept: Keeper, route: Route) -> None:
    secret = router_secret(kept.settings)
    holding = [file for file in kept.settings.local.rglob("*") if file.is_file() and secret in file.read_text()]
    assert {file.name for file in holding} == {"router.key", "routes.m.json"}
    assert {file.stat().st_mode & 0o777 for file in holding} == {0o600}
