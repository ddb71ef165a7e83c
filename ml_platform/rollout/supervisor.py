"""Keeps the services of all rollout records running, with or without Dagster.

One loop, no threads: every step looks at each service once and never waits for one of them, so that a slow
start of one model does not delay the restart of another. What runs is written to ``state.json`` after every
change; a supervisor that was killed leaves its services running, and the next one takes them over.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.locks import Locked, locked
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.rollout.control import ensure_running, stop_all, wait_live
from ml_platform.rollout.factory import open_records
from ml_platform.rollout.processes import (
    ServiceState,
    SupervisorState,
    describe,
    now,
    orphans,
    read_state,
    spawn,
    write_state,
)
from ml_platform.rollout.record import Backend
from ml_platform.rollout.record_files import folder
from ml_platform.serving import process

__all__ = ["AlreadyRunning", "Supervisor", "ensure_running", "stop_all", "supervise", "wait_live"]

logger = logging.getLogger(__name__)

#: Seconds between two looks.
TICK = 0.2
#: Seconds that a replaced service goes on answering.
DRAIN = 2.0
#: Seconds before a service that ended is started again: doubled from the first to the second figure.
BACKOFF = (0.5, 30.0)
#: A service that ran this long is healthy: its next restart does not wait.
HEALTHY = 60.0
#: A live service is asked this often, and is replaced after so many failed answers in a row.
PROBE, FAILED_PROBES = 5.0, 3


class AlreadyRunning(PlatformError):
    """Another supervisor of the same ``local`` folder runs."""


class _Timers:
    """What a service's state needs in memory only: moments of the monotonic clock."""

    def __init__(self) -> None:
        self.entered = time.monotonic()
        self.retry_at = 0.0
        self.probe_at = time.monotonic() + PROBE
        self.failed_probes = 0
        self.delay = 0.0


