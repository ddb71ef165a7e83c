"""The processes that the supervisor keeps: their recorded state, and finding again what already runs."""

import json
import logging
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made, sha256_bytes, write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import IDENTITY, OWNER, ROUTED
from ml_platform.rollout.pairs import log_folder
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.targets import Target, write_targets
from ml_platform.serving import process
from ml_platform.serving.hashed_keys import kept_secret, secret_of

logger = logging.getLogger(__name__)

#: Which process: model, package and history (see ``Backend.identity``), number among equals.
Key = tuple[str, tuple[str, str], int]
#: What stands for the router in place of a service's identity.
ROUTER = "router"
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
    #: sha256 of the history that it answers from; empty: the one in the package.
    snapshot: str = ""
    #: Number among the processes of one backend.
    replica: int = 0
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

    @property
    def key(self) -> Key:
        """Which process it is."""
        return self.model, (self.sha256, self.snapshot), self.replica

    @property
    def named(self) -> str:
        """Which process it is, for people."""
        return (
            f"{self.model} version {self.version}"
            f"{f', history {self.snapshot[:12]}' if self.snapshot else ''}"
            f"{f', process {self.replica + 1}' if self.replica else ''}"
        )

    def enter(self, phase: Phase) -> None:
        """Change the phase."""
        self.phase, self.ready, self.since = phase, phase in {"live", "draining"}, now()


class RouteState(BaseModel):
    """Where a model is asked and what answers there, as the router has acknowledged it."""

    model_config = ConfigDict(extra="forbid")

    url: str
    port: int
    #: Revision of the record that it carries out; version, package and history that answer.
    revision: int
    version: int
    sha256: str
    snapshot: str = ""
    #: Ports of the processes that requests are led to. A process that became ready after the router was told is none of
    #: them yet. None: a state of an earlier release does not say.
    ports: tuple[int, ...] | None = None
    #: Why what the record asks for now is not carried out; empty where it is.
    error: str = ""


class RouterState(BaseModel):
    """The process behind the models' addresses."""

    model_config = ConfigDict(extra="forbid")

    #: ``envoy`` or ``direct``.
    kind: str
    pid: int = 0
    start_time: float = 0.0
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.pid > 0 and process.alive(self.pid, self.start_time)


class SupervisorState(BaseModel):
    """``state.json``: the supervisor, its services, and where models are asked."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[4] = 4
    #: Whose processes these are (:func:`owner`): a copy of the folder is none of theirs.
    owner: str = ""
    pid: int = 0
    start_time: float = 0.0
    since: str = ""
    #: What it runs, as :func:`~ml_platform.foundation.provenance.platform_code` names it; empty: an earlier release.
    code: str = ""
    #: Whether a person stopped it: nothing starts it again by itself.
    stopped: bool = False
    services: list[ServiceState] = []
    router: RouterState | None = None
    #: By model.
    routes: dict[str, RouteState] = {}

    @property
    def running(self) -> bool:
        """Whether this supervisor runs."""
        return self.pid > 0 and process.alive(self.pid, self.start_time)

    def live(self, model: str, sha256: str | None = None, snapshot: str | None = None) -> ServiceState | None:
        """A running process that the model's address leads to; of that package and history, where they are given."""
        route = self.routes.get(model)
        if route is None or sha256 not in (None, route.sha256) or snapshot not in (None, route.snapshot):
            return None
        for service in self.services:
            if (service.model, service.sha256, service.snapshot) == (model, route.sha256, route.snapshot) and (
                service.phase == "live" and service.running and (route.ports is None or service.port in route.ports)
            ):
                return service
        return None

    def url(self, model: str) -> str | None:
        """Where a model is asked, where anything answers there: a process runs, and the router in front of it."""
        if self.router is None or not self.router.running or self.live(model) is None:
            return None
        return self.routes[model].url


def now() -> str:
    """Present time, ISO, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def state_path(settings: Settings) -> Path:
    """File of the supervisor's state."""
    return folder(settings) / "state.json"


def read_state(settings: Settings) -> SupervisorState:
    """The recorded state; an empty one where no supervisor ever ran, or where the folder came from elsewhere.

    Raises PlatformError for a damaged file.
    """
    path, mine = state_path(settings), owner(settings)
    try:
        state = SupervisorState.model_validate(upgraded(json.loads(path.read_bytes())))
    except FileNotFoundError:
        return SupervisorState(owner=mine)
    except ValueError as error:
        raise PlatformError(f"{path} is damaged: stop the services by hand, then delete it ({error})") from error
    # A file that anybody can edit names no other host: requests to these addresses carry the key.
    for route in state.routes.values():
        route.url = f"http://{settings.host}:{route.port}"
    for service in state.services:
        service.url = f"http://{process.LOOPBACK}:{service.port}"
    # Of a copy, the processes serve the original; whether anything shall run is kept.
    return state if state.owner in ("", mine) else SupervisorState(owner=mine, stopped=state.stopped)


def upgraded(value: Any) -> Any:
    """A state of format 3, which did not say what code it runs, of format 2, whose routes named no ports, or of
    format 1, which did not say whose it is: the logs of its services lie in its folder."""
    if not isinstance(value, dict) or value.get("format") not in (1, 2, 3):
        return value
    if value["format"] != 1:
        return {**value, "format": 4}
    log = next((service.get("log") for service in value.get("services") or []), "")
    return {**value, "format": 4, "owner": _owner(Path(log).parent.parent) if log else ""}


