"""Databases that are away, packages that are gone, a disk that is full: a bad candidate goes back, the stable version
answers, and what could not be told is told once."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline import rollout
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.users import load
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import supervisor
from ml_platform.rollout.changes import rolled_back, started
from ml_platform.rollout.processes import read_state
from ml_platform.rollout.record import Backend, Rules, Step
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.serving.client import Client
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.serving.conftest import Inputs

NAME = "tiny"
#: Servers of both databases at which nobody listens.
AWAY = {
    "ledger_url": SecretStr("postgresql+psycopg://u@127.0.0.1:1/ledger"),
    "mlflow_tracking_uri": SecretStr("http://127.0.0.1:1"),
}
WAITS = (Step(weight=50, requests=100_000),)
real = pytest.mark.slow, pytest.mark.skipif(not Envoy.is_here(), reason="there is no wheel of Envoy for this machine")


def backend(ref: ServiceRef) -> Backend:
    return Backend(version=ref.version, tag=ref.tag, sha256=ref.sha256, path=ref.path)


def begin(own: Settings, ref: ServiceRef, steps: tuple[Step, ...] = (), rules: Rules | None = None) -> None:
    RecordFiles(own).update(
        NAME, lambda record: started(record, backend(ref), by="ann", why="test", strategy=steps, rules=rules)
    )


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def stepped(own: Settings) -> bool:
    """Whether the candidate has begun its first step."""
    return RecordFiles(own).load(NAME).step == 1


def gone(own: Settings) -> bool:
    return RecordFiles(own).load(NAME).candidate is None


def body(inputs: Inputs) -> bytes:
    return json.dumps({"rows": inputs.rows(1)}).encode()


def pid_of(own: Settings, version: int) -> int:
    return next(service.pid for service in read_state(own).services if service.version == version)


def live(own: Settings, version: int) -> bool:
    """Whether a process of a version runs; what the state says of it may be old where nothing can be written."""
    return any(service.version == version and service.running for service in read_state(own).services)


@pytest.fixture
def known(own: Settings, first: ServiceRef, second: ServiceRef) -> Workspace:
    """Ledger and registry know both versions, and that their packages may take over."""
    workspace = Workspace(own)
    for ref in (first, second):
        registered(workspace.registry, trained(workspace.registry, NAME, seed=ref.version), "approved")
        rollout.begin(workspace, NAME, backend(ref), Run.new(), by="ann", why="test")
    return workspace


def told(workspace: Workspace) -> list[tuple[str, int]]:
    entries = workspace.ledger.entries(subject_name=f"{NAME}/champion")
    return [(entry.kind, entry.body["version"]) for entry in entries]


def champion(workspace: Workspace) -> int | None:
    found = workspace.registry.champion(NAME)
    return found.version if found else None


@pytest.mark.slow
@pytest.mark.parametrize("missing", [("ledger_url",), ("mlflow_tracking_uri",)])
def test_a_decision_counts_while_a_database_is_away_and_is_told_once(
    known: Workspace, second: ServiceRef, first: ServiceRef, missing: tuple[str, ...]
) -> None:
    own = known.settings
    begin(own, first)
    RecordFiles(own).update(NAME, lambda record: record if record.stable else rolled_back(record, why="not ready"))
    assert rollout.project(known, NAME, Run.new()) == 1
    begin(own, second)
    away = Workspace(own.model_copy(update={name: AWAY[name] for name in missing}))
    assert rollout.decide(away, NAME, "abort", by="ann", reason="no") != ""
    assert RecordFiles(own).load(NAME).candidate is None
    assert told(known) == [("rollback", 1)]
    assert [line.partition(":")[0] for line in rollout.attend(known, [NAME])] == [NAME]
    assert told(known) == [("rollback", 1), ("rollback", 2)] and rollout.attend(known, [NAME]) == []


@real[0]
@real[1]
def test_a_break_is_rolled_back_without_databases_and_told_exactly_once(
    own: Settings,
    supervised: Callable[[], int],
    known: Workspace,
    first: ServiceRef,
    second: ServiceRef,
    inputs: Inputs,
) -> None:
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, NAME, first.sha256, 60)
    rollout.project(known, NAME, Run.new())
    assert (told(known), champion(known)) == ([("promotion", 1)], 1)
    away = Workspace(own.model_copy(update=AWAY))
    with load(url, [body(inputs)], clients=2) as users, Client(url) as client:
        begin(own, second, WAITS, Rules(requests=20))
        # Rows that the new version alone is asked, and refuses.
        until(lambda: client.send("POST", "/predict", b'{"rows": []}', {"x-ml-version": "2"}) and gone(own))
    change = RecordFiles(own).history(NAME)[-1]
    assert (change.action, change.who) == ("roll_back", "supervisor") and change.why.startswith("refused: ")
    assert set(users.got) <= {"version 1", "version 2"} and users.got["version 1"]
    (line,) = rollout.attend(away, [NAME])
    assert "127.0.0.1:1/ledger does not answer as it should" in line
    assert (told(known), champion(known)) == ([("promotion", 1)], 1)
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: rollout.attend(Workspace(own), [NAME]), range(4)))
    assert sorted(map(len, said)) == [0, 0, 0, 1]
    assert (told(known), champion(known)) == ([("promotion", 1), ("rollback", 2)], 1)


@real[0]
@real[1]
def test_packages_that_are_deleted_while_a_candidate_dies_leave_the_stable_version_answering(
    own: Settings,
    supervised: Callable[[], int],
    first: ServiceRef,
    second: ServiceRef,
    inputs: Inputs,
) -> None:
    supervised()
    begin(own, first)
    url = supervisor.wait_live(own, NAME, first.sha256, 60)
    with load(url, [body(inputs)], clients=2) as users:
        begin(own, second, WAITS)
        until(lambda: stepped(own) and users.got["version 2"])
        for ref in (first, second):
            (own.local / ref.path).unlink()
        os.kill(pid_of(own, 2), signal.SIGKILL)
        until(lambda: gone(own))
        before = users.got["version 1"]
        until(lambda: users.got["version 1"] > before + 20)
    assert set(users.got) == {"version 1", "version 2"}, users.got
    assert RecordFiles(own).load(NAME).stable == backend(first)
    begin(own, second)
    until(lambda: gone(own))
    assert "package" in RecordFiles(own).history(NAME)[-1].why


@real[0]
@real[1]
@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_a_full_disk_takes_a_bad_candidate_from_its_users_and_is_caught_up_with(
    own: Settings,
    supervised: Callable[[], int],
    first: ServiceRef,
    second: ServiceRef,
    inputs: Inputs,
) -> None:
    import resource

    pid = supervised()
    begin(own, first)
    url = supervisor.wait_live(own, NAME, first.sha256, 60)
    with load(url, [body(inputs)], clients=2) as users, Client(url) as client:
        begin(own, second, WAITS, Rules(requests=20))
        until(lambda: stepped(own) and users.got["version 2"])
        # No byte more of any file: what a full disk is to whoever writes.
        limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limit[1]))
        until(lambda: client.send("POST", "/predict", b'{"rows": []}', {"x-ml-version": "2"}) and not live(own, 2))
        seen, before = users.got["version 2"], users.got["version 1"]
        until(lambda: users.got["version 1"] > before + 200)
        # It cannot be written down, and nobody is answered by it.
        assert users.got["version 2"] <= seen + 1 and not gone(own)
        assert read_state(own).pid == pid and read_state(own).running
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        until(lambda: gone(own))
    assert set(users.got) == {"version 1", "version 2"}, users.got
    assert RecordFiles(own).history(NAME)[-1].action == "roll_back"
    assert RecordFiles(own).load(NAME).stable == backend(first)
