"""What carries out rollout records, as a port: files in, acknowledged versions out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from ml_platform.foundation.files import sha256_bytes
from ml_platform.rollout.counts import Traffic


@dataclass(frozen=True)
class Side:
    """The processes of one backend: its name is the same for as long as it runs."""

    name: str
    version: int
    ports: tuple[int, ...]
    #: Ports of those that have just answered; the others are known, and being started again.
    live: tuple[int, ...] = ()

    @property
    def reached(self) -> tuple[int, ...]:
        """Ports that requests are led to: of those that answer, else of all, one of which may be back any moment."""
        return self.live or self.ports


@dataclass(frozen=True)
class Route:
    """Where a model is asked, and who answers. ``weight`` and ``shadow`` are percent of the candidate."""

    model: str
    port: int
    stable: Side | None = None
    candidate: Side | None = None
    weight: int = 0
    shadow: int = 0
    #: What stands behind the stable version while that one is watched: it answers what that one cannot.
    behind: Side | None = None

    @property
    def version(self) -> str:
        """The same for equal routes."""
        return sha256_bytes(json.dumps(asdict(self), sort_keys=True))[:16]

    @property
    def sides(self) -> tuple[Side, ...]:
        """Stable, then candidate."""
        return tuple(side for side in (self.stable, self.candidate) if side is not None)


class Router(Protocol):
    """One process that listens at the address of every model.

    Closed: :data:`ml_platform.rollout.routers.factory.ROUTERS` is all there is, and no declaration or adapter names
    another. What stands in front of them (a load balancer, an ingress) needs no router of its own.
    """

    #: What it is called in settings and state.
    kind: str
    #: Whether it reads requests: it can share them between two versions, copy, count and name them; else all of them go
    #: to one, as they came.
    shares: bool

    def command(self) -> list[str]:
        """The command of its process, which reads the files of :meth:`write`."""
        ...

    def watch(self, pid: int) -> None:
        """From now on this is its process; 0: there is none."""
        ...

    def doubt(self) -> str:
        """Why the process is not to be left running: it hangs, or carries out what was not written; else empty."""
        ...

    def write(self, routes: Sequence[Route]) -> None:
        """Say what is wanted; where nothing differs, nothing is written."""
        ...

    def applied(self) -> Mapping[str, str]:
        """Model → version of the wanted route, where it is carried out; the others are not there yet."""
        ...

    def traffic(self, route: Route) -> tuple[Traffic, Traffic] | None:
        """Requests to the stable side and to the candidate, copies too; None where nothing counts them now."""
        ...

    def copied(self, route: Route) -> tuple[int, int] | None:
        """The process that counts, and how many copies of requests it has sent to the candidate since it began to; None
        where nothing counts them now."""
        ...
