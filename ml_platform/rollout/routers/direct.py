"""Addresses without Envoy, for machines that its wheel is not made for: a small process hands connections on.

It stays at the address like Envoy and knows nothing of HTTP. So all requests go to one version, none is sent again,
and a connection that a client keeps open ends when the version behind it has been replaced, or its process ends.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from ml_platform.foundation.files import write_atomic
from ml_platform.rollout.counts import Traffic
from ml_platform.rollout.routers.router import Route, Side
from ml_platform.serving.process import LOOPBACK

#: What is wanted, and what is carried out.
WANTED, APPLIED = "routes.json", "applied.json"
#: Seconds between two looks at the file; until a process that does not take a connection is given up.
LOOK, CONNECT = 0.02, 0.5
#: Bytes handed on at once.
PIECE = 64 << 10


class Direct:
    """All requests to one version (see :class:`~ml_platform.rollout.routers.router.Router`)."""

    kind, shares = "direct", False

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder, host
        self._routes: dict[str, str] = {}

    def command(self) -> list[str]:
        """A process of this module."""
        return [sys.executable, "-m", "ml_platform.rollout.routers.direct", str(self.folder.resolve())]

    def watch(self, pid: int) -> None:
        """Nothing is asked of it."""

    def doubt(self) -> str:
        """Never: it reads its file again and again, by a whole path, and shows nothing of what it carries out."""
        return ""

    def write(self, routes: Sequence[Route]) -> None:
        """One file with all of them."""
        self._routes = {route.model: route.version for route in routes}
        listening = [
            {"model": route.model, "host": self.host, "port": route.port, "version": route.version, "to": _to(route)}
            for route in routes
        ]
        path, content = self.folder / WANTED, json.dumps(listening, indent=1)
        if not path.exists() or path.read_text() != content:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)

    def applied(self) -> Mapping[str, str]:
        """As its process says; the keeper sees whether that runs."""
        try:
            told = json.loads((self.folder / APPLIED).read_bytes())
        except FileNotFoundError:
            return {}
        return {model: version for model, version in told.items() if self._routes.get(model) == version}

    def traffic(self, route: Route) -> tuple[Traffic, Traffic] | None:
        """Nothing is counted."""
        return None

    def copied(self, route: Route) -> tuple[int, int] | None:
        """There are no copies."""
        return None


def _to(route: Route) -> list[int]:
    """Ports of the side that all requests go to; one that starts takes connections before it answers them."""
    side: Side | None = route.candidate if route.weight == 100 else route.stable
    return list(side.reached) if side is not None else []


class Forwarder:
    """The process: a listening socket for each model, and connections that are handed on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[tuple[str, int], asyncio.Server] = {}
        #: Address → ports of the processes behind it.
        self.targets: dict[tuple[str, int], list[int]] = {}
        self._turn = count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the file until the process is ended."""
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        seen, again = "", False
        while not ending.is_set():
            wanted = self.folder / WANTED
            content = wanted.read_text() if wanted.exists() else "[]"
            if content != seen or again:
                applied = await self.apply(json.loads(content))
                write_atomic(self.folder / APPLIED, json.dumps(applied))
                seen, again = content, len(applied) < len(json.loads(content))
            await asyncio.sleep(LOOK)

    async def apply(self, wanted: list[dict[str, Any]]) -> dict[str, str]:
        """Listen where it is wanted; model → version of what is carried out. An address that is taken is left out."""
        applied: dict[str, str] = {}
        addresses = {(route["host"], route["port"]) for route in wanted}
        for gone in [address for address in self.servers if address not in addresses]:
            self.servers.pop(gone).close()
        for route in wanted:
            address = route["host"], route["port"]
            self.targets[address] = route["to"]
            if address not in self.servers:
                try:
                    self.servers[address] = await asyncio.start_server(self._accepted(address), *address, backlog=2048)
                except OSError as error:
                    print(f"{route['model']}: cannot listen on {address[0]}:{address[1]}: {error}", flush=True)
                    continue
            applied[route["model"]] = route["version"]
        return applied

    def _accepted(self, address: tuple[str, int]) -> Any:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ports = self.targets[address]
            turn = next(self._turn)
            for place in range(len(ports)):
                port = ports[(turn + place) % len(ports)]
                try:
                    there = await asyncio.wait_for(asyncio.open_connection(LOOPBACK, port), CONNECT)
                except (OSError, TimeoutError):
                    continue
                await self._joined(reader, writer, *there)
                return
            writer.close()

        return accepted

    async def _joined(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        into: asyncio.StreamWriter,
    ) -> None:
        """Both directions, until each has ended."""
        try:
            await asyncio.gather(_pumped(reader, into), _pumped(there, writer))
        finally:
            writer.close()
            into.close()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()  # Broken on one side: the other side sees an end, not a wait.


if __name__ == "__main__":
    asyncio.run(Forwarder(Path(sys.argv[1])).run())
