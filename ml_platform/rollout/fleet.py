"""The processes of all backends: start, watch, start again, drain, take over from an earlier supervisor.

Nothing here waits: probes run in threads, so that a service that hangs delays nobody else.
"""

import logging
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.identity import doubt, orphans
from ml_platform.rollout.processes import Key, Phase, ServiceState, copy_of, describe, remove_copies, spawn
from ml_platform.rollout.record import Backend
from ml_platform.rollout.routers.router import Side
from ml_platform.serving import process

logger = logging.getLogger(__name__)

#: Seconds that a replaced service goes on answering: longer than any request may take.
DRAIN = process.REQUEST_TIMEOUT + 2
#: Seconds before a service that ended is started again: doubled from the first to the second figure.
BACKOFF = (0.5, 30.0)
#: A service that ran this long is healthy: its next restart does not wait.
HEALTHY = 60.0
#: Seconds between two probes: of a live service, of one that starts; and until one probe is given up.
PROBE, FIRST_PROBE, PATIENCE = 1.0, 0.1, 2.0
#: A live service without an answer for so many seconds hangs, and is replaced.
HANGS = 6.0
#: Probes at one time.
PROBES = 32


class _Timers:
    """What a service's state needs in memory only: moments of the monotonic clock, and a probe under way."""

    def __init__(self) -> None:
        self.entered = self.answered = time.monotonic()
        self.retry_at = self.probe_at = self.delay = 0.0
        self.probe: Future[dict[str, str] | None] | None = None


