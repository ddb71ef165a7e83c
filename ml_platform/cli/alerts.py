"""``ml-platform test-alert``: whether alerts reach somebody, before one has to."""

import typer

from ml_platform.cli.output import Json, say, written


def try_channels(json: Json = None) -> None:
    """Send a message by each channel of alerts, and say which took it.

    1 where one did not, or where there is none: alerts then stand on the page and in `status` alone.
    """
    from ml_platform.foundation.errors import PlatformError
    from ml_platform.foundation.project import Project
    from ml_platform.foundation.settings import get_settings
    from ml_platform.live.messages import alert_channels, send, variables

    channels = alert_channels(get_settings())
    if not channels:
        raise PlatformError(
            "alerts: no channel is set, they stand on the page and in ml-platform status alone; set "
            f"{' or '.join(variables())}, or the port alerts of ML_PLATFORM_ADAPTERS"
        )
    failed = send(f"Test of the alerts of {Project.find().root.name}: nothing is to be done.", channels)
    for name in channels:
        say(f"{name}: {failed.get(name, 'taken')}")
    written(json, {name: failed.get(name, "") for name in channels})
    raise typer.Exit(1 if failed else 0)
