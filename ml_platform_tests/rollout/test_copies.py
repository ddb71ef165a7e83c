"""A running installation and a copy of its folder beside it: whose service answers is never left open."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import INSTALLATION
from ml_platform.pipeline.answering import answering
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import processes, supervisor
from ml_platform.rollout.changes import addressed, started
from ml_platform.rollout.placement import Placement
from ml_platform.rollout.processes import RouteState, SupervisorState, owner, read_state, write_state
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.serving import process
from ml_platform.serving.client import AnotherInstallation, Client, predict
from ml_platform_tests.conftest import ports

#: Sockets cannot be copied, and files that are being written are gone before they are.
PASSING = shutil.ignore_patterns("*.sock", ".*.tmp")


class Original:
    """A service that names the installation that started it, as those of packages do."""

    def __init__(self, installation: str) -> None:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(200)
                self.send_header("x-service-sha256", "a")
                self.send_header(INSTALLATION, installation)
                self.end_headers()
                self.wfile.write(json.dumps({"version": 1, "sha256": "a" * 64, "predictions": [1]}).encode())

            do_POST = do_GET

            def log_message(self, format: str, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def original() -> Iterator[Original]:
    found = Original("theirs")
    threading.Thread(target=found.server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_client_takes_no_answer_of_another_installation(original: Original) -> None:
    for ask in (
        lambda: Client(original.url, owner="ours").info(),
        lambda: predict(original.url, [{}], owner="ours"),
    ):
        with pytest.raises(AnotherInstallation, match=r"another installation \(theirs, not ours\).*ML_PLATFORM_PORTS"):
            ask()
    assert predict(original.url, [{}], owner="theirs")["predictions"] == [1]


def test_status_tells_that_another_installation_answers(settings: Settings, original: Original) -> None:
    me = {"pid": os.getpid(), "start_time": process.start_time(os.getpid()) or 0.0}
    backend = Backend(version=1, tag="m:1", sha256="a", path="bentos/m-1")
    service = processes.describe(settings, ("m", ("a", ""), 0), backend, me["pid"], me["start_time"], 1, "http://x")
    service.enter("live")
    route = RouteState(url=original.url, port=original.port, revision=1, version=1, sha256="a")
    state = SupervisorState(owner=owner(settings), services=[service], routes={"m": route})
    assert answering(state, "m")[2] == "another installation answers"
    assert answering(state.model_copy(update={"owner": "theirs"}), "m")[2] == "live"


def test_the_address_of_a_record_is_looked_at_once(settings: Settings, original: Original) -> None:
    here = settings.model_copy(update={"ports": f"{original.port}-{original.port + 1}"})
    placement = Placement(here, {})
    assert placement.elsewhere("m", original.port, False) == "another installation answers there"
    assert placement.elsewhere("m", original.port, False) == ""
    assert "none of ML_PLATFORM_PORTS" in Placement(here, {}).elsewhere("m", original.port + 2, False)
    assert Placement(here, {}).elsewhere("m", None, False) == ""
    # Where a model was asked so far, whoever stands there now is the one that has to go.
    was = RouteState(url=original.url, port=original.port, revision=1, version=1, sha256="a")
    assert Placement(here, {"m": was}).elsewhere("m", original.port, False) == ""


def test_what_a_copy_finds_taken_is_not_its_address(settings: Settings) -> None:
    held = process.bind("127.0.0.1", 0)
    port = held.getsockname()[1]
    here = settings.model_copy(update={"ports": f"{port}"})
    try:
        # Nothing answers: where this folder was always here, somebody is in the way and the address stays.
        write_state(here, SupervisorState(owner=owner(here)))
        assert Placement(here, {}).elsewhere("m", port, False) == ""
        write_state(here, SupervisorState(owner="theirs"))
        assert "this folder is a copy" in Placement(here, {}).elsewhere("m", port, False)
        assert Placement(here, {}).elsewhere("m", port, True) == "", "our own router holds it"
    finally:
        held.close()
    assert Placement(here, {}).elsewhere("m", port, False) == "", "a folder that was moved keeps its addresses"


def test_a_record_says_why_it_has_another_address() -> None:
    backend = Backend(version=1, tag="m:1", sha256="a", path="bentos/m-1")
    from ml_platform.rollout.record import RolloutRecord

    record = addressed(started(RolloutRecord(model="m"), backend, by="ann", why="test"), 1)
    moved = addressed(record, 2, instead="another installation answers there")
    assert moved.port == 2 and moved.change is not None
    assert moved.change.why == "asked at port 2 instead of 1: another installation answers there"


@pytest.mark.slow
@pytest.mark.parametrize("router", ["envoy", "direct"])
def test_a_copy_of_a_running_installation_answers_at_an_address_of_its_own(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, router: str
) -> None:
    if router == "envoy" and not Envoy.is_here():
        pytest.skip("there is no wheel of Envoy for this machine")
    own = own.model_copy(update={"router": router})
    backend = Backend(version=first.version, tag=first.tag, sha256=first.sha256, path=first.path)
    RecordFiles(own).update(first.model, lambda record: started(record, backend, by="ann", why="test"))
    try:
        supervisor.ensure_running(own)
        theirs = supervisor.wait_live(own, first.model, first.sha256, 60)
        place = own.local.with_name("copy")
        shutil.copytree(own.local, place, symlinks=True, ignore=PASSING)
        # The same ports: what a person gets who copies the folder and its settings.
        copy = own.model_copy(update={"local": place})
        with Client(theirs, owner=owner(own)) as client:
            assert client.info()["version"] == 1
        with pytest.raises(AnotherInstallation), Client(theirs, owner=owner(copy)) as client:
            client.info()
        try:
            supervisor.ensure_running(copy)
            ours = supervisor.wait_live(copy, first.model, first.sha256, 60)
            assert ours != theirs
            for url, settings in ((theirs, own), (ours, copy)):
                # Each connection anew: with a shared port, every second one would be the other's.
                for _ in range(10):
                    with Client(url, owner=owner(settings)) as client:
                        assert client.info()["version"] == 1
            why = [change.why for change in RecordFiles(copy).history(first.model) if change.action == "address"]
            assert why[-1].endswith("another installation answers there")
            assert answering(read_state(copy), first.model)[2] == "live"
        finally:
            supervisor.stop_all(copy)
        assert answering(read_state(own), first.model)[2] == "live"
        # The other way: who names a range, is asked in that range.
        other = own.model_copy(update={"local": place, "ports": ports(26500, 20)})
        shutil.rmtree(place)
        shutil.copytree(own.local, place, symlinks=True, ignore=PASSING)
        try:
            supervisor.ensure_running(other)
            url = supervisor.wait_live(other, first.model, first.sha256, 60)
            assert int(url.rpartition(":")[2]) in other.port_range
        finally:
            supervisor.stop_all(other)
    finally:
        supervisor.stop_all(own)
