"""Environment variables ``ML_PLATFORM_…``: those of a packaged service, and what is said of one that cannot be meant.

Part of every package, so nothing here loads the settings of the platform.
"""

import os
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import nearest

PREFIX = "ML_PLATFORM_"
#: Set by whoever starts a service, never by a person: the supervisor it belongs to, which package it is, a pipe that
#: ends with the process that started it, and the file of a history that is newer than that of its package.
OWNER, IDENTITY, PARENT = f"{PREFIX}SUPERVISOR", f"{PREFIX}SUPERVISED", f"{PREFIX}PARENT_FD"
SNAPSHOT = f"{PREFIX}SNAPSHOT"
#: Set where a router in front says which request it is: the secret that it says with each, in the header
#: :data:`ROUTER`. What else reaches the port is a caller's word.
ROUTED = f"{PREFIX}ROUTED"
ROUTER = "x-ml-router"
#: Header of every answer of a service: which installation started it, as :data:`OWNER` says.
INSTALLATION = "x-installation"
#: What Kubernetes puts into every container for a Service whose name begins with ``ml-platform``.
_LINK = re.compile(r"(.+?)_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")


class SettingsMistake(PlatformError):
    """Environment variables that cannot be meant: unknown ones, or values that cannot be. All of them in one line."""


class ServiceOptions(BaseModel):
    """The settings that a packaged service reads; the platform's settings have them as well, and hand them on."""

    model_config = ConfigDict(frozen=True)

    api_key_sha256: str = Field(
        default="", description="Comma-separated sha256 of accepted API keys; empty: none asked."
    )
    service_body_limit: int = Field(default=2 << 20, gt=0, description="Largest request body of a service, bytes.")
    service_rate: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Requests a second and key that a service takes; 0: any number.",
    )
    prediction_log: str = Field(
        default="", description="Folder of the prediction log; empty: `predictions` below `local`, in a container none."
    )
    prediction_log_seconds: float = Field(
        default=5, gt=0, allow_inf_nan=False, description="Seconds after which predictions are written to the log."
    )
    prediction_log_days: int = Field(
        default=90, ge=0, description="Days of the prediction log that are kept; 0: all of them."
    )
    hash_key: SecretStr = Field(
        default=SecretStr(""),
        description="Secret by which keys with personal columns are hashed in the prediction log, so that outcomes "
        "find their predictions; empty: one of this installation, in `hash.key` below `local`, in a container none.",
    )
    now: str = Field(
        default="",
        description="ISO time to use as the clock, or @FILE that holds it and may be changed while things run; empty: "
        "wall time.",
    )

    @field_validator("now")
    @classmethod
    def _iso_time(cls, value: str) -> str:
        if value.startswith("@"):
            return value
        try:
            datetime.fromisoformat(value or "2013-07-01")
        except ValueError:
            raise ValueError("no ISO time; write e.g. 2013-07-01T00:00:00") from None
        return value

    @field_validator("api_key_sha256")
    @classmethod
    def _hashes(cls, value: str) -> str:
        if not all(re.fullmatch("[0-9a-fA-F]{64}", key.strip()) for key in value.split(",") if key.strip()):
            raise ValueError("write the sha256 of each key, 64 hexadecimal digits, never the key")
        return value

    def for_service(self, *, snapshot: str = "", **other: str | float) -> dict[str, str]:
        """These options, some with another value, as the environment of a service; ``snapshot``: file of a history."""
        secret, file = self.hash_key.get_secret_value(), self.clock_file
        # A service has a working folder of its own.
        own: dict[str, str | float] = {"hash_key": secret, **({"now": f"@{file.absolute()}"} if file else {})}
        values = {name: getattr(self, name) for name in ServiceOptions.model_fields} | own | other
        given = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
        return {**given, **({SNAPSHOT: snapshot} if snapshot else {})}

    @property
    def clock_file(self) -> Path | None:
        """The file that holds the time, where there is one."""
        return Path(self.now[1:]) if self.now.startswith("@") else None

    @property
    def keys(self) -> list[str]:
        """Sha256 of each accepted key."""
        return [key.strip() for key in self.api_key_sha256.split(",") if key.strip()]


def service_options() -> ServiceOptions:
    """The options of this process, which is a packaged service. Raises SettingsMistake, also for unknown variables."""
    given = {name.upper().removeprefix(PREFIX).lower(): value for name, value in of_platform(os.environ).items()}
    wrong = unknown(os.environ, ServiceOptions.model_fields, (OWNER, IDENTITY, PARENT, SNAPSHOT, ROUTED))
    try:
        options = ServiceOptions.model_validate(given)
    except ValidationError as error:
        raise SettingsMistake("; ".join([*wrong, *told(error, ServiceOptions)])) from None
    if wrong:
        raise SettingsMistake("; ".join(wrong))
    return options


def of_platform(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that begin as the platform's do, without those that Kubernetes adds for a Service."""
    ours = {name: value for name, value in environment.items() if name.upper().startswith(PREFIX)}

    def linked(name: str) -> bool:
        service = _LINK.fullmatch(name)
        # A Service gives all of them, or none: a mistyped name alone is no link.
        return service is not None and {f"{service[1]}_SERVICE_HOST", f"{service[1]}_SERVICE_PORT"} <= set(environment)

    return {name: value for name, value in ours.items() if not linked(name)}


def unknown(environment: Mapping[str, str], fields: Collection[str], further: Collection[str] = ()) -> list[str]:
    """A line for each variable that would be read by nobody, with the name that was probably meant."""
    known = {f"{PREFIX}{name.upper()}" for name in fields}
    return [
        f"{name} is no setting here; "
        + (f"did you mean {near}?" if (near := _nearest(name, known)) else f"only settings begin with {PREFIX}")
        for name in sorted(of_platform(environment))
        if name.upper() not in known and name not in further
    ]


def _nearest(name: str, known: Collection[str]) -> str:
    # Without the prefix, which would make everything similar.
    near = nearest(name.upper().removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known])
    return f"{PREFIX}{near}" if near else ""


def told(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each value that cannot be; that of a secret is not shown."""
    return [_line(model, mistake) for mistake in error.errors(include_url=False)]


def _line(model: type[BaseModel], mistake: Any) -> str:
    name = str(mistake["loc"][0]).lower() if mistake["loc"] else ""
    field = model.model_fields.get(name)
    secret = field is not None and field.annotation is SecretStr
    # An address with an @ may hold a password, whatever else is wrong with it.
    hidden = secret or name == "api_key_sha256" or "@" in str(mistake["input"])
    shown = "" if hidden else f" (found {mistake['input']!r})"
    return f"{PREFIX}{name.upper()}: {mistake['msg'].removeprefix('Value error, ')}{shown}"
