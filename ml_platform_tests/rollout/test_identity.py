"""A new supervisor takes over what the one before it had started, and no process that an edited file names."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import IDENTITY, OWNER
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import identity, supervisor
from ml_platform.rollout.changes import started
from ml_platform.rollout.processes import ServiceState, owner, read_state, write_state
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.serving import bundle, process

pytestmark = pytest.mark.slow


@contextmanager
def another(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[int, float]]:
    """A process by another hand: its pid and start time."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, start_new_session=True)
    try:
        yield child.pid, process.start_time(child.pid) or 0.0
    finally:
        child.kill()
        child.wait()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def own(own: Settings) -> Settings:
    return own.model_copy(update={"router": "direct"})


def live(settings: Settings, ref: ServiceRef) -> ServiceState:
    supervisor.wait_live(settings, ref.model, ref.sha256, 60)
    found = read_state(settings).live(ref.model, ref.sha256)
    assert found is not None
    return found


@pytest.mark.parametrize("named", [False, True], ids=["any process", "one that calls itself ours"])
def test_a_process_that_an_edited_state_names_is_not_taken_over(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, named: bool
) -> None:
    pid = supervised()
    backend = Backend(version=first.version, tag=first.tag, sha256=first.sha256, path=first.path)
    RecordFiles(own).update(first.model, lambda record: started(record, backend, by="ann", why="test"))
    before = live(own, first)
    assert identity.doubt(own, before) == ""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not read_state(own).running)
    name = f"{first.model} {first.sha256} {before.port} - 0"
    environment = {OWNER: owner(own), IDENTITY: name} if named else {}
    folder = own.local / first.path / bundle.SOURCE
    with another(environment, folder) as (theirs, began):
        state = read_state(own)
        (service,) = state.services
        service.pid, service.start_time = theirs, began
        assert state.router is not None
        router = state.router.pid
        state.router.pid, state.router.start_time = theirs, began
        write_state(own, state)
        assert identity.doubt(own, service)
        assert supervised() != pid

        def found() -> tuple[int | None, int | None]:
            now = read_state(own)
            service = now.live(first.model, first.sha256)
            return service and service.pid, now.router and now.router.pid

        # What it had really started it finds by itself, and it ends no process of others.
        until(lambda: found()[0] == before.pid and found()[1] not in (None, 0, theirs, router))
        if not named:
            assert process.start_time(theirs) == began
