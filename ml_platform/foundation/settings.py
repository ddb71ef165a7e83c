"""Every setting of the platform, in one place.

Each is read from the environment variable ``ML_PLATFORM_<NAME>``; nothing else is read.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """The project root: DAGSTER_HOME where it is set, else the working folder."""
    return Path(os.environ.get("DAGSTER_HOME") or Path.cwd()).resolve()


class Settings(BaseSettings):
    """Settings with the defaults of one machine: nothing but Python is needed."""

    model_config = SettingsConfigDict(env_prefix="ML_PLATFORM_", frozen=True, extra="ignore")

    local: Path = Field(
        default_factory=lambda: default_home() / ".local",
        description="Folder for everything that a run writes.",
    )
    environment: str = Field(default="local", description="Name of the environment, shown in ledger entries.")
    store: Literal["embedded", "lakefs"] = Field(default="embedded", description="Adapter of the dataset store.")
    repository: str = Field(default="ml-platform", description="Name of the repository in the dataset store.")
    lakefs_endpoint: str = Field(default="", description="Address of the lakeFS server, with http:// or https://.")
    lakefs_access_key: str = Field(default="", description="Access key id of lakeFS.")
    lakefs_secret_key: SecretStr = Field(default=SecretStr(""), description="Secret access key of lakeFS.")
    lakefs_storage_namespace: str = Field(
        default="",
        description="Where in the object store the repository is created when it is missing, e.g. s3://bucket/data; "
        "empty: it must exist.",
    )
    lakefs_timeout_seconds: float = Field(default=30, gt=0, description="Timeout of one answer of lakeFS.")
    lakefs_attempts: int = Field(default=6, ge=1, description="How often one request to lakeFS is sent at most.")
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
    dagster_url: str = Field(
        default="", description="Address of Dagster's UI, for links from commits in lakeFS to their runs; empty: none."
    )
    reports_url: str = Field(
        default="http://127.0.0.1:3001",
        description="Where a browser finds reports; where it is this machine, `ml-platform ui` serves them there.",
    )
    mlflow_tracking_uri: str = Field(default="", description="MLflow server; empty: SQLite below `local`.")
    mlflow_timeout_seconds: int = Field(default=10, description="Timeout of one MLflow request.")
    mlflow_max_retries: int = Field(default=2, description="Retries of one MLflow request.")
    dagster_postgres_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL URL of Dagster's own storage; empty: SQLite below `local`."
    )
    ledger_url: str = Field(default="", description="SQLAlchemy URL of the ledger; empty: SQLite below `local`.")
    ledger_key: SecretStr = Field(
        default=SecretStr(""),
        description="Private Ed25519 key that signs ledger entries, PEM or 32 bytes in base64; empty: none are signed.",
    )
    approval: Literal["automatic", "person"] = Field(
        default="automatic", description="Who approves a version whose gates all pass."
    )
    host: str = Field(default="127.0.0.1", description="Address that services listen on.")
    ports: str = Field(default="3100-3199", description="Range of ports that services may take.")
    api_key_sha256: str = Field(
        default="", description="Comma-separated sha256 of accepted API keys; empty: none asked."
    )
    service_body_limit: int = Field(default=2 << 20, description="Largest request body of a service, bytes.")
    service_ready_seconds: float = Field(default=90, description="Time within which a service must become ready.")
    paused: str = Field(default="", description="Comma-separated datasets and models that sensors leave alone.")
    now: str = Field(default="", description="ISO time to use as the clock; empty: wall time.")
    threads: int = Field(default=0, description="Threads for training; 0: all cores.")
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
        return value

    @property
    def ledger(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.local / 'ledger.db'}"

    @property
    def mlflow_uri(self) -> str:
        """Tracking and registry URI of MLflow."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.local / 'mlflow' / 'mlflow.db'}"

    @property
    def port_range(self) -> range:
        """Ports that services may take."""
        first, _, last = self.ports.partition("-")
        return range(int(first), int(last or first) + 1)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Tests call ``get_settings.cache_clear()``."""
    return Settings()
