"""Carries out rollout records, with or without Dagster: processes run, addresses lead to them, candidates go on.

One loop that waits for nothing: each look (a tick) costs the same whatever hangs and however long the history of a
record is. What runs is written to ``state.json`` after every change. Ended or killed, it leaves services and router
running, and the next one takes them over.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import platform_code
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.rollout import changes, rules
from ml_platform.rollout.control import AlreadyRunning, ensure_running, only_one, stop_all, wait_live
from ml_platform.rollout.counts import Counted
from ml_platform.rollout.factory import open_records
from ml_platform.rollout.fleet import Fleet
from ml_platform.rollout.pace import Pace
from ml_platform.rollout.placement import Placement
from ml_platform.rollout.processes import Key, RouteState, SupervisorState, now, owner, read_state, write_state
from ml_platform.rollout.record import Backend, RolloutRecord
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.routers.factory import open_router
from ml_platform.rollout.routers.keeper import Keeper
from ml_platform.rollout.routers.router import Route
from ml_platform.rollout.shadow import Looks, unsent
from ml_platform.rollout.watch import Watch
from ml_platform.serving import process

__all__ = ["AlreadyRunning", "Supervisor", "ensure_running", "stop_all", "supervise", "wait_live"]

logger = logging.getLogger(__name__)


class Supervisor:
    """The supervisor's loop; :func:`supervise` runs it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.records = open_records(settings)
        self.keeper = Keeper(settings, open_router(settings))
        self.fleet = Fleet(settings, self.keeper.router.shares)
        start, code = process.start_time(os.getpid()) or 0.0, platform_code()
        self.state = SupervisorState(owner=owner(settings), pid=os.getpid(), start_time=start, since=now(), code=code)
        #: The last readable record of each model: a damaged one changes nothing.
        self._known: dict[str, RolloutRecord] = {}
        self._unreadable: set[str] = set()
        self._watches: dict[str, Watch] = {}
        self._looks = Looks(settings)
        self._pending: dict[str, float] = {}
        self.placement = Placement(settings, {})
        self._written = ""
        self.pace = Pace()
        self._complaints: dict[str, str] = {}

    def adopt(self) -> None:
        """Take over what an earlier supervisor left running."""
        left = read_state(self.settings)
        # The earlier lists first under this process's name: dying here, too, it leaves them for the next one.
        self.fleet.services, self.state.routes = left.services, left.routes
        self.placement = Placement(self.settings, left.routes)
        self.keeper.state = left.router or self.keeper.state
        self.write()
        self._read()
        self.fleet.adopt(left.services, self._wanted())
        self.keeper.adopt()
        self.write()

    def tick(self) -> None:
        """Look at every record, every process and every address once."""
        self._read()
        self.fleet.want(self._wanted())
        # What was started is recorded before anything else can fail.
        self.write()
        self.fleet.step()
        routes = {model: route for model, record in list(self._known.items()) if (route := self._route(model, record))}
        left = [self._as_it_was(model) for model in self._unreadable - set(self._known) if model in self.state.routes]
        applied = self._routed([*routes.values(), *left])
        for model, route in routes.items():
            self._told(model, route, applied.get(model) == route.version)
        for model in set(self.state.routes) - set(routes) - self._unreadable:
            del self.state.routes[model]
        self._retire()
        self.write()

    def write(self) -> None:
        """Write the state where it differs from what was written."""
        self.state.services, self.state.router = self.fleet.services, self.keeper.state
        text = self.state.model_dump_json()
        if text != self._written:
            try:
                write_state(self.settings, self.state)
            except OSError as error:
                # What runs goes on; the next look tries again.
                self._complain("state", f"the state cannot be written: {error}")
                return
            self._written = text
            self.pace.changed()
            self._complaints.pop("state", None)

    def _read(self) -> None:
        """Read all records. A damaged one leaves its model as it is."""
        models = self.records.models()
        self._known = {model: record for model, record in self._known.items() if model in models}
        self._unreadable = set()
        for model in models:
            try:
                self._known[model] = self.records.load(model)
            except PlatformError as error:
                self._complain(model, str(error))
                self._unreadable.add(model)
            else:
                self._complaints.pop(model, None)
        self.fleet.public = {record.port for record in self._known.values() if record.port}

    def _complain(self, model: str, message: str) -> None:
        if self._complaints.get(model) != message:
            self._complaints[model] = message
            logger.error("%s", message)

    def _wanted(self) -> dict[Key, Backend]:
        """The processes that should run."""
        return {
            (model, backend.identity, replica): backend
            for model, record in self._known.items()
            for backend in (*record.backends, *filter(None, [record.kept(datetime.now(UTC))]))
            for replica in range(record.replicas)
        }

    def _route(self, model: str, record: RolloutRecord) -> Route | None:
        """Where a model is to be asked; None where nothing is deployed."""
        if not record.backends:
            return None
        instead = self.placement.elsewhere(model, record.port, self.keeper.state.running)
        if record.port is None or instead:
            record = self._addressed(model, instead)
        if record.port is None:
            return None
        named = record.stable, record.candidate, record.kept(datetime.now(UTC))
        stable, candidate, behind = (self.fleet.side(model, backend) for backend in named)
        return Route(model, record.port, stable, candidate, record.weight, record.shadow, behind)

    def _routed(self, routes: list[Route]) -> Mapping[str, str]:
        """Let the router carry out the routes; what it has, by model: what it had, where files cannot be written."""
        try:
            self.keeper.keep(routes)
        except OSError as error:
            self._complain("router", f"routes cannot be written: {error}")
            return {}
        self._complaints.pop("router", None)
        return self.keeper.router.applied() if self.keeper.state.running else {}

    def _as_it_was(self, model: str) -> Route:
        """The route of a model whose record was damaged when this supervisor came."""
        was = self.state.routes[model]
        backend = Backend(version=was.version, tag="", sha256=was.sha256, path="", snapshot=was.snapshot or None)
        return Route(model, was.port, self.fleet.side(model, backend))

    def _addressed(self, model: str, instead: str = "") -> RolloutRecord:
        """The record with an address, which it keeps. ``instead``: why it cannot keep the one that it came with."""
        self.placement.known.add(model)
        if instead:
            self._complain(model, f"{model} gets another address than port {self._known[model].port}: {instead}")
        taken = self.fleet.public | {service.port for service in self.fleet.services if service.pid}
        try:
            port = process.free_port(self.settings.port_range, self.settings.host, taken)
        except PlatformError as error:
            self._complain(model, str(error))
            return self._known[model]
        self.fleet.public.add(port)
        was = self._known[model].port
        keep = partial(changes.addressed, port=port, instead=instead)
        return self._change(model, lambda record: keep(record) if record.port == was else record)

    def _told(self, model: str, route: Route, routed: bool) -> None:
        """Note what an address leads to, and let the model's rollout go on or back."""
        record = self._known[model]
        if routed:
            self._pending.pop(model, None)
            candidate = record.weight == 100
            answering, side = (record.candidate, route.candidate) if candidate else (record.stable, route.stable)
            if answering is not None:
                self.state.routes[model] = RouteState(
                    url=f"http://{self.settings.host}:{route.port}",
                    port=route.port,
                    revision=record.revision,
                    version=answering.version,
                    sha256=answering.sha256,
                    snapshot=answering.snapshot or "",
                    ports=side.reached if side is not None else (),
                )
        else:
            since = self._pending.setdefault(model, time.monotonic())
            if model in self.state.routes and time.monotonic() - since > 2:
                error = f"{self.keeper.router.kind} does not carry out revision {record.revision}"
                self.state.routes[model].error = error
        if record.candidate is not None:
            self._go_on(model, record, record.candidate, route, routed)
        elif record.stable is not None and route.behind is not None and record.previous is not None:
            self._look_after(model, record, record.stable, record.previous, route)

    def _go_on(self, model: str, record: RolloutRecord, candidate: Backend, route: Route, routed: bool) -> None:
        services = self.fleet.of(model, candidate)
        stable = self.fleet.of(model, record.stable) if record.stable else []
        watch = self._watches.setdefault(model, Watch(self.settings, self.keeper.router))
        mark = candidate.identity, record.step
        counted = watch.look(mark, route, stable, services, record.rules.requests) if record.step else None
        seen = rules.Seen(
            ready=len(services) >= record.replicas and all(service.phase == "live" for service in services),
            broken=next((service.error for service in services if service.phase == "waiting"), ""),
            routed=routed,
            unrouted=time.monotonic() - self._pending.get(model, time.monotonic()),
            seconds=_since(record.started),
            base=counted[0] if counted else Counted(),
            candidate=counted[1] if counted else None,
            silent=watch.silent if counted else 0.0,
        )
        if not self.keeper.router.shares and any(step.weight < 100 for step in record.strategy):
            seen = rules.Seen(False, "the router here shares no requests between versions; declare no steps")
        if record.compares and routed:
            sent = watch.copies((*mark, record.started), route, services)
            if not rules.missing(record, seen):
                seen = replace(seen, copies=self._looks.of(record, sent))
            if (why := unsent(seen.copies)) and model in self.state.routes:
                self.state.routes[model].error = why
                self._complain(f"{model} copies", f"{model}: {why}")
        decision = rules.decide(record, seen)
        if decision.do == "wait":
            return
        do: dict[str, Callable[..., RolloutRecord]] = {
            "step": partial(changes.stepped, judged=decision.judged),
            "promote": partial(changes.promoted, baseline=watch.stable),
            "roll_back": partial(changes.rolled_back, judged=decision.judged),
        }
        self._carry_out(record, candidate, decision, partial(do[decision.do], why=decision.why))

    def _look_after(self, model: str, record: RolloutRecord, stable: Backend, previous: Backend, route: Route) -> None:
        """Send a promoted version back where it breaks a rule while it is watched."""
        services, before = self.fleet.of(model, stable), self.fleet.of(model, previous)
        watch = self._watches.setdefault(model, Watch(self.settings, self.keeper.router))
        roles = Route(model, route.port, route.behind, route.stable)
        counted = watch.look((stable.identity, "promoted"), roles, before, services, 0)
        seen = rules.Seen(
            ready=True,
            broken=next((service.error for service in services if service.phase == "waiting"), ""),
            base=record.baseline or Counted(),
            candidate=counted[1] if counted else None,
            silent=watch.silent if counted else 0.0,
        )
        if (bad := rules.promoted_bad(record.rules, seen)) is None:
            return
        back = partial(changes.returned, backend=previous, by=changes.SUPERVISOR, why=bad.why, running=True)
        self._carry_out(record, stable, bad, back)

    def _carry_out(
        self, record: RolloutRecord, backend: Backend, decision: rules.Decision, change: Callable[..., RolloutRecord]
    ) -> None:
        """Change the record as was decided on it, not on what somebody has made of it meanwhile."""
        model = record.model
        done = self._change(model, lambda present: change(present) if present.revision == record.revision else present)
        kept = done.revision == record.revision
        if not kept:
            logger.info("%s: %s %s: %s", model, backend.said, decision.do, decision.why)
        for service in self.fleet.of(model, backend):
            if decision.silent:
                # What waits for an answer gets one from the other version as soon as the process has ended.
                self.fleet.end(service)
            elif kept and decision.do == "roll_back" and service.running:
                # A full disk, say: until the record can say so, this is what takes a bad version from its users.
                self.fleet.kill(service, decision.why)

    def _change(self, model: str, change: Callable[[RolloutRecord], RolloutRecord]) -> RolloutRecord:
        try:
            self._known[model] = self.records.update(model, change)
        except (PlatformError, OSError) as error:
            # A full disk, say: nothing changes, and the next look tries again.
            self._complain(model, f"{model}: its record cannot be changed: {error}")
        return self._known[model]

    def _retire(self) -> None:
        """Let drain what no record wants, once addresses lead elsewhere."""
        wanted = self._wanted()
        for service in list(self.fleet.services):
            if service.key in wanted or service.model in self._unreadable:
                continue
            record, route = self._known.get(service.model), self.state.routes.get(service.model)
            if record is None or record.stable is None or (route is not None and route.revision == record.revision):
                self.fleet.retire(service)


