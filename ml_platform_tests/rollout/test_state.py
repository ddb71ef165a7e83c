"""The state of a supervisor is that of one folder: a copy beside the original has none of its processes."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.rollout import control
from ml_platform.rollout.processes import (
    RouterState,
    RouteState,
    ServiceState,
    SupervisorState,
    now,
    owner,
    read_state,
    state_path,
    write_state,
)
from ml_platform.rollout.targets import targets_path
from ml_platform.serving import process


def answering(settings: Settings) -> SupervisorState:
    """A supervisor whose processes all are this one."""
    me = {"pid": os.getpid(), "start_time": process.start_time(os.getpid())}
    service = ServiceState(
        **{"model": "m", "version": 1, "tag": "m:1", "sha256": "a", "path": "bentos/m-1", "phase": "live", "port": 1},
        **{"url": "http://127.0.0.1:1", "since": now(), "log": f"{settings.local}/rollout/logs/m.log", **me},
    )
    route = RouteState(url="http://127.0.0.1:1", port=1, revision=1, version=1, sha256="a")
    return SupervisorState(
        owner=owner(settings), services=[service], router=RouterState(kind="direct", **me), routes={"m": route}, **me
    )


@pytest.fixture
def copied(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the folder of an installation whose services answer."""
    write_state(settings, answering(settings))
    shutil.copytree(settings.local, tmp_path / "copy")
    return settings.model_copy(update={"local": tmp_path / "copy"})


def test_a_copy_knows_none_of_the_processes_of_the_original(settings: Settings, copied: Settings) -> None:
    assert read_state(settings).running and read_state(settings).url("m")
    found = read_state(copied)
    assert not found.running and found.services == [] and found.url("m") is None
    assert not control.keep_running(copied), "nothing starts because the original runs"
    control.stop_all(copied)  # this process goes on
    assert read_state(settings).running


def test_an_address_is_told_once_requests_there_are_led_to_a_process_that_answers(settings: Settings) -> None:
    state = answering(settings)
    # The router was told before the process was ready: its address answers 503 until it is told again.
    state.routes["m"].ports = ()
    assert state.url("m") is None and state.live("m") is None
    state.routes["m"].ports = (1,)
    assert state.url("m") and state.live("m")


def test_a_state_of_format_3_does_not_say_what_code_its_supervisor_runs(settings: Settings) -> None:
    write_state(settings, answering(settings))
    value = json.loads(state_path(settings).read_text()) | {"format": 3}
    del value["code"]
    state_path(settings).write_text(json.dumps(value))
    assert read_state(settings).url("m") and read_state(settings).code == ""


def test_a_state_of_format_2_says_nothing_of_ports(settings: Settings) -> None:
    write_state(settings, answering(settings))
    value = json.loads(state_path(settings).read_text()) | {"format": 2}
    del value["code"], value["routes"]["m"]["ports"]
    state_path(settings).write_text(json.dumps(value))
    assert read_state(settings).url("m")


def test_a_state_of_format_1_belongs_to_the_folder_of_its_logs(settings: Settings, copied: Settings) -> None:
    for one in (settings, copied):
        value = json.loads(state_path(one).read_text()) | {"format": 1}
        del value["code"], value["owner"], value["routes"]["m"]["ports"]
        state_path(one).write_text(json.dumps(value))
    assert read_state(settings).live("m") and not read_state(copied).running


def test_an_edited_state_leads_no_request_to_another_host(settings: Settings) -> None:
    state = answering(settings)
    state.routes["m"].url = state.services[0].url = "http://192.0.2.7:1"
    write_state(settings, state)
    found = read_state(settings)
    assert (found.url("m"), found.services[0].url) == ("http://127.0.0.1:1", "http://127.0.0.1:1")


def test_a_collector_of_metrics_finds_what_answers(settings: Settings) -> None:
    state = answering(settings)
    write_state(settings, state)
    path = targets_path(settings)
    labels = {"model": "m", "version": "1", "replica": "0"}
    assert json.loads(path.read_text()) == [{"targets": ["127.0.0.1:1"], "labels": labels}]
    written = path.stat().st_mtime_ns
    write_state(settings, state)
    assert path.stat().st_mtime_ns == written
    state.services[0].phase = "waiting"
    write_state(settings, state)
    assert json.loads(path.read_text()) == []
