"""An installation of the example in a folder of its own, at work: daemon, services, and a clock in a file."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.demonstrating import world
from ml_platform.demonstrating.project import DECLARED, MODEL, prepare
from ml_platform.demonstrating.year import Year
from ml_platform.foundation.locks import locked
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.foundation.variables import PREFIX
from ml_platform.orchestration import webserver
from ml_platform.orchestration.quiet import wait_quiet
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.control import stop_all

#: Ports: of the UI, of the reports, and what services take.
PORTS = 40
#: Seconds after which nothing more is expected of one move of the clock.
PATIENCE = 900.0


@contextmanager
def installation(
    folder: Path,
    port: int,
    begins: str,
    told: Callable[[str], object],
    declared: Mapping[str, Mapping[str, Any]] = DECLARED,
) -> Generator[Year]:
    """The year of an installation that is at work; whatever ends the block ends all its processes.

    ``port``: the first of its ports, 0: any that are free. ``begins``: what its clock shows first. From here on this
    process reads the settings of that installation and no other. Raises PlatformError where another demonstration is
    under way in the folder, or it holds something else.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        stack.enter_context(
            locked(folder.parent / f"{folder.name}.lock", 0, "another demonstration is under way there")
        )
        settings = _settings_of(folder, port)
        # What a killed demonstration left running.
        _stop(settings)
        prepare(folder, begins, declared)
        stack.callback(_stop, settings)
        told(f"Dagster UI: {webserver.start(settings, settings.port_range[0] - 2)}")
        instance = stack.enter_context(dg.DagsterInstance.get())
        context = ModelContext.of(project_catalogue(), MODEL)
        year = Year(folder, Workspace(), context, told)
        year.settle = partial(wait_quiet, instance, until=lambda: not year.rolling, seconds=PATIENCE)
        yield year


def _stop(settings: Settings) -> None:
    webserver.stop(settings)
    stop_all(settings)


def _settings_of(folder: Path, port: int) -> Settings:
    """The settings of the installation, in the environment of this process: of those of the user only what they say of
    the machine stays."""
    first = port or _free()
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}THREADS"]:
        del os.environ[name]
    os.environ["DAGSTER_HOME"] = str(folder)
    for name, value in {
        "LOCAL": str(folder / ".local"),
        "NOW": f"@{folder / world.CLOCK}",
        "PORTS": f"{first + 2}-{first + PORTS - 1}",
        "REPORTS_URL": f"http://127.0.0.1:{first + 1}",
        # A day is over in seconds here.
        "SENSOR_SECONDS": "1",
        "ACTOR": "demo",
    }.items():
        os.environ[f"{PREFIX}{name}"] = value
    get_settings.cache_clear()
    return get_settings()


def _free() -> int:
    """The first of a range of ports that the system gives to nobody at the moment; each is looked at again when it is
    taken."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return min(found.getsockname()[1], 65535 - PORTS)
