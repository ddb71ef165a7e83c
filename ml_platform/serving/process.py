"""Start, watch and stop the process of one packaged service.

One process per service: BentoML's worker runs directly on a socket that is bound here. ``bentoml serve``
would start a second process that imports everything first, and a taken port would show only in its log.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made
from ml_platform.foundation.inherited import inherited
from ml_platform.foundation.variables import PARENT
from ml_platform.serving import bundle
from ml_platform.serving.bentoml_internals import worker, worker_of

#: Where processes listen that only a router of this machine asks.
LOOPBACK = "127.0.0.1"
#: Connections that may wait to be accepted.
BACKLOG = 2048
#: A log larger than this is moved to ``<name>.1`` when the process starts, bytes.
MAX_LOG = 10 << 20
#: Seconds after which a service gives up a request.
REQUEST_TIMEOUT = 10
#: Seconds that running requests get to end after SIGTERM.
GRACE = REQUEST_TIMEOUT + 2
#: Seconds that an idle connection stays open.
KEEP_ALIVE = 60
#: Folder, in the home of a process, of the files in which it counts.
METRICS = "metrics"
#: Folder there of the copy of its package that it runs from, where nothing else is said.
COPY = "package"
#: Where a service sends traces is set for it by the standard names.
TRACES = "OTEL_"


class PortTaken(PlatformError):
    """Another process listens on the port."""


@dataclass(frozen=True)
class Started:
    """A started process. ``pid`` and ``start_time`` together name it for ever; a pid alone is used again."""

    pid: int
    #: Start of the process in seconds, in the system's own count (see :func:`start_time`).
    start_time: float
    port: int
    url: str
    log: Path
    started: float = field(default_factory=time.monotonic, compare=False)


def start_time(pid: int) -> float | None:
    """When a process started; None when it does not run (or has ended and waits to be reaped)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        # Ticks since boot: unlike a time of day they do not move when the clock is set.
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def alive(pid: int, started: float) -> bool:
    """Whether the process that was started then still runs."""
    if pid <= 0:
        return False
    reap(pid)
    return start_time(pid) == started


def leads_session(pid: int) -> bool:
    """Whether it is the service itself: its children have the same environment, but not their own session."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def works_in(pid: int, folder: Path) -> bool:
    """Whether the working folder of a process is the one that has this path now, by device and number: a path that was
    moved is another folder. True for a process that has ended."""
    import psutil

    try:
        # What the link leads to, not its text: that names the folder where it is now, also after it was moved.
        there = f"/proc/{pid}/cwd" if Path("/proc/self/cwd").exists() else psutil.Process(pid).cwd()
        place = os.stat(there)
    except (FileNotFoundError, psutil.Error):
        return start_time(pid) is None
    try:
        return os.path.samestat(place, folder.stat())
    except FileNotFoundError:
        return False


def command(pid: int) -> list[str]:
    """The command that a process runs, with its arguments; none where that cannot be told."""
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def reap(pid: int) -> None:
    """Take the exit status of an ended child; nothing when it runs or is not a child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on a port; nobody accepts yet. Raises :class:`PortTaken`.

    Not only bound: while none of them listens, several sockets may be bound to one port, and two services that
    start at once would take the same.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} on {host} is taken; free it or set ML_PLATFORM_PORTS") from error
        raise PlatformError(
            f"cannot listen on {host}:{port}: {error.strerror}; set ML_PLATFORM_HOST and _PORTS"
        ) from error
    return bound


def free_port(ports: Iterable[int], host: str = "127.0.0.1", avoid: Iterable[int] = ()) -> int:
    """The first port that nobody holds. Raises :class:`PortTaken` when there is none."""
    ports, avoided = list(ports), set(avoid)
    for port in ports:
        if port in avoided:
            continue
        try:
            bind(host, port).close()
        except PortTaken:
            continue
        return port
    shown = f"{min(ports)}-{max(ports)}" if len(ports) > 1 else f"{ports}"
    raise PortTaken(f"no port of {shown} is free on {host}; free one or set ML_PLATFORM_PORTS")


