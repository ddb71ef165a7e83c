"""Which router stands at the models' addresses, as the settings and the machine have it."""

from collections.abc import Callable
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.routers.direct import Direct
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.routers.router import Router

#: What the setting ``router`` may name, beside ``auto``.
ROUTERS: dict[str, Callable[[Path, Settings], Router]] = {
    "envoy": lambda place, settings: Envoy(place, settings.host, settings.service_body_limit),
    "direct": lambda place, settings: Direct(place, settings.host),
}


def open_router(settings: Settings) -> Router:
    """Envoy where it is installed, else the forwarder; or the one that ``router`` names.

    Raises PlatformError for a name that no router has.
    """
    kind = settings.router if settings.router != "auto" else "envoy" if Envoy.is_here() else "direct"
    if kind not in ROUTERS:
        raise PlatformError(f"router: there is no {kind!r}; use auto, {', '.join(ROUTERS)} (ML_PLATFORM_ROUTER)")
    return ROUTERS[kind](folder(settings).resolve() / kind, settings)
