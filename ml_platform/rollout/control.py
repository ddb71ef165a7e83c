"""Start and stop the supervisor from outside, and wait for what it does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.inherited import inherited, search_path
from ml_platform.foundation.locks import Locked, locked
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import PREFIX, ServiceOptions
from ml_platform.rollout.factory import open_records
from ml_platform.rollout.identity import orphans, stray_routers
from ml_platform.rollout.processes import SupervisorState, read_state, remove_copies, write_state
from ml_platform.rollout.record import Change
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.rules import ROUTED
from ml_platform.serving import process

#: Settings that the supervisor reads, beside those that it hands on to services.
READ = ("local", "host", "ports", "router", "service_ready_seconds")


class AlreadyRunning(PlatformError):
    """Another supervisor of the same ``local`` folder runs."""


@contextmanager
def only_one(settings: Settings) -> Generator[None]:
    """The lock that only one supervisor of an installation holds; the system frees it when the process ends."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder(settings) / "supervisor.lock", timeout=0))
        except Locked:
            pid = read_state(settings).pid
            raise AlreadyRunning(
                f"a supervisor runs already in {folder(settings)} (pid {pid}); stop it first"
            ) from None
        yield


def environment(settings: Settings) -> dict[str, str]:
    """The environment of the supervisor: what every child is given, and the settings that it reads.

    A project's own adapter of rollout records may read any setting and variable, so with one it is given all.
    """
    names = type(settings).model_fields if settings.adapters else (*READ, *ServiceOptions.model_fields)
    given = dict(os.environ) if settings.adapters else inherited("DAGSTER_HOME")
    for name in names:
        value = getattr(settings, name)
        given[f"{PREFIX}{name.upper()}"] = str(
            value.get_secret_value() if hasattr(value, "get_secret_value") else value
        )
    return given | {"PYTHONPATH": search_path()}


def ensure_running(settings: Settings, timeout: float = 20.0) -> SupervisorState:
    """Start the supervisor detached if it does not run; returns its state once it has taken over.

    Raises :class:`PlatformError` with the end of its log when it does not start.
    """
    state = read_state(settings)
    if state.running:
        return state
    # What it writes before it has its own log: a defect while it is imported.
    log = folder(settings) / "logs" / "supervisor.out"
    process.rotate(log)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "ml_platform.rollout.supervisor"],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        state = read_state(settings)
        if state.running:
            child.returncode = 0
            return state
        # 0: another supervisor won the race and is about to write its state.
        if child.poll():
            raise PlatformError(f"the supervisor ended at once: {_last_words(settings)}")
        time.sleep(0.05)
    child.returncode = 0
    raise PlatformError(f"the supervisor did not start within {timeout:g} s: {_last_words(settings)}")


def _last_words(settings: Settings) -> str:
    logs = [folder(settings) / "logs" / name for name in ("supervisor.out", "supervisor.log")]
    return process.tail(next((log for log in logs if log.exists() and log.stat().st_size), logs[0]))


def keep_running(settings: Settings) -> bool:
    """Start the supervisor again where it has ended and nobody stopped it; whether it was started."""
    state = read_state(settings)
    if not state.pid or state.stopped or state.running:
        return False
    ensure_running(settings)
    return True


def start_wanted(settings: Settings) -> bool:
    """Start the supervisor where a record names something that must run, also after a stop; whether it was started."""
    records = open_records(settings)
    if read_state(settings).running or not any(records.load(model).backends for model in records.models()):
        return False
    ensure_running(settings)
    return True


def stop_all(settings: Settings, timeout: float = 30.0) -> None:
    """Stop the supervisor, every service of this installation and its router, recorded or not."""
    state = read_state(settings)
    if state.running:
        process.stop(state.pid, state.start_time, timeout)
    state = read_state(settings)
    for service in state.services:
        process.signal_group(service.pid, service.start_time, signal.SIGTERM)
    for service in state.services:
        process.stop(service.pid, service.start_time)
    for pid, started, *_ in orphans(settings, set()):
        process.stop(pid, started)
    if state.router is not None:
        process.stop(state.router.pid, state.router.start_time)
    for pid, started in stray_routers(settings, set()):
        process.stop(pid, started)
    remove_copies(settings)
    if state.pid:
        ended = {"pid": 0, "start_time": 0.0, "services": [], "router": None, "routes": {}, "stopped": True}
        write_state(settings, state.model_copy(update=ended))


def wait_live(
    settings: Settings,
    model: str,
    sha256: str,
    timeout: float | None = None,
    snapshot: str | None = None,
    *,
    whole: bool = True,
) -> str:
    """Wait until a package is the stable version of ``model`` and its address leads to it; returns the address.

    ``snapshot``: from which history it must answer; None: from any. ``whole``: False is content with a candidate in its
    first step, which the router has acknowledged. Raises :class:`PlatformError` with the reason when
    it was rolled back or replaced, when that takes more than ``timeout`` seconds (by default the time to become ready
    and to be routed), or when no supervisor runs.
    """
    records = open_records(settings)
    timeout = settings.service_ready_seconds + ROUTED if timeout is None else timeout
    deadline = time.monotonic() + timeout
    while True:
        state, record = read_state(settings), records.load(model)
        wanted = (
            {(sha256, snapshot)}
            if snapshot is not None
            else {b.identity for b in record.backends if b.sha256 == sha256}
        )
        stable = record.stable is not None and record.stable.identity in wanted
        if stable and state.live(model, sha256, snapshot) is not None and (url := state.url(model)):
            return url
        if not state.running:
            raise PlatformError(f"{model} cannot become live: no supervisor runs; start it with ml-platform serve")
        under_way = record.candidate is not None and record.candidate.identity in wanted
        route = state.routes.get(model)
        if not whole and under_way and record.step and route is not None and route.revision >= record.revision:
            return route.url
        if not stable and not under_way and (ended := outcome(records.history(model), sha256, snapshot)):
            raise PlatformError(f"{model}: {ended}")
        if time.monotonic() >= deadline:
            found = [s for s in state.services if (s.model, s.sha256) == (model, sha256)]
            reason = found[0].error or f"it is {found[0].phase}" if found else "no record asks for it"
            raise PlatformError(f"{model} is not live after {timeout:g} s: {(route and route.error) or reason}")
        time.sleep(0.05)


def outcome(history: Sequence[Change], sha256: str, snapshot: str | None = None) -> str:
    """How the last rollout of a package ended, in a sentence; empty where it did not, or never began.

    ``snapshot``: of the package with this history; None: with any.
    """
    ended, candidate = "", None
    for change in history:
        if candidate is not None and change.candidate != candidate:
            other = change.candidate.said if change.candidate else "another"
            said = {"promote": "promoted", "roll_back": "rolled back", "withdraw": "withdrawn"}
            done = said.get(change.action, f"superseded by {other}")
            ended = f"{candidate.said} was {done} by {change.who}: {change.why}"
        found = change.candidate
        candidate = found if found and found.sha256 == sha256 and snapshot in (None, found.identity[1]) else None
        ended = "" if candidate is not None else ended
    return ended