class Supervisor:
    """The supervisor's loop; :func:`supervise` runs it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.records = open_records(settings)
        self.state = SupervisorState(pid=os.getpid(), start_time=process.start_time(os.getpid()) or 0.0, since=now())
        self._timers: dict[int, _Timers] = {}
        self._written = ""
        self._complaints: dict[str, str] = {}

    def timers(self, service: ServiceState) -> _Timers:
        """The moments of a service."""
        return self._timers.setdefault(id(service), _Timers())

    def adopt(self) -> None:
        """Take over what an earlier supervisor left running; stop what is not what it should be."""
        # The earlier list first under this process's name: dying here, too, it leaves a list for the next one.
        self.state.services = read_state(self.settings).services
        self.write()
        for service in list(self.state.services):
            if not service.running:
                self._forget(service)
                continue
            headers = process.ready(service.url)
            if headers is not None and headers.get("x-service-sha256") != service.sha256:
                process.stop(service.pid, service.start_time)
                self._forget(service)
                continue
            # One that is not ready yet is starting, or hangs and will exceed the time to become ready.
            service.enter("live" if headers is not None else "starting")
            logger.info("took over %s version %s (pid %s)", service.model, service.version, service.pid)
        known = {service.pid for service in self.state.services}
        wanted = {(model, backend.sha256): backend for model, backend in self._wanted()}
        for pid, started, model, sha256, port in orphans(self.settings, known):
            backend = wanted.get((model, sha256))
            if backend is None or self._find(model, sha256) is not None:
                process.stop(pid, started)
                continue
            name = f"{model}-{backend.version}-{sha256[:12]}.log"
            url = f"http://{self.settings.host}:{port}"
            found = describe(model, backend, pid, started, port, url, folder(self.settings) / "logs" / name)
            self.state.services.append(found)
            logger.info("took over %s (pid %s), which was not recorded", model, pid)
        self.write()

    def tick(self) -> None:
        """Look at every record and every service once."""
        wanted = list(self._wanted())
        for model, backend in wanted:
            service = self._find(model, backend.sha256)
            if service is None:
                self._start(model, backend)
            elif service.phase == "waiting" and time.monotonic() >= self.timers(service).retry_at:
                self._restart(service, backend)
        for service in list(self.state.services):
            self._step(service)
        self._replace(wanted)
        self.write()

    def stop(self) -> None:
        """Stop every service; called when the supervisor is asked to end."""
        for service in self.state.services:
            process.signal_group(service.pid, service.start_time, signal.SIGTERM)
        for service in self.state.services:
            process.stop(service.pid, service.start_time)
        self.state.services = []
        self.write()

    def write(self) -> None:
        """Write the state where it differs from what was written."""
        text = self.state.model_dump_json()
        if text != self._written:
            write_state(self.settings, self.state)
            self._written = text

    def _wanted(self) -> Iterator[tuple[str, Backend]]:
        """Backends of all records. A damaged record leaves its model's services as they are."""
        for model in self.records.models():
            try:
                record = self.records.load(model)
            except PlatformError as error:
                self._complain(model, str(error))
                yield from (
                    (s.model, Backend(version=s.version, tag=s.tag, sha256=s.sha256, path=s.path))
                    for s in self.state.services
                    if s.model == model and s.phase in {"starting", "live", "waiting"}
                )
                continue
            self._complaints.pop(model, None)
            for backend in record.backends:
                yield model, backend

    def _complain(self, model: str, message: str) -> None:
        if self._complaints.get(model) != message:
            self._complaints[model] = message
            logger.error("%s", message)

    def _find(self, model: str, sha256: str) -> ServiceState | None:
        """The service of a backend, unless it is on its way out."""
        for service in self.state.services:
            if (service.model, service.sha256) == (model, sha256) and service.phase not in {
                "draining",
                "stopping",
            }:
                return service
        return None

    def _ports(self, but: ServiceState | None = None) -> set[int]:
        return {service.port for service in self.state.services if service is not but and service.running}

    def _start(self, model: str, backend: Backend) -> None:
        # Rolled back while its process was still leaving: that one answers at once.
        for service in self.state.services:
            if (service.model, service.sha256, service.phase) == (model, backend.sha256, "draining"):
                service.enter("live")
                return
        try:
            service = spawn(self.settings, model, backend, 0, self._ports())
        except PlatformError as error:
            log = folder(self.settings) / "logs" / "none"
            service = describe(model, backend, 0, 0.0, backend.port or 0, "", log)
            self.state.services.append(service)
            self._wait(service, str(error))
            return
        self.state.services.append(service)
        self.write()

    def _restart(self, service: ServiceState, backend: Backend) -> None:
        timers = self.timers(service)
        try:
            fresh = spawn(self.settings, service.model, backend, service.port, self._ports(service))
        except PlatformError as error:
            self._wait(service, str(error))
            return
        for name in ("pid", "start_time", "port", "url", "log"):
            setattr(service, name, getattr(fresh, name))
        service.restarts += 1
        service.enter("starting")
        timers.entered = time.monotonic()
        self.write()

    def _wait(self, service: ServiceState, reason: str) -> None:
        """Start it again later: after a delay that doubles, unless it had run for long."""
        timers = self.timers(service)
        if service.phase == "live" and time.monotonic() - timers.entered >= HEALTHY:
            timers.delay = 0.0
        timers.delay = min(BACKOFF[1], timers.delay * 2 or BACKOFF[0])
        timers.retry_at = time.monotonic() + timers.delay
        service.error = reason
        service.pid, service.start_time = 0, 0.0
        service.enter("waiting")
        logger.error("%s version %s: %s; next start in %g s", service.model, service.version, reason, timers.delay)

    def _step(self, service: ServiceState) -> None:
        timers = self.timers(service)
        elapsed = time.monotonic() - timers.entered
        if service.phase == "waiting":
            return
        if not service.running:
            if service.phase in {"draining", "stopping"}:
                self._forget(service)
            else:
                self._wait(service, f"ended: {process.tail(Path(service.log))}")
        elif service.phase == "starting":
            if process.ready(service.url, timeout=1.0) is not None:
                service.error = ""
                self._enter(service, "live")
            elif elapsed > self.settings.service_ready_seconds:
                reason = f"not ready after {self.settings.service_ready_seconds:g} s: {process.tail(Path(service.log))}"
                process.signal_group(service.pid, service.start_time, signal.SIGKILL)
                self._wait(service, reason)
        elif service.phase == "live" and time.monotonic() >= timers.probe_at:
            timers.probe_at = time.monotonic() + PROBE
            failed = process.ready(service.url) is None
            timers.failed_probes = timers.failed_probes + 1 if failed else 0
            if timers.failed_probes >= FAILED_PROBES:
                timers.failed_probes = 0
                process.signal_group(service.pid, service.start_time, signal.SIGKILL)
                self._wait(service, f"runs but did not answer {FAILED_PROBES} times in a row")
        elif service.phase == "draining" and elapsed > DRAIN:
            process.signal_group(service.pid, service.start_time, signal.SIGTERM)
            self._enter(service, "stopping")
        elif service.phase == "stopping" and elapsed > process.GRACE + 5:
            process.signal_group(service.pid, service.start_time, signal.SIGKILL)

    def _replace(self, wanted: list[tuple[str, Backend]]) -> None:
        """Retire what no record wants, once everything that its model wants is live."""
        for service in list(self.state.services):
            if any((service.model, service.sha256) == (model, backend.sha256) for model, backend in wanted):
                continue
            successors = [self._find(model, backend.sha256) for model, backend in wanted if model == service.model]
            if not all(successor is not None and successor.phase == "live" for successor in successors):
                continue
            if service.phase == "live":
                self._enter(service, "draining")
            elif service.phase == "starting":
                process.signal_group(service.pid, service.start_time, signal.SIGTERM)
                self._enter(service, "stopping")
            elif service.phase == "waiting":
                self._forget(service)

    def _enter(self, service: ServiceState, phase: str) -> None:
        service.enter(phase)  # type: ignore[arg-type]
        timers = self.timers(service)
        timers.entered = time.monotonic()
        timers.probe_at = timers.entered + PROBE
        logger.info("%s version %s (pid %s): %s", service.model, service.version, service.pid, phase)

    def _forget(self, service: ServiceState) -> None:
        self.state.services = [other for other in self.state.services if other is not service]
        self._timers.pop(id(service), None)


@contextmanager
def _single(settings: Settings) -> Generator[None]:
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


def supervise(settings: Settings) -> None:
    """Run the supervisor until SIGTERM or SIGINT; then its services are stopped.

    Raises :class:`AlreadyRunning` when there is one already.
    """
    ending: list[int] = []
    with _single(settings):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: ending.append(got))
        supervisor = Supervisor(settings)
        supervisor.adopt()
        # After a defect of the loop itself the services go on answering, and the next supervisor takes them over.
        while not ending:
            supervisor.tick()
            time.sleep(TICK)
        supervisor.stop()


def main() -> None:
    """Entry point of the detached process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        supervise(get_settings())
    except AlreadyRunning as error:
        logger.info("%s", error)
    except PlatformError as error:
        logger.error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
