"""The processes that the supervisor keeps: their recorded state, and finding again what already runs."""

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes, write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import IDENTITY, OWNER
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import folder
from ml_platform.serving import bundle, process

logger = logging.getLogger(__name__)

Phase = Literal["starting", "live", "draining", "stopping", "waiting"]


class ServiceState(BaseModel):
    """One service of the supervisor.

    ``phase``: ``starting`` (runs, not ready), ``live`` (ready), ``draining`` (replaced, finishes its requests),
    ``stopping``, ``waiting`` (ended, is started again later).
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str
    version: int
    tag: str
    sha256: str
    path: str
    phase: Phase
    pid: int = 0
    start_time: float = 0.0
    port: int
    url: str
    log: str
    ready: bool = False
    #: How often it was started again after it ended or did not become ready.
    restarts: int = 0
    #: When it entered its phase, ISO time.
    since: str
    #: Why it does not run, in one line.
    error: str = ""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.pid > 0 and process.alive(self.pid, self.start_time)

    def enter(self, phase: Phase) -> None:
        """Change the phase."""
        self.phase, self.ready, self.since = phase, phase in {"live", "draining"}, now()


class SupervisorState(BaseModel):
    """``state.json``: the supervisor and its services."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    pid: int = 0
    start_time: float = 0.0
    since: str = ""
    services: list[ServiceState] = []

    @property
    def running(self) -> bool:
        """Whether this supervisor runs."""
        return self.pid > 0 and process.alive(self.pid, self.start_time)

    def live(self, model: str, sha256: str | None = None) -> ServiceState | None:
        """The service of a model that answers now; of that content, where ``sha256`` is given."""
        for service in self.services:
            if service.model == model and service.phase == "live" and sha256 in (None, service.sha256):
                return service
        return None


def now() -> str:
    """Present time, ISO, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def state_path(settings: Settings) -> Path:
    """File of the supervisor's state."""
    return folder(settings) / "state.json"


def read_state(settings: Settings) -> SupervisorState:
    """The recorded state; an empty one where no supervisor ever ran. Raises PlatformError for a damaged file."""
    path = state_path(settings)
    try:
        return SupervisorState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return SupervisorState()
    except ValidationError as error:
        raise PlatformError(f"{path} is damaged: stop the services by hand, then delete it ({error})") from error


def write_state(settings: Settings, state: SupervisorState) -> None:
    """Write the state atomically."""
    write_atomic(state_path(settings), state.model_dump_json(indent=1) + "\n")


def owner(settings: Settings) -> str:
    """Name of this installation's supervisor in the environment of its services."""
    return sha256_bytes(str(folder(settings).resolve()))[:16]


def spawn(settings: Settings, model: str, backend: Backend, port: int, avoid: set[int]) -> ServiceState:
    """Start the service of a backend, on ``port`` if it is free, else on another of the range (not one of ``avoid``).

    A port that the record names is never replaced. Raises :class:`PlatformError` when the package is not there,
    is not the one of the record, or no port is free.
    """
    content = Path(backend.path) / bundle.SOURCE
    if not content.is_dir() or bundle.content_sha256(content) != backend.sha256:
        raise PlatformError(
            f"{model} version {backend.version}: {backend.path} does not hold the package of the record; package it"
        )
    home = folder(settings) / "processes" / f"{model}-{backend.version}-{backend.sha256[:12]}"
    log = folder(settings) / "logs" / f"{model}-{backend.version}-{backend.sha256[:12]}.log"
    log_folder = settings.prediction_log or str(settings.local / "predictions")
    environment = {**settings.for_service(prediction_log=log_folder), OWNER: owner(settings)}
    refused = set(avoid)
    while True:
        wanted = backend.port or port or process.free_port(settings.port_range, settings.host, refused)
        identity = f"{model} {backend.sha256} {wanted}"
        try:
            started = process.start(
                Path(backend.path),
                wanted,
                home / str(wanted),
                {**environment, IDENTITY: identity},
                log,
                settings.host,
            )
        except process.PortTaken:
            if backend.port:
                raise
            refused.add(wanted)
            port = 0
            continue
        return describe(model, backend, started.pid, started.start_time, wanted, started.url, log)


def describe(model: str, backend: Backend, pid: int, start_time: float, port: int, url: str, log: Path) -> ServiceState:
    """State of a backend's process that is starting."""
    return ServiceState(
        model=model,
        version=backend.version,
        tag=backend.tag,
        sha256=backend.sha256,
        path=backend.path,
        phase="starting",
        pid=pid,
        start_time=start_time,
        port=port,
        url=url,
        log=str(log),
        since=now(),
    )


def orphans(settings: Settings, known: set[int]) -> Iterator[tuple[int, float, str, str, int]]:
    """Services of this installation that no state mentions: pid, start time, model, sha256, port.

    A supervisor that is killed between starting a service and recording it leaves one.
    """
    import psutil

    mine = owner(settings)
    for found in psutil.process_iter():
        if found.pid in known or found.pid == os.getpid():
            continue
        try:
            environment = found.environ()
        except (psutil.Error, OSError):
            continue  # another user's process, or one that has just ended
        if environment.get(OWNER) != mine or IDENTITY not in environment:
            continue
        started = process.start_time(found.pid)
        model, sha256, port = environment[IDENTITY].split()
        if started is not None and _leads_session(found.pid):
            yield found.pid, started, model, sha256, int(port)


def _leads_session(pid: int) -> bool:
    """Whether it is the service itself: its children have the same environment, but not their own session."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False
