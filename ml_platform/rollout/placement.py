"""Whether the address of a record is this installation's: a copied folder names that of the original."""

import json
from collections.abc import Mapping

from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import INSTALLATION
from ml_platform.rollout.processes import RouteState, owner, state_path, upgraded
from ml_platform.serving import process
from ml_platform.serving.client import foreign


class Placement:
    """Looks at the address of each record once, before anything listens there."""

    def __init__(self, settings: Settings, routes: Mapping[str, RouteState]) -> None:
        """``routes``: where the models were asked so far, by this installation."""
        self.settings = settings
        #: Models whose addresses are ours.
        self.known: set[str] = set()
        self._was = {model: route.port for model, route in routes.items()}
        # Asked now: the supervisor's first state names this installation.
        self._copy = _is_copy(settings)

    def elsewhere(self, model: str, port: int | None, listening: bool) -> str:
        """Why a model cannot be asked at the port of its record; empty where it can, or was until now.

        ``listening``: our own router runs, and may hold the port.
        """
        if port is None or model in self.known:
            return ""
        self.known.add(model)
        if self._was.get(model) == port:
            return ""
        if port not in self.settings.port_range:
            return f"it is none of ML_PLATFORM_PORTS ({self.settings.ports})"
        headers = process.ready(f"http://{self.settings.host}:{port}") or {}
        if foreign(headers.get(INSTALLATION), owner(self.settings)):
            return "another installation answers there"
        if self._copy and not listening:
            try:
                process.bind(self.settings.host, port).close()
            except process.PortTaken:
                return "it is taken, and this folder is a copy of the one that it was given to"
        return ""


def _is_copy(settings: Settings) -> bool:
    """Whether the recorded state is that of another folder, from which this one was copied or moved."""
    try:
        told = upgraded(json.loads(state_path(settings).read_bytes()))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(told, dict) and told.get("owner", "") not in ("", owner(settings))
