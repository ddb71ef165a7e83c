"""``ui``."""

from typing import Annotated

import typer

from ml_platform.cli.output import say
from ml_platform.foundation.settings import get_settings


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web server.")] = 3000,
    stop: Annotated[bool, typer.Option("--stop", help="Stop web server and daemon instead.")] = False,
) -> None:
    """Start Dagster's web server and daemon on this installation's storage."""
    from ml_platform.orchestration import webserver as dagster_ui

    if stop:
        say("stopped the UI" if dagster_ui.stop(get_settings()) else "the UI does not run")
    else:
        from ml_platform.rollout.control import start_wanted

        if start_wanted(get_settings()):
            say("started the supervisor of the services")
        say(f"Dagster UI: {dagster_ui.start(get_settings(), port)}")