def _since(at: str | None) -> float:
    """Seconds since an ISO time."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() if at else 0.0


def supervise(settings: Settings) -> None:
    """Run the supervisor until SIGTERM or SIGINT; services and router go on, ``ml-platform stop`` ends them.

    Raises :class:`AlreadyRunning` when there is one already.
    """
    ending: list[int] = []
    with only_one(settings):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: ending.append(got))
        supervisor = Supervisor(settings)
        supervisor.adopt()
        logger.info("supervisor (pid %s): started", os.getpid())
        # After a defect of the loop itself everything goes on answering, and the next supervisor takes it over.
        while not ending:
            supervisor.tick()
            time.sleep(supervisor.pace.pause(supervisor.fleet.services))
        logger.info("supervisor (pid %s): ends; services go on", os.getpid())


def main() -> None:
    """Entry point of the detached process, which writes its own log."""
    from logging.handlers import RotatingFileHandler

    settings = get_settings()
    log = folder(settings) / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(log, maxBytes=process.MAX_LOG, backupCount=3)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[handler])
    try:
        supervise(settings)
    except AlreadyRunning as error:
        logger.info("%s", error)
    except PlatformError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("the supervisor ends by a defect; services go on")
        raise


if __name__ == "__main__":
    try:
        main()
    except PlatformError as error:
        sys.exit(f"ml-platform: {error}")