def start(
    bento: Path,
    port: int,
    home: Path,
    env: Mapping[str, str],
    log: Path,
    host: str = "127.0.0.1",
    parent: int | None = None,
    *,
    sha256: str = "",
    copy: Path | None = None,
) -> Started:
    """Start the service of a packaged folder in its own session; returns before it is ready.

    It runs from a private copy at ``copy`` (by itself :data:`COPY` in ``home``), which must hold the content
    ``sha256`` (see :func:`~ml_platform.serving.bundle.private_copy`). ``home`` becomes its own BENTOML_HOME
    (:data:`METRICS` is in it), ``env`` is added to what every child is given (see ``foundation.inherited``). ``parent``
    is the reading end of a pipe: the service ends when the pipe does. Raises :class:`PortTaken`, and
    :class:`PlatformError` when ``bento`` is no package, or another one.
    """
    bento, home, log = bento.resolve(), home.resolve(), log.resolve()
    if not (bento / "bento.yaml").is_file():
        raise PlatformError(f"{bento} is not a packaged service (no bento.yaml); package the version first")
    bound = bind(host, port)
    try:
        # After the port is ours: what runs at another one has a copy of its own.
        bento = bundle.private_copy(bento, (copy or home / COPY).resolve(), sha256)
        metrics = home / METRICS
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
        rotate(log)
        environment = inherited(TRACES) | {
            "BENTOML_HOME": str(home),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "BENTOML_DO_NOT_TRACK": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": "1",
            "POLARS_MAX_THREADS": "1",
            **env,
            **({PARENT: str(parent)} if parent is not None else {}),
        }
        with log.open("ab") as output:
            # start_new_session: a signal to this process's group, or its end, leaves the service alone.
            child = subprocess.Popen(
                worker(bento, bound.fileno(), keep_alive=KEEP_ALIVE, grace=GRACE),
                cwd=bento / bundle.SOURCE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(bound.fileno(),) if parent is None else (bound.fileno(), parent),
                start_new_session=True,
            )
    finally:
        bound.close()
    # Ended children are taken by pid (reap), so that a successor of this process can do the same.
    child.returncode = 0
    return Started(child.pid, start_time(child.pid) or 0.0, port, f"http://{host}:{port}", log)


def runs(command: Sequence[str], package: Path) -> bool:
    """Whether a command is that of a service's process, of this package."""
    expected = worker_of(package)
    return list(command[1 : 1 + len(expected)]) == expected


def rotate(log: Path) -> None:
    """Make room for a process's log: its folder, and one that is too large moved aside."""
    made(log.parent)
    if log.exists() and log.stat().st_size > MAX_LOG:
        os.replace(log, log.with_name(f"{log.name}.1"))


def ready(url: str, timeout: float = 2.0, path: str = "/readyz") -> dict[str, str] | None:
    """Headers of a positive answer of ``/readyz`` (lower case); None when there is none."""
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=timeout) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}
    except (urllib.error.URLError, OSError, ValueError):
        return None


def wait_ready(started: Started, timeout: float) -> float:
    """Wait until the service answers ``/readyz``; returns the seconds since its start.

    Ready means that the model is loaded and has predicted. Raises :class:`PlatformError` with the end of
    the log when the process ends first or the time is over; a process that is too slow is left running.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if ready(started.url) is not None:
            return time.monotonic() - started.started
        if not alive(started.pid, started.start_time):
            raise PlatformError(f"service on port {started.port} ended before it was ready: {tail(started.log)}")
        time.sleep(0.05)
    raise PlatformError(
        f"service on port {started.port} is not ready after {timeout:g} s (ML_PLATFORM_SERVICE_READY_SECONDS): "
        f"{tail(started.log)}"
    )


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log in one line, with its path."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 8192))
            text = stream.read().decode(errors="replace")
    except OSError as error:
        return f"log {log} cannot be read ({error.strerror})"
    last = [line.strip() for line in text.splitlines() if line.strip()][-lines:]
    return f"{' | '.join(last) or 'no output'} (log: {log})"


def signal_group(pid: int, started: float, number: int) -> bool:
    """Signal a service and its children; False when it does not run any more. Never a process that reuses the pid."""
    if not alive(pid, started):
        return False
    try:
        # The group is the service's own only because it was started in its own session.
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def stop(pid: int, started: float, timeout: float = GRACE + 5) -> None:
    """End a service: SIGTERM to its group, SIGKILL after ``timeout`` seconds. Nothing when it has ended."""
    for number, seconds in ((signal.SIGTERM, timeout), (signal.SIGKILL, 5.0)):
        if not signal_group(pid, started, number):
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not alive(pid, started):
                return
            time.sleep(0.02)
    raise PlatformError(f"process {pid} does not end, even after SIGKILL; see its state with ps")
