"""Rollouts under constant load through Envoy: nobody sees a failed answer, or one of a version that should not be."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import supervisor
from ml_platform.rollout.changes import returned, started
from ml_platform.rollout.pairs import log_folder
from ml_platform.rollout.processes import read_state
from ml_platform.rollout.record import Backend, RolloutRecord, Rules, ShadowGate, Step
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.serving.client import Client, ServiceDown
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform_tests.serving.conftest import UNTIL, Inputs, make_raw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Envoy.is_here(), reason="there is no wheel of Envoy for this machine"),
]

STEPS = (
    Step(shadow=100, requests=30),
    Step(weight=10, requests=20, seconds=1),
    Step(weight=50, requests=50, seconds=1),
)

#: When invented requests came, in nanoseconds: no request of a test comes later.
FAR = 4_000_000_000_000_000_000

#: What copies of requests must show; the two versions differ in their number only.
GATES = [
    ShadowGate(declared={"gate": "shadow", "name": metric, "metric": metric, "max": limit})
    for metric, limit in (("outputs", 1e-6), ("decisions", 0.2), ("latency", 200.0))
]


@pytest.fixture
def own(own: Settings) -> Settings:
    return own.model_copy(update={"router": "envoy", "prediction_log_seconds": 0.2})


def backend(ref: ServiceRef) -> Backend:
    return Backend(version=ref.version, tag=ref.tag, sha256=ref.sha256, path=ref.path)


def begin(own: Settings, ref: ServiceRef, steps: Sequence[Step] = (), **further: Any) -> None:
    RecordFiles(own).update(
        "tiny", lambda record: started(record, backend(ref), by="ann", why="test", strategy=steps, **further)
    )


def ended(own: Settings, seconds: float = 90) -> RolloutRecord:
    """The record once no rollout is under way."""
    deadline = time.monotonic() + seconds
    while (record := RecordFiles(own).load("tiny")).candidate is not None:
        assert time.monotonic() < deadline, f"it is in step {record.step} still"
        time.sleep(0.05)
    return record


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


@contextmanager
def load(url: str, body: bytes, clients: int = 8, pause: float = 0.02) -> Generator[Counter[str]]:
    """So many clients that ask all the time; what they got: version, or what came in place of an answer."""
    got: Counter[str] = Counter()
    ending, lock = threading.Event(), threading.Lock()

    def ask() -> None:
        with Client(url, again=False) as client:
            while not ending.wait(pause):
                try:
                    status, content = client.send("POST", "/predict", body)
                    seen = f"version {json.loads(content)['version']}" if status == 200 else f"status {status}"
                except ServiceDown as down:
                    seen = f"no answer: {down}"
                with lock:
                    got[seen] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield got
    finally:
        ending.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def body(inputs: Inputs) -> bytes:
    return json.dumps({"rows": inputs.rows(1)}).encode()


def test_through_all_steps_and_back_nobody_sees_a_failure(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, body: bytes
) -> None:
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, "tiny", first.sha256, 60)
    with load(url, body) as got:
        begin(own, second, STEPS, gates=GATES)
        record = ended(own)
        assert record.stable is not None and record.stable.version == 2
        (compared,) = [change.judged for change in RecordFiles(own).history("tiny") if change.judged]
        assert {one.status for one in compared} == {"passed"} and min(one.requests for one in compared) >= 20
        done = [change.action for change in RecordFiles(own).history("tiny")][-6:]
        assert done == ["start", "step", "step", "step", "step", "promote"]
        supervisor.wait_live(own, "tiny", second.sha256, 20)
        # Whoever asks from now on is answered by the new version.
        before = got["version 1"]
        time.sleep(1)
        assert got["version 1"] == before
        RecordFiles(own).update("tiny", lambda record: returned(record, backend(first), by="ann", why="test"))
        back = ended(own)
        assert back.stable is not None and back.stable.version == 1
        supervisor.wait_live(own, "tiny", first.sha256, 20)
        time.sleep(0.5)
    assert set(got) == {"version 1", "version 2"}, got
    assert min(got.values()) > 30


def invented(own: Settings, ref: ServiceRef, role: str, requests: int, rows: int) -> None:
    """Write to the log that a version answered requests that nobody sent."""
    log = PredictionLog(log_folder(own), Answerer("tiny", ref.version, ref.sha256), flush_seconds=60)
    asked, given = make_raw(requests * rows, UNTIL, 1).drop("late"), np.full(rows, 0.5, np.float32)
    for number, of_one in enumerate(asked.iter_slices(rows)):
        assert log.add(Asked(f"{FAR + number}-9", role=role), of_one, given)
    log.close()


@pytest.mark.parametrize(("requests", "rows", "what"), [(2000, 1, "requests"), (1, 2000, "rows")])
def test_copies_that_nobody_sent_let_no_candidate_go_on(
    own: Settings,
    supervised: Callable[[], int],
    first: ServiceRef,
    second: ServiceRef,
    body: bytes,
    requests: int,
    rows: int,
    what: str,
) -> None:
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, "tiny", first.sha256, 60)
    gate = {"gate": "shadow", "name": "outputs", "metric": "outputs", "max": 1e-6, "min_support": 2000}
    with load(url, body, clients=2):
        # No rule shall send the candidate back before the gate has looked, however busy the machine is.
        begin(own, second, STEPS[:1], gates=[ShadowGate(declared=gate)], rules=Rules(requests=10**6))
        until(lambda: RecordFiles(own).load("tiny").step == 1)
        time.sleep(2)
        for ref, role in ((first, "stable"), (second, "shadow")):
            invented(own, ref, role, requests, rows)
        until(
            lambda: (
                RecordFiles(own).load("tiny").candidate is None
                or "somebody wrote to it" in read_state(own).routes["tiny"].error
            ),
            60,
        )
        assert RecordFiles(own).load("tiny").candidate is not None, RecordFiles(own).history("tiny")[-1].why
        record = RecordFiles(own).load("tiny")
        assert record.step == 1 and record.candidate is not None
        error = read_state(own).routes["tiny"].error
        assert f"of more {what} than" in error and "move its newest files away" in error


def test_candidate_and_one_of_two_stable_processes_are_killed_and_nobody_sees_it(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, body: bytes
) -> None:
    supervised()
    begin(own, first, replicas=2)
    url = supervisor.wait_live(own, "tiny", first.sha256, 90)
    with load(url, body, clients=4) as got:
        begin(own, second, (Step(weight=50, requests=100_000),), replicas=2)
        deadline = time.monotonic() + 60
        while not got["version 2"]:
            assert time.monotonic() < deadline, got
            time.sleep(0.05)
        services = read_state(own).services
        os.kill(next(service.pid for service in services if service.version == 2), signal.SIGKILL)
        record = ended(own, 20)
        assert record.stable is not None and record.stable.version == 1
        change = RecordFiles(own).history("tiny")[-1]
        assert (change.action, change.who) == ("roll_back", "supervisor") and "ended" in change.why
        os.kill(next(service.pid for service in services if service.version == 1), signal.SIGKILL)
        time.sleep(3)
    assert set(got) == {"version 1", "version 2"}, got


def test_a_supervisor_that_is_killed_in_a_step_loses_nothing(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, body: bytes
) -> None:
    pid = supervised()
    begin(own, first)
    url = supervisor.wait_live(own, "tiny", first.sha256, 60)
    with load(url, body, clients=4) as got:
        begin(own, second, STEPS)
        deadline = time.monotonic() + 60
        while RecordFiles(own).load("tiny").step != 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        assert supervised() != pid
        record = ended(own)
        assert record.stable is not None and record.stable.version == 2
    assert set(got) == {"version 1", "version 2"}, got


def test_refused_rows_send_a_candidate_back_within_seconds(
    own: Settings, supervised: Callable[[], int], first: ServiceRef, second: ServiceRef, body: bytes
) -> None:
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, "tiny", first.sha256, 60)
    with load(url, body, clients=2):
        begin(own, second, (Step(weight=10, requests=100_000),), rules=Rules(requests=20))
        with Client(url) as client:
            status = 0
            deadline = time.monotonic() + 60
            # A client that the new version alone refuses: it chooses that version, as mixed traffic would by chance.
            while RecordFiles(own).load("tiny").candidate is not None:
                assert time.monotonic() < deadline
                status, _ = client.send("POST", "/predict", b'{"rows": []}', {"x-ml-version": "2"})
                time.sleep(0.02)
    change = RecordFiles(own).history("tiny")[-1]
    assert change.action == "roll_back" and change.why.startswith("refused: ") and status in (422, 200)
    assert RecordFiles(own).load("tiny").stable == backend(first)


def test_a_file_that_envoy_refuses_leaves_the_stable_version_answering(
    own: Settings,
    supervised: Callable[[], int],
    first: ServiceRef,
    second: ServiceRef,
    body: bytes,
) -> None:
    """A folder in place of the routes' file: the supervisor can write nothing, and Envoy keeps what it has."""
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, "tiny", first.sha256, 60)
    routes = own.local / "rollout" / "envoy" / "routes.tiny.json"
    with load(url, body, clients=2) as got:
        routes.unlink()
        (routes / "in the way").mkdir(parents=True)
        begin(own, second)
        record = ended(own)
        assert read_state(own).running and record.stable == backend(first)
        change = RecordFiles(own).history("tiny")[-1]
        assert change.action == "roll_back" and "the router did not" in change.why
    assert set(got) == {"version 1"}, got
