"""Which router stands at the models' addresses, as the settings and the machine have it."""

from collections.abc import Callable
from pathlib import Path

from ml_platform.foundation.settings import RouterName, Settings
from ml_platform.rollout.processes import router_secret
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.routers.direct import Direct
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.routers.router import Router

#: What the setting ``router`` may name, beside ``auto``.
ROUTERS: dict[RouterName, Callable[[Path, Settings], Router]] = {
    "envoy": lambda place, settings: Envoy(place, settings.host, settings.service_body_limit, router_secret(settings)),
    "direct": lambda place, settings: Direct(place, settings.host),
}


def open_router(settings: Settings) -> Router:
    """Envoy where it is installed, else the forwarder; or the one that ``router`` names."""
    kind = settings.router if settings.router != "auto" else "envoy" if Envoy.is_here() else "direct"
    return ROUTERS[kind](folder(settings).resolve() / kind, settings)
