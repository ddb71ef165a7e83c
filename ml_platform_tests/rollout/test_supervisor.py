"""The supervisor with real processes: start, replace, restart, take over, stop."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import processes, supervisor
from ml_platform.rollout.processes import ServiceState, read_state
from ml_platform.rollout.record import Backend, deployed, withdrawn
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.serving import process
from ml_platform.serving.client import Client, ServiceDown
from ml_platform_tests.serving.conftest import Inputs

pytestmark = pytest.mark.slow


def deploy(settings: Settings, ref: ServiceRef) -> None:
    backend = Backend(version=ref.version, tag=ref.tag, sha256=ref.sha256, path=ref.path)
    RecordFiles(settings).update(ref.model, lambda record: deployed(record, backend, by="ann", why="test"))


def live(settings: Settings, ref: ServiceRef) -> ServiceState:
    supervisor.wait_live(settings, ref.model, ref.sha256, 60)
    found = read_state(settings).live(ref.model, ref.sha256)
    assert found is not None
    return found


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def version(url: str) -> int:
    with Client(url) as client:
        return client.info()["version"]


def test_deploy_replace_and_stop(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, inputs: Inputs
) -> None:
    # Whoever comes first starts it; the others find it.
    with ThreadPoolExecutor(3) as pool:
        (pid,) = set(pool.map(lambda _: supervised(), range(3)))
    deploy(own, first)
    one = live(own, first)
    assert version(one.url) == 1
    with pytest.raises(supervisor.AlreadyRunning, match=str(pid)):
        supervisor.supervise(own)
    assert supervised() == pid

    deploy(own, second)
    rows = inputs.rows()
    # Until the new one is live the old one answers.
    while read_state(own).live("tiny", second.sha256) is None:
        with Client(one.url) as client:
            assert len(client.predict(rows)["predictions"]) == len(rows)
    two = live(own, second)
    assert version(two.url) == 2
    until(lambda: not process.alive(one.pid, one.start_time))
    until(lambda: [s.version for s in read_state(own).services] == [2])

    RecordFiles(own).update("tiny", lambda record: withdrawn(record, by="ann", why="test"))
    until(lambda: not process.alive(two.pid, two.start_time))
    supervisor.stop_all(own)
    assert not process.alive(pid, read_state(own).start_time)
    with pytest.raises(PlatformError, match="no supervisor runs"):
        supervisor.wait_live(own, "tiny", second.sha256, 5)
    with pytest.raises(ServiceDown, match="is the service running"), Client(two.url) as client:
        client.info()


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
    assert version(after.url) == 1


def test_a_killed_supervisor_is_succeeded_without_a_second_service(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    pid = supervised()
    deploy(own, first)
    before = live(own, first)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not read_state(own).running)
    assert version(before.url) == 1  # it answers without a supervisor
    assert supervised() != pid
    after = live(own, first)
    assert (after.pid, after.restarts) == (before.pid, 0)
    # The successor watches the adopted process too, although it is not its child.
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: read_state(own).services[0].restarts == 1)
    assert live(own, first).pid != before.pid


def test_a_service_whose_start_was_never_recorded_is_found(
    own: Settings, supervised: Callable[[], int], first: ServiceRef
) -> None:
    deploy(own, first)
    backend = RecordFiles(own).load("tiny").stable
    assert backend is not None
    # What a supervisor leaves that is killed between starting a service and writing its state.
    started = processes.spawn(own, "tiny", backend, 0, set())
    supervised()
    assert live(own, first).pid == started.pid
    supervisor.stop_all(own)
    assert not started.running


def test_a_version_that_cannot_start_leaves_the_old_one_in_place(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, tmp_path: Path
) -> None:
    supervised()
    deploy(own, first)
    one = live(own, first)
    deploy(own, second.model_copy(update={"path": str(tmp_path / "nowhere")}))
    with pytest.raises(PlatformError, match="does not hold the package of the record"):
        supervisor.wait_live(own, "tiny", second.sha256, 2)
    assert version(one.url) == 1
    assert read_state(own).live("tiny") is not None
    # And a rollback to it changes nothing about its process.
    deploy(own, first)
    until(lambda: len(read_state(own).services) == 1)
    assert live(own, first).pid == one.pid
