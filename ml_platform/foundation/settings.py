"""Every setting of the platform, in one place.

Each is read from the environment variable ``ML_PLATFORM_<NAME>``; nothing else is read, and a variable that would be
read by nobody is a mistake.
"""

import os
import re
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_platform.foundation.variables import PREFIX, ServiceOptions, SettingsMistake, told, unknown

#: Stores and routers of the platform, each opened by the factory of its room.
StoreName = Literal["embedded", "lakefs"]
#: What a copy may be made from and to: these, and the one that ``adapters`` names.
StoreKind = Literal["embedded", "lakefs", "own"]
RouterName = Literal["auto", "envoy", "direct"]


def default_home() -> Path:
    """The project root: DAGSTER_HOME where it is set, else the working folder."""
    return Path(os.environ.get("DAGSTER_HOME") or Path.cwd()).resolve()


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach an address; a name other than ``localhost`` may be anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(ServiceOptions, BaseSettings):
    """Settings with the defaults of one machine: nothing but Python is needed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    local: Path = Field(
        default_factory=lambda: default_home() / ".local",
        description="Folder for everything that a run writes.",
    )
    environment: str = Field(default="local", description="Name of the environment, shown in ledger entries.")
    store: StoreName = Field(default="embedded", description="Adapter of the dataset store.")
    repository: str = Field(default="ml-platform", description="Name of the repository in the dataset store.")
    adapters: str = Field(
        default="",
        description="Function, module:name, that gives store, references, rollout records or an alert channel of the "
        "project's own; empty: the platform's.",
    )
    lakefs_endpoint: str = Field(default="", description="Address of the lakeFS server, with http:// or https://.")
    lakefs_access_key: str = Field(default="", description="Access key id of lakeFS.")
    lakefs_secret_key: SecretStr = Field(default=SecretStr(""), description="Secret access key of lakeFS.")
    lakefs_storage_namespace: str = Field(
        default="",
        description="Where in the object store the repository is created when it is missing, e.g. s3://bucket/data; "
        "empty: it must exist.",
    )
    lakefs_timeout_seconds: float = Field(
        default=30, gt=0, allow_inf_nan=False, description="Timeout of one answer of lakeFS."
    )
    lakefs_part_bytes: int = Field(
        default=64 << 20,
        ge=5 << 20,
        description="Larger files are uploaded in parts of this size where the server offers presigned addresses.",
    )
    lakefs_read_back: bool = Field(
        default=True, description="Read every upload back and compare its sha256; false: compare the server's md5."
    )
    lakefs_cache_bytes: int = Field(
        default=20 << 30, ge=0, description="Space for copies of what was read from lakeFS, below `local`."
    )
    lakefs_s3_endpoint: str = Field(
        default="", description="Address of lakeFS's S3 gateway, to look into Parquet files without a download."
    )
    lakefs_hook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What lakeFS must send along when it asks for verdicts; the server has it as "
        "`LAKEFSACTION_ML_PLATFORM_SECRET`.",
    )
    dagster_url: str = Field(
        default="", description="Address of Dagster's UI, for links from commits in lakeFS to their runs; empty: none."
    )
    ui_proxy: bool = Field(
        default=False,
        description="A proxy that asks for a login stands before the UI; only then may it listen beyond this machine.",
    )
    ui_host: str = Field(default="127.0.0.1", min_length=1, description="Address at which Dagster's UI listens.")
    reports_url: str = Field(
        default="http://127.0.0.1:3001",
        description="Where a browser finds reports; where it is this machine, `ml-platform ui` serves them there.",
    )
    mlflow_tracking_uri: SecretStr = Field(
        default=SecretStr(""), description="MLflow server; empty: SQLite below `local`."
    )
    patience_seconds: float = Field(
        default=120,
        ge=0,
        allow_inf_nan=False,
        description="How long a step of a run waits for lakeFS, MLflow or PostgreSQL that answered before; "
        "commands, and whoever never had an answer, wait at most 10.",
    )
    mlflow_timeout_seconds: int = Field(default=10, gt=0, description="Timeout of one MLflow request.")
    dagster_postgres_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL URL of Dagster's own storage; empty: SQLite below `local`."
    )
    ledger_url: SecretStr = Field(
        default=SecretStr(""), description="SQLAlchemy URL of the ledger; empty: SQLite below `local`."
    )
    ledger_key: SecretStr = Field(
        default=SecretStr(""),
        description="Private Ed25519 key that signs ledger entries, PEM or 32 bytes in base64; empty: none are signed.",
    )
    approval: Literal["automatic", "person"] = Field(
        default="automatic", description="Who approves a version whose gates all pass."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address at which models are asked.")
    ports: str = Field(
        default="3100-3199",
        description="Range of ports: from its beginning one for each model, kept for ever; from its end the processes.",
    )
    router: RouterName = Field(
        default="auto",
        description="What stands at a model's address; auto: Envoy where its wheel is installed, else `direct`, which "
        "shares, copies and repeats no requests.",
    )
    service_ready_seconds: float = Field(
        default=90, gt=0, allow_inf_nan=False, description="Time within which a service must become ready."
    )
    sensor_seconds: int = Field(
        default=30, ge=1, description="Seconds from one look of the sensors to the next, of most of them twice that."
    )
    paused: str = Field(default="", description="Comma-separated datasets and models that sensors leave alone.")
    alert_webhook: SecretStr = Field(
        default=SecretStr(""),
        description='Address that takes alerts as {"text": …}, e.g. an incoming webhook of Slack; empty: none.',
    )
    alert_email: SecretStr = Field(
        default=SecretStr(""),
        description="Mail server and people for alerts, smtp://user:password@host:587/?from=a@b.org&to=c@d.org (smtps: "
        "TLS from the beginning); empty: none.",
    )
    threads: int = Field(default=0, ge=0, le=1024, description="Threads for training; 0: all cores.")
    actor: str = Field(
        default_factory=lambda: os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown",
        description="Who acts, as written to the ledger.",
    )
    secret_key: SecretStr = Field(default=SecretStr(""), description="API key that the command line sends to services.")

    @field_validator("ports")
    @classmethod
    def _range_of_ports(cls, value: str) -> str:
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", value):
            raise ValueError("write a port or a range of ports such as 3100-3199")
        first, _, last = value.partition("-")
        if not 1 <= int(first) <= int(last or first) <= 65535:
            raise ValueError("ports are 1 to 65535, the first of a range no larger than the last")
        return value

    @field_validator("reports_url", "dagster_url", "lakefs_endpoint", "lakefs_s3_endpoint")
    @classmethod
    def _without_credentials(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("an address that is shown holds no user name and no password")
        return value

    @field_validator("ui_host")
    @classmethod
    def _behind_a_login(cls, value: str, info: ValidationInfo) -> str:
        if not info.data.get("ui_proxy") and not is_loopback(value):
            raise ValueError(
                "others reach this address, and Dagster's UI asks nobody who they are: put a proxy with a login before "
                "it and set ML_PLATFORM_UI_PROXY=true, or leave it at 127.0.0.1"
            )
        return value

    @field_validator("reports_url", "dagster_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("no address; write e.g. http://127.0.0.1:3001")
        return value

    @field_validator("alert_webhook")
    @classmethod
    def _webhook(cls, value: SecretStr) -> SecretStr:
        cls._address(value.get_secret_value())
        return value

    @field_validator("alert_email")
    @classmethod
    def _mail_server(cls, value: SecretStr) -> SecretStr:
        address = value.get_secret_value()
        parts = urlsplit(address)
        if address and not (
            parts.scheme in ("smtp", "smtps") and parts.hostname and {"from", "to"} <= parse_qs(parts.query).keys()
        ):
            raise ValueError("write smtp://host:25/?from=a@b.org&to=c@d.org")
        return value

    @field_validator("dagster_postgres_url")
    @classmethod
    def _postgres(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.match(r"postgres(ql)?(\+\w+)?://", value.get_secret_value()):
            raise ValueError("no URL of PostgreSQL; write e.g. postgresql://user@host:5432/dagster")
        return value

    @property
    def ledger(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger_url.get_secret_value() or f"sqlite:///{self.local / 'ledger.db'}"

    @property
    def mlflow_uri(self) -> str:
        """Tracking and registry URI of MLflow."""
        return self.mlflow_tracking_uri.get_secret_value() or f"sqlite:///{self.local / 'mlflow' / 'mlflow.db'}"

    @property
    def clock_file(self) -> Path | None:
        """The file that holds the time; a relative name is below the project root."""
        return default_home() / self.now[1:] if self.now.startswith("@") else None

    @property
    def port_range(self) -> range:
        """Ports that services may take."""
        first, _, last = self.ports.partition("-")
        return range(int(first), int(last or first) + 1)


def read_settings() -> Settings:
    """The settings as the environment names them now.

    Raises SettingsMistake for a variable that nobody would read, with the nearest name, and for an impossible value.
    """
    wrong = unknown(os.environ, Settings.model_fields)
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsMistake("; ".join([*wrong, *told(error, Settings)])) from None
    if wrong:
        raise SettingsMistake("; ".join(wrong))
    return settings


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once, see :func:`read_settings`. Tests call ``get_settings.cache_clear()``."""
    return read_settings()
