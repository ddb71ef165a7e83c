"""The Dagster instance: everything it writes goes below the platform's one folder, or to PostgreSQL."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from ml_platform.foundation.files import canonical_json, made
from ml_platform.foundation.settings import read_settings
from ml_platform.foundation.variables import PREFIX
from ml_platform.orchestration.dagster_internals import ConfigurableClassData, storage_defaults

POSTGRES_URL = "ML_PLATFORM_DAGSTER_POSTGRES_URL"


class PlatformInstance(DagsterInstance):
    """``DagsterInstance`` with other default folders; named by ``instance_class`` in ``dagster.yaml``.

    Paths in ``dagster.yaml`` are relative to the working folder of each process, and its defaults write
    ``storage``, ``history`` and ``schedules`` beside the code. Here they follow DAGSTER_HOME and
    ``ML_PLATFORM_LOCAL``, so that every command sees the same history from any folder.
    """

    def inject_env_vars(self, location_name: str | None) -> None:
        """Variables of the project's ``.env``; of the platform's own only those that the environment does not set."""
        super().inject_env_vars(location_name)
        environment_first()

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """No keys in ``dagster.yaml`` beyond Dagster's own."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Storage, compute logs and artifacts where ``dagster.yaml`` does not name any. Raises SettingsMistake."""
        environment_first()
        settings = read_settings()
        local = settings.local if "local" in settings.model_fields_set else Path(base_dir) / ".local"
        folder = local.resolve() / "dagster"
        made(folder)
        defaults = dict(storage_defaults(str(folder)))
        defaults["storage"] = ConfigurableClassData(
            "ml_platform.orchestration.event_log", "Storage", canonical_json({"base_dir": str(folder)})
        )
        if settings.dagster_postgres_url.get_secret_value():
            # The reference is handed between processes and so names the variable, never its value.
            defaults |= _postgres({"postgres_url": {"env": POSTGRES_URL}})
        return defaults


def environment_first() -> None:
    """Give the platform's settings back the values with which this process was started.

    Dagster's commands and daemons read ``.env`` of the working folder over the environment before anything else: a line
    in a file of the project would overrule who approves, which ledger counts and who signs.
    """
    import psutil
    from dotenv import dotenv_values

    started = psutil.Process().environ()
    for name, value in dotenv_values(Path.cwd() / ".env").items():
        if name.startswith(PREFIX) and name in started and os.environ.get(name) == value:
            os.environ[name] = started[name]


def _postgres(config: Mapping[str, Any]) -> Mapping[str, ConfigurableClassData]:
    classes = {
        "storage": "Storage",
        "run_storage": "RunStorage",
        "event_log_storage": "EventLog",
        "schedule_storage": "ScheduleStorage",
    }
    text = canonical_json(config)
    return {
        key: ConfigurableClassData("ml_platform.orchestration.postgres", name, text) for key, name in classes.items()
    }
