"""Start and stop the supervisor from outside, and wait for what it does."""

import os
import subprocess
import sys
import time
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.processes import SupervisorState, orphans, read_state, write_state
from ml_platform.rollout.record_files import folder
from ml_platform.serving import process


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for a process that must have the same ones."""
    values = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        values[f"ML_PLATFORM_{name.upper()}"] = str(
            value.get_secret_value() if hasattr(value, "get_secret_value") else value
        )
    return values


def ensure_running(settings: Settings, timeout: float = 20.0) -> SupervisorState:
    """Start the supervisor detached if it does not run; returns its state once it has taken over.

    Raises :class:`PlatformError` with the end of its log when it does not start.
    """
    state = read_state(settings)
    if state.running:
        return state
    log = folder(settings) / "logs" / "supervisor.log"
    made(log.parent)
    code = str(Path(__file__).resolve().parents[2])
    inherited = {
        **os.environ,
        **environment(settings),
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")])),
    }
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "ml_platform.rollout.supervisor"],
            env=inherited,
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
            raise PlatformError(f"the supervisor ended at once: {process.tail(log)}")
        time.sleep(0.05)
    child.returncode = 0
    raise PlatformError(f"the supervisor did not start within {timeout:g} s: {process.tail(log)}")


def stop_all(settings: Settings, timeout: float = 30.0) -> None:
    """Stop the supervisor and every service of this installation, recorded or not."""
    state = read_state(settings)
    if state.running:
        process.stop(state.pid, state.start_time, timeout)
    state = read_state(settings)
    for service in state.services:
        process.stop(service.pid, service.start_time)
    for pid, started, *_ in orphans(settings, set()):
        process.stop(pid, started)
    write_state(settings, state.model_copy(update={"pid": 0, "start_time": 0.0, "services": []}))


def wait_live(settings: Settings, model: str, sha256: str, timeout: float | None = None) -> str:
    """Wait until the package ``sha256`` answers for ``model``; returns its URL.

    Raises :class:`PlatformError` with the reason when it does not within ``timeout`` seconds (by default the
    time to become ready), or when no supervisor runs.
    """
    timeout = settings.service_ready_seconds if timeout is None else timeout
    deadline = time.monotonic() + timeout
    while True:
        state = read_state(settings)
        service = state.live(model, sha256)
        if service is not None and service.running:
            return service.url
        if not state.running:
            raise PlatformError(f"{model} cannot become live: no supervisor runs; start it with ml-platform serve")
        if time.monotonic() >= deadline:
            found = [s for s in state.services if (s.model, s.sha256) == (model, sha256)]
            reason = found[0].error or f"it is {found[0].phase}" if found else "no record asks for it"
            raise PlatformError(f"{model} is not live after {timeout:g} s: {reason}")
        time.sleep(0.1)