class Fleet:
    """The services of one supervisor; ``services`` is what its state shows. ``routed``: as :func:`spawn` has it."""

    def __init__(self, settings: Settings, routed: bool) -> None:
        self.settings, self.routed = settings, routed
        self.services: list[ServiceState] = []
        #: Ports that no process may take: those at which models are asked.
        self.public: set[int] = set()
        self._timers: dict[int, _Timers] = {}
        self._pool = ThreadPoolExecutor(PROBES, thread_name_prefix="probe")

    def find(self, key: Key) -> ServiceState | None:
        """The process of a backend, unless it is on its way out."""
        for service in self.services:
            if service.key == key and service.phase not in {"draining", "stopping"}:
                return service
        return None

    def of(self, model: str, backend: Backend) -> list[ServiceState]:
        """Every process of a backend that is not on its way out."""
        return [
            service
            for service in self.services
            if service.key[:2] == (model, backend.identity) and service.phase not in {"draining", "stopping"}
        ]

    def side(self, model: str, backend: Backend | None) -> Side | None:
        """The processes of a backend that may be asked. One that starts again on its port need not be forgotten."""
        if backend is None:
            return None
        found = self.of(model, backend)
        ports = sorted(
            service.port
            for service in found
            if service.port and (service.phase in {"live", "waiting"} or service.restarts)
        )
        live = sorted(service.port for service in found if service.phase == "live")
        name = f"{backend.version}_{backend.sha256[:8]}{f'_{backend.snapshot[:8]}' if backend.snapshot else ''}"
        return Side(name, backend.version, tuple(ports), tuple(live))

    def want(self, wanted: Mapping[Key, Backend]) -> None:
        """Start what is wanted and does not run."""
        for key, backend in wanted.items():
            service = self.find(key)
            if service is None:
                self._start(key, backend)
            elif service.phase == "waiting" and time.monotonic() >= self._of(service).retry_at:
                self._restart(service, backend)

    def step(self) -> None:
        """Look at every process once."""
        for service in list(self.services):
            self._step(service)

    def retire(self, service: ServiceState) -> None:
        """Let a service that answers drain; end any other."""
        if service.phase == "live":
            self._enter(service, "draining")
        elif service.phase == "starting":
            process.signal_group(service.pid, service.start_time, signal.SIGTERM)
            self._enter(service, "stopping")
        elif service.phase == "waiting":
            self._forget(service)

    def end(self, service: ServiceState) -> None:
        """End a service at once: what waits for it waits for nothing."""
        process.signal_group(service.pid, service.start_time, signal.SIGKILL)
        self._enter(service, "stopping")

    def adopt(self, left: Iterable[ServiceState], wanted: Mapping[Key, Backend]) -> None:
        """Take over what an earlier supervisor left running; stop what is not what it should be.

        A recorded process that is not the one that was started is left alone: it is somebody's.
        """
        self.services = list(left)
        running = []
        for service in list(self.services):
            if service.running and (why := doubt(self.settings, service)):
                logger.error("%s (pid %s) is not taken over: %s", service.named, service.pid, why)
                self._forget(service)
            elif service.running:
                running.append((service, self._pool.submit(process.ready, service.url, PATIENCE)))
            else:
                self._forget(service)
        for service, probe in running:
            headers = probe.result()
            if headers is not None and (other := _another(service, headers)):
                logger.error("%s: %s; it is stopped", service.named, other)
                process.stop(service.pid, service.start_time)
                self._forget(service)
                continue
            # One that is not ready yet is starting, or hangs and will exceed the time to become ready.
            service.enter("live" if headers is not None else "starting")
            logger.info("took over %s (pid %s)", service.named, service.pid)
        for pid, started, key, port in orphans(self.settings, {service.pid for service in self.services}):
            backend = wanted.get(key)
            if backend is None or self.find(key) is not None:
                process.stop(pid, started)
                continue
            url = f"http://{process.LOOPBACK}:{port}"
            found = describe(self.settings, key, backend, pid, started, port, url)
            if why := doubt(self.settings, found):
                logger.error("%s (pid %s) is not taken over: %s; it is stopped", found.named, pid, why)
                process.stop(pid, started)
                continue
            self.services.append(found)
            logger.info("took over %s (pid %s), which was not recorded", key[0], pid)
        remove_copies(self.settings, self.services)

    def _of(self, service: ServiceState) -> _Timers:
        return self._timers.setdefault(id(service), _Timers())

    def _ports(self, but: ServiceState | None = None) -> set[int]:
        held = {service.port for service in self.services if service is not but and service.running}
        return held | self.public

    def _start(self, key: Key, backend: Backend) -> None:
        # Rolled back while its process was still leaving: that one answers at once.
        for service in self.services:
            if service.key == key and service.phase == "draining":
                self._enter(service, "live")
                return
        try:
            service = spawn(self.settings, key, backend, 0, self._ports(), routed=self.routed)
        except (PlatformError, OSError) as error:
            service = describe(self.settings, key, backend, 0, 0.0, backend.port or 0, "")
            self.services.append(service)
            self._wait(service, str(error))
            return
        self.services.append(service)
        logger.info("%s (pid %s): starting on port %s", service.named, service.pid, service.port)

    def _restart(self, service: ServiceState, backend: Backend) -> None:
        try:
            taken = self._ports(service)
            fresh = spawn(self.settings, service.key, backend, service.port, taken, routed=self.routed)
        except (PlatformError, OSError) as error:
            self._wait(service, str(error))
            return
        for name in ("pid", "start_time", "port", "url", "log"):
            setattr(service, name, getattr(fresh, name))
        service.restarts += 1
        self._enter(service, "starting")

    def _wait(self, service: ServiceState, reason: str) -> None:
        """Start it again later: after a delay that doubles, unless it had run for long."""
        timers = self._of(service)
        if service.phase == "live" and time.monotonic() - timers.entered >= HEALTHY:
            timers.delay = 0.0
        timers.delay = min(BACKOFF[1], timers.delay * 2 or BACKOFF[0])
        timers.retry_at = time.monotonic() + timers.delay
        service.error = reason
        service.pid, service.start_time = 0, 0.0
        service.enter("waiting")
        logger.error("%s: %s; next start in %g s", service.named, reason, timers.delay)

    def _step(self, service: ServiceState) -> None:
        timers = self._of(service)
        elapsed = time.monotonic() - timers.entered
        if service.phase == "waiting":
            return
        if not service.running:
            if service.phase in {"draining", "stopping"}:
                self._forget(service)
            else:
                self._wait(service, f"ended: {process.tail(Path(service.log))}")
        elif service.phase in {"starting", "live"}:
            self._probe(service, timers, elapsed)
        elif service.phase == "draining" and elapsed > DRAIN:
            process.signal_group(service.pid, service.start_time, signal.SIGTERM)
            self._enter(service, "stopping")
        elif service.phase == "stopping" and elapsed > process.GRACE + 5:
            process.signal_group(service.pid, service.start_time, signal.SIGKILL)

    def _probe(self, service: ServiceState, timers: _Timers, elapsed: float) -> None:
        now = time.monotonic()
        if timers.probe is not None and timers.probe.done():
            headers, timers.probe = timers.probe.result(), None
            timers.probe_at = now + (PROBE if service.phase == "live" else FIRST_PROBE)
            if headers is not None:
                timers.answered = now
                if other := _another(service, headers):
                    self.kill(service, other)
                    return
                if service.phase == "starting":
                    service.error = ""
                    self._enter(service, "live")
        elif timers.probe is None and now >= timers.probe_at:
            timers.probe = self._pool.submit(process.ready, service.url, PATIENCE)
        if service.phase == "live" and now - timers.answered > HANGS:
            self.kill(service, f"runs but has not answered for {HANGS:g} s")
        elif service.phase == "starting" and elapsed > self.settings.service_ready_seconds:
            limit = self.settings.service_ready_seconds
            self.kill(service, f"not ready after {limit:g} s: {process.tail(Path(service.log))}")

    def kill(self, service: ServiceState, reason: str) -> None:
        """End a service at once and start it again later, where it is wanted then."""
        process.signal_group(service.pid, service.start_time, signal.SIGKILL)
        self._wait(service, reason)

    def _enter(self, service: ServiceState, phase: Phase) -> None:
        service.enter(phase)
        timers = self._of(service)
        timers.entered = timers.answered = time.monotonic()
        timers.probe, timers.probe_at = None, 0.0
        logger.info("%s (pid %s): %s", service.named, service.pid, phase)

    def _forget(self, service: ServiceState) -> None:
        self.services = [other for other in self.services if other is not service]
        self._timers.pop(id(service), None)
        if not service.running:
            shutil.rmtree(copy_of(self.settings, service), ignore_errors=True)


def _another(service: ServiceState, headers: Mapping[str, str]) -> str:
    """How what answers is not the package and history that it should be; empty where it is."""
    if headers.get("x-service-sha256") != service.sha256:
        return "another package answers on its port"
    history = headers.get("x-history-sha256")
    # Packages of an earlier release name no history; they know none but their own.
    if service.snapshot and history != service.snapshot:
        return f"answers from history {(history or 'of its package')[:12]}, not {service.snapshot[:12]}"
    return ""
