"""The supervisor with real processes and each router: start, replace, restart, take over, stop."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import control, fleet, processes, supervisor
from ml_platform.rollout.changes import started, withdrawn
from ml_platform.rollout.counts import answers_of
from ml_platform.rollout.processes import ServiceState, metrics_of, read_state
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.targets import targets_path
from ml_platform.serving import process
from ml_platform.serving.client import Client, RequestRefused, ServiceDown
from ml_platform_tests.serving.conftest import Inputs

pytestmark = pytest.mark.slow


def deploy(settings: Settings, ref: ServiceRef) -> None:
    backend = Backend(version=ref.version, tag=ref.tag, sha256=ref.sha256, path=ref.path)
    RecordFiles(settings).update(ref.model, lambda record: started(record, backend, by="ann", why="test"))


def live(settings: Settings, ref: ServiceRef) -> ServiceState:
    url = supervisor.wait_live(settings, ref.model, ref.sha256, 60)
    state = read_state(settings)
    found = state.live(ref.model, ref.sha256)
    assert found is not None and state.url(ref.model) == url
    return found


def address(settings: Settings) -> str:
    return read_state(settings).routes["tiny"].url


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def taken(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def version(url: str) -> int:
    with Client(url) as client:
        return client.info()["version"]


def answers(url: str, wanted: int) -> bool:
    """Whether the version answers there; nobody does yet where Envoy knows of no process."""
    try:
        return version(url) == wanted
    except (RequestRefused, ServiceDown):
        return False


@pytest.fixture(params=["envoy", "direct"])
def own(own: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "envoy" and not Envoy.is_here():
        pytest.skip("there is no wheel of Envoy for this machine")
    return own.model_copy(update={"router": request.param})


def test_deploy_replace_and_stop(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, inputs: Inputs
) -> None:
    # Whoever comes first starts it; the others find it.
    with ThreadPoolExecutor(3) as pool:
        (pid,) = set(pool.map(lambda _: supervised(), range(3)))
    deploy(own, first)
    one = live(own, first)
    url = address(own)
    assert version(url) == 1 and url != one.url
    with pytest.raises(supervisor.AlreadyRunning, match=str(pid)):
        supervisor.supervise(own)
    assert supervised() == pid

    deploy(own, second)
    rows = inputs.rows()
    # Until the new one is live the old one answers, at the same address.
    answered = []
    while read_state(own).live("tiny", second.sha256) is None:
        with Client(url) as client:
            answered.append(client.predict(rows)["version"])
    assert answered == sorted(answered) and answered[0] == 1
    two = live(own, second)
    runs_in = Path(psutil.Process(two.pid).cwd()).parent
    assert own.local / "running" in runs_in.parents and runs_in.stat().st_mode & 0o777 == 0o700
    (target,) = [one for one in json.loads(targets_path(own).read_text()) if one["labels"]["version"] == "2"]
    with Client(f"http://{target['targets'][0]}") as collector:
        assert 'ml_service_rows_total{model="tiny",version="2"}' in collector.metrics()
    assert version(url) == 2 and address(own) == url
    record = RecordFiles(own).load("tiny")
    assert record.previous is not None and (record.previous.version, record.candidate) == (1, None)
    until(lambda: not process.alive(one.pid, one.start_time))
    until(lambda: [s.version for s in read_state(own).services] == [2])

    RecordFiles(own).update("tiny", lambda record: withdrawn(record, by="ann", why="test"))
    until(lambda: not process.alive(two.pid, two.start_time))
    until(lambda: not [*(own.local / "running").glob("*/*")])
    with pytest.raises(ServiceDown, match="is the service running"), Client(url) as client:
        client.info()
    router = read_state(own).router
    assert router is not None and router.running
    supervisor.stop_all(own)
    assert not process.alive(pid, read_state(own).start_time) and not router.running
    with pytest.raises(PlatformError, match="no supervisor runs"):
        supervisor.wait_live(own, "tiny", second.sha256, 5)


def test_a_killed_service_comes_back_on_its_port(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    supervised()
    deploy(own, first)
    before = live(own, first)
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: read_state(own).services[0].restarts == 1)
    after = live(own, first)
    assert after.pid != before.pid
    assert after.url == before.url
    # Envoy asks the process again before it sends it requests.
    until(lambda: answers(address(own), 1))


def test_a_killed_supervisor_is_succeeded_without_a_second_service(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    pid = supervised()
    deploy(own, first)
    before = live(own, first)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not read_state(own).running)
    assert version(address(own)) == 1  # it answers without a supervisor
    assert supervised() != pid
    after = live(own, first)
    assert (after.pid, after.restarts) == (before.pid, 0)
    # The successor watches the adopted process too, although it is not its child.
    os.kill(before.pid, signal.SIGKILL)

    def replaced() -> bool:
        found = read_state(own).live("tiny")
        return found is not None and found.pid != before.pid

    until(replaced)


def test_a_supervisor_that_is_asked_to_end_stops_nothing(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    pid = supervised()
    deploy(own, first)
    before, url = live(own, first), address(own)
    router = read_state(own).router
    os.kill(pid, signal.SIGTERM)
    until(lambda: not read_state(own).running)
    assert version(url) == 1 and before.running
    # It was not stopped by a person: any command starts it again, and it takes all of that over.
    assert control.keep_running(own) and not control.keep_running(own)
    assert live(own, first).pid == before.pid
    taken = read_state(own).router
    assert router is not None and taken is not None and taken.pid == router.pid
    supervisor.stop_all(own)
    assert not control.keep_running(own)


def test_a_router_that_is_killed_comes_back_at_its_address(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    supervised()
    deploy(own, first)
    live(own, first)
    url = address(own)
    before = read_state(own).router
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)

    def answers() -> bool:
        return process.ready(url) is not None

    until(lambda: not answers() or (read_state(own).router or before).pid != before.pid)
    until(answers, 5)
    assert version(url) == 1


def test_a_hung_service_is_replaced_and_delays_no_other(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    supervised()
    deploy(own, first)
    before = live(own, first)
    os.kill(before.pid, signal.SIGSTOP)
    at = time.monotonic()
    until(lambda: read_state(own).services[0].restarts == 1)
    # A stopped process costs no look of the supervisor more than a moment.
    assert time.monotonic() - at < fleet.HANGS + 3
    assert live(own, first).pid != before.pid and not before.running


def test_a_service_whose_start_was_never_recorded_is_found(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    deploy(own, first)
    backend = RecordFiles(own).load("tiny").candidate
    assert backend is not None
    # What a supervisor leaves that is killed between starting a service and writing its state.
    left = processes.spawn(own, ("tiny", backend.identity, 0), backend, 0, set())
    supervised()
    assert live(own, first).pid == left.pid
    supervisor.stop_all(own)
    assert not left.running


def test_a_version_that_cannot_start_leaves_the_old_one_in_place(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, tmp_path: Path
) -> None:
    supervised()
    deploy(own, first)
    one = live(own, first)
    deploy(own, second.model_copy(update={"path": str(tmp_path / "nowhere")}))
    with pytest.raises(PlatformError, match=r"rolled back by supervisor: .*is not a packaged service"):
        supervisor.wait_live(own, "tiny", second.sha256, 10)
    assert version(address(own)) == 1
    record = RecordFiles(own).load("tiny")
    assert (record.stable and record.stable.version, record.candidate, record.previous) == (1, None, None)
    until(lambda: len(read_state(own).services) == 1)
    assert live(own, first).pid == one.pid


def test_a_first_version_that_never_answers_is_never_stable(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    own = own.model_copy(update={"service_ready_seconds": 0.5})
    deploy(own, first)
    supervisor.ensure_running(own)
    with pytest.raises(PlatformError, match=r"rolled back by supervisor: not ready after 0.5 s"):
        supervisor.wait_live(own, "tiny", first.sha256, 20)
    assert RecordFiles(own).load("tiny").backends == ()
    until(lambda: read_state(own).services == [])


def test_two_processes_of_a_version_answer_and_one_may_die(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    supervised()
    backend = Backend(version=1, tag=first.tag, sha256=first.sha256, path=first.path)
    RecordFiles(own).update("tiny", lambda record: started(record, backend, by="ann", why="test", replicas=2))
    live(own, first)
    url, (one, other) = address(own), read_state(own).services
    with Client(url) as client:
        client.info()
    os.kill(one.pid, signal.SIGKILL)
    if own.router == "direct":
        # The connections that the process had are lost there; its socket takes some until its last thread has ended.
        until(lambda: not taken(one.port) or read_state(own).services[0].pid != one.pid)
    for _ in range(40):
        with Client(url, again=False) as client:
            assert client.info()["version"] == 1
    until(lambda: all(service.phase == "live" for service in read_state(own).services))
    assert {service.pid for service in read_state(own).services} > {other.pid}


def test_requests_to_each_path_that_predicts_count_for_the_rules(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    """`direct` counts none itself: what the process counts of them is all that its rules see."""
    supervised()
    deploy(own, first)
    service = live(own, first)
    with Client(address(own)) as client:
        documented = json.loads(client.send("GET", "/docs.json")[1])["paths"]
        posted = {path: methods["post"]["responses"] for path, methods in documented.items() if "post" in methods}
        predicting = [path for path, answers in posted.items() if "409" in answers]
        assert "/explain" in predicting
        assert {client.send("POST", path, b"{}")[0] for path in predicting} == {422}
    until(lambda: answers_of(metrics_of(own, service)).traffic.refused == len(predicting))
