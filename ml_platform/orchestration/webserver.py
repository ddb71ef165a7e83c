"""Starts and stops Dagster's UI in the background: webserver, daemon and code server on one storage."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_platform.documents import server as reports
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.inherited import inherited
from ml_platform.foundation.locks import locked
from ml_platform.foundation.project import Project
from ml_platform.foundation.settings import Settings, default_home
from ml_platform.serving.process import rotate

if TYPE_CHECKING:
    import psutil

DEFAULT_PORT = 3000
LOCAL = "ML_PLATFORM_LOCAL"
#: Record of the process that serves the reports, beside that of the UI.
REPORTS = "reports.json"
#: Seconds until the first page must be there; the code server imports the definitions once.
READY_SECONDS = 180.0
#: Seconds for an orderly end; a run in progress is given this long.
STOP_SECONDS = 30.0
_COMMAND = ("-W", "ignore", "-m", "dagster", "dev", "--log-format", "json")


class UiRecord(BaseModel):
    """The running UI, as kept in ``<local>/ui/ui.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    #: Start time of that process: a recycled process id is never mistaken for it.
    created: float
    url: str
    #: The folder of what runs write that it works on; empty: an earlier release did not say.
    local: str = ""


def start(settings: Settings, port: int = DEFAULT_PORT) -> str:
    """Start the UI and wait until it answers; returns its URL, also when it is running already.

    Listens on ``settings.ui_host``. Raises PlatformError when the port is taken, when another UI of this
    project listens elsewhere, or when it does not come up; its output is in ``<local>/ui/ui.log``, which is moved aside
    once it is large.
    """
    folder = settings.local / "ui"
    url = f"http://{settings.ui_host}:{port}"
    with locked(folder / "ui.lock"):
        running = status(settings)
        if running and not _answers(running):
            _end(settings, running)  # a process of it was killed: what is left serves nobody
            running = None
        if running:
            if running.url == url:
                return url
            raise PlatformError(f"the UI of this project runs already at {running.url}; `make stop` ends it")
        _require_free(settings.ui_host, port)
        home = default_home()
        places = _places(home)
        own = {"DAGSTER_HOME": str(home), LOCAL: str(settings.local.resolve())}
        log = folder / "ui.log"
        rotate(log)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *_COMMAND, *places, "--host", settings.ui_host, "--port", str(port)],
                cwd=home,
                env=os.environ | own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = UiRecord(pid=process.pid, created=_created(process.pid), url=url, local=own[LOCAL])
        write_atomic(folder / "ui.json", record.model_dump_json())
        try:
            _wait_ready(process, url, log)
            if reports.is_here(settings):
                _start_reports(settings, own)
        except BaseException:
            _end(settings, record)
            raise
    return url


def _places(home: Path) -> tuple[str, ...]:
    """Where Dagster finds the definitions: by ``workspace.yaml``, else by the project. Raises NoProject."""
    if (home / "workspace.yaml").is_file():
        return "--workspace", "workspace.yaml"
    project = Project.find(home)
    return "--module-name", project.definitions, "--working-directory", str(project.code)


def _start_reports(settings: Settings, own: dict[str, str]) -> None:
    """Serve the reports at their address, in a process of its own."""
    _end_reports(settings)
    address = reports.address(settings)
    _require_free(*address, "ML_PLATFORM_REPORTS_URL")
    log = settings.local / "ui" / "reports.log"
    rotate(log)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ml_platform.documents.server"],
            env=inherited() | own | {"ML_PLATFORM_REPORTS_URL": settings.reports_url},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = UiRecord(pid=process.pid, created=_created(process.pid), url=settings.reports_url, local=own[LOCAL])
    write_atomic(settings.local / "ui" / REPORTS, record.model_dump_json())
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
            return
        time.sleep(0.1)
    _end_reports(settings)
    raise PlatformError(f"reports are not served at {settings.reports_url}: see {log}")


def _end_reports(settings: Settings) -> None:
    record = _read(settings.local / "ui" / REPORTS)
    if record:
        _end_processes(record)
    (settings.local / "ui" / REPORTS).unlink(missing_ok=True)


def stop(settings: Settings) -> bool:
    """End the UI, its daemon, its code server and the runs they started; True when one was running."""
    record = status(settings)
    if record:
        _end(settings, record)
    _end_reports(settings)
    return record is not None


def status(settings: Settings) -> UiRecord | None:
    """The UI that was started and not stopped, as long as any of its processes lives; else None."""
    return _read(_record_file(settings))


def _read(path: Path) -> UiRecord | None:
    """The record in a file, where any of its processes lives and works on this folder; else the file is removed."""
    try:
        record = UiRecord.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise PlatformError(f"{path} is unreadable: end the UI by hand, then remove the file") from error
    # A copy of the folder holds the record of the original's UI.
    if record.local in ("", str(path.parent.parent.resolve())) and _session(record):
        return record
    path.unlink(missing_ok=True)
    return None


def _answers(record: UiRecord) -> bool:
    """Whether the first process lives, which ends with any of its own, and its page answers."""
    return any(process.pid == record.pid for process in _session(record)) and _is_dagster(record.url)


def _is_dagster(url: str) -> bool:
    import httpx

    with contextlib.suppress(httpx.TransportError, json.JSONDecodeError):
        answer = httpx.get(f"{url}/server_info", timeout=5)
        return answer.status_code == 200 and "dagster_webserver_version" in answer.json()
    return False


def _record_file(settings: Settings) -> Path:
    return settings.local / "ui" / "ui.json"


def _created(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def _session(record: UiRecord) -> "list[psutil.Process]":
    """Live processes of the session that the UI's first process leads, children of dead parents included."""
    import psutil

    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            if os.getsid(process.pid) != record.pid or process.create_time() < record.created:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def _require_free(host: str, port: int, setting: str = "UI_PORT") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PlatformError(
                f"port {port} on {host} cannot be used for the UI ({error.strerror}): set {setting}"
            ) from error


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise PlatformError(f"the UI ended with code {process.returncode}; the end of {log}:\n{tail}")
        if _is_dagster(url):
            return
        time.sleep(0.2)
    raise PlatformError(f"the UI did not answer at {url} within {READY_SECONDS:.0f} s: see {log}")


def _end(settings: Settings, record: UiRecord) -> None:
    _end_processes(record)
    _record_file(settings).unlink(missing_ok=True)


def _end_processes(record: UiRecord) -> None:
    """Interrupt the first process, which ends its services in order; then end what is left."""
    import psutil

    left = _session(record)
    for process in left:
        if process.pid == record.pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
            _, left = psutil.wait_procs(left, timeout=STOP_SECONDS)
            break
    for signal_name in ("terminate", "kill"):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, signal_name)()
        psutil.wait_procs(left, timeout=5)
        left = _session(record)
    if left:
        raise PlatformError(f"processes {[process.pid for process in left]} of the UI did not end")
