"""The supervisor looks often while somebody waits for a change, and seldom otherwise."""

import os

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.rollout import pace
from ml_platform.rollout.pace import AFTER, BUSY, CALM, Pace
from ml_platform.rollout.processes import Phase, ServiceState, now
from ml_platform.rollout.supervisor import Supervisor


class Clock:
    """A monotonic clock that goes on when it is told to."""

    at = 100.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def service(phase: Phase) -> ServiceState:
    return ServiceState(
        **{"model": "m", "version": 1, "tag": "m:1", "sha256": "a", "path": "bentos/m-1", "phase": phase, "port": 1},
        **{"url": "http://127.0.0.1:1", "since": now(), "log": "m.log", "pid": os.getpid()},
    )


def test_it_looks_often_right_after_a_change_only(time: Clock) -> None:
    kept = Pace()
    time.at += AFTER
    assert kept.pause([service("live")]) == CALM
    kept.changed()
    assert kept.pause([service("live")]) == BUSY
    time.at += AFTER
    assert kept.pause([service("live")]) == CALM


@pytest.mark.parametrize("phase", ["live", "draining", "stopping", "waiting"])
def test_it_looks_often_as_long_as_a_process_starts(time: Clock, phase: Phase) -> None:
    kept = Pace()
    time.at += 10 * AFTER
    assert kept.pause([service(phase), service("starting")]) == BUSY
    assert kept.pause([service(phase)]) == CALM


def test_a_supervisor_notes_what_changes_its_state_and_nothing_else(settings: Settings, time: Clock) -> None:
    supervisor = Supervisor(settings)
    supervisor.write()
    time.at += AFTER
    supervisor.write()
    assert supervisor.pace.pause(supervisor.fleet.services) == CALM
    supervisor.fleet.services.append(service("live"))
    supervisor.write()
    assert supervisor.pace.pause(supervisor.fleet.services) == BUSY
