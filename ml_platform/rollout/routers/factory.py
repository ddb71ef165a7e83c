"""Which router stands at the models' addresses, as the settings and the machine have it."""

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.routers.direct import Direct
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.routers.router import Router


def open_router(settings: Settings) -> Router:
    """Envoy where it is installed, else the forwarder; or the one that ``router`` names."""
    kind = settings.router if settings.router != "auto" else "envoy" if Envoy.is_here() else "direct"
    place = folder(settings).resolve() / kind
    if kind == "direct":
        return Direct(place, settings.host)
    return Envoy(place, settings.host, settings.service_body_limit)