def write_state(settings: Settings, state: SupervisorState) -> None:
    """Write the state atomically, and where a collector finds metrics."""
    write_atomic(state_path(settings), state.model_dump_json(indent=1) + "\n")
    answering = (one for one in state.services if one.phase in {"live", "draining"})
    write_targets(settings, (Target(one.port, one.model, one.version, one.replica) for one in answering))


def owner(settings: Settings) -> str:
    """Name of this installation's supervisor in the environment of its services."""
    return _owner(folder(settings))


def _owner(place: Path) -> str:
    return sha256_bytes(str(place.resolve()))[:16]


def metrics_of(settings: Settings, service: ServiceState) -> Path:
    """Folder of the files in which a process counts."""
    return _place(settings, service.key, service.version)[0] / str(service.port) / process.METRICS


def router_secret(settings: Settings) -> str:
    """What the router of this installation says with each request, so that its services believe its headers and no
    caller's; in a file of its own beside what others may have to read. Raises PlatformError where it cannot be read."""
    path = made(settings.local) / "router.key"
    try:
        return kept_secret(path)
    except OSError as error:
        raise PlatformError(
            f"{path}: the router's secret cannot be read ({error.strerror}); make it readable"
        ) from error


def copies(settings: Settings) -> Path:
    """Folder of the copies of packages that processes run from, beside what others may have to write to."""
    return settings.local.resolve() / "running"


def copy_of(settings: Settings, service: ServiceState) -> Path:
    """The copy of its package that a process runs from."""
    return copies(settings) / _place(settings, service.key, service.version)[0].name / str(service.port)


def remove_copies(settings: Settings, but: Iterable[ServiceState] = ()) -> None:
    """Remove the copies that no process runs from; ``but``: those that run."""
    kept = {copy_of(settings, service) for service in but}
    for place in copies(settings).glob("*/*"):
        if place not in kept:
            shutil.rmtree(place, ignore_errors=True)


def _place(settings: Settings, key: Key, version: int) -> tuple[Path, Path]:
    """Folder of a process, and its log."""
    model, (sha256, snapshot), replica = key
    further = f"{f'-{snapshot[:12]}' if snapshot else ''}{f'-{replica + 1}' if replica else ''}"
    name = f"{model}-{version}-{sha256[:12]}{further}"
    return folder(settings) / "processes" / name, folder(settings) / "logs" / f"{name}.log"


def spawn(
    settings: Settings, key: Key, backend: Backend, port: int, avoid: set[int], *, routed: bool = False
) -> ServiceState:
    """Start a process of a backend, on ``port`` if it is free, else on another of the range (not one of ``avoid``).

    ``routed``: the router in front says which request it is. A port that the record names is never replaced. Raises
    :class:`PlatformError` when the package is not there, is not the one of the record, or no port is free.
    """
    model, (_, snapshot), replica = key
    package = settings.local / backend.path
    home, log = _place(settings, key, backend.version)
    environment = _environment(settings, backend) | {OWNER: owner(settings)}
    if routed:
        environment[ROUTED] = router_secret(settings)
    refused = set(avoid)
    while True:
        # From the end of the range: its beginning is for the addresses of models.
        wanted = backend.port or port or process.free_port(reversed(settings.port_range), process.LOOPBACK, refused)
        identity = f"{model} {backend.sha256} {wanted} {snapshot or '-'} {replica}"
        try:
            started = process.start(
                package,
                wanted,
                home / str(wanted),
                {**environment, IDENTITY: identity},
                log,
                process.LOOPBACK,
                sha256=backend.sha256,
                copy=copies(settings) / home.name / str(wanted),
            )
        except process.PortTaken:
            if backend.port:
                raise
            refused.add(wanted)
            port = 0
            continue
        except PlatformError as error:
            raise PlatformError(f"{model} version {backend.version}: {error}") from error
        return describe(settings, key, backend, started.pid, started.start_time, wanted, started.url)


def _environment(settings: Settings, backend: Backend) -> dict[str, str]:
    """The settings of a backend's process, and the file of its history."""
    history = ""
    if backend.snapshot is not None:
        from ml_platform.serving import snapshots

        history = str(snapshots.path(settings.local.resolve(), backend.snapshot))
    secret = secret_of(settings.local, settings.hash_key)
    return settings.for_service(snapshot=history, prediction_log=str(log_folder(settings)), hash_key=secret)


def describe(
    settings: Settings, key: Key, backend: Backend, pid: int, start_time: float, port: int, url: str
) -> ServiceState:
    """State of a backend's process that is starting."""
    model, (sha256, snapshot), replica = key
    return ServiceState(
        model=model,
        version=backend.version,
        tag=backend.tag,
        sha256=sha256,
        snapshot=snapshot,
        replica=replica,
        path=backend.path,
        phase="starting",
        pid=pid,
        start_time=start_time,
        port=port,
        url=url,
        log=str(_place(settings, key, backend.version)[1]),
        since=now(),
    )
