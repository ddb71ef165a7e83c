"""``ml-platform serve-hooks``: the verdicts, for lakeFS to ask before it merges."""

import socket
import sys
import threading

from ml_platform.cli.output import say
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline.workspace import Workspace


def serve_merge_hook(install_at: str, port: int) -> None:
    """Listen in the foreground, and set up the server's hook where an address is given.

    Raises PlatformError where the store is no lakeFS, there is no shared secret, or no port is free.
    """
    import uvicorn

    from ml_platform.datasets.lakefs.hook import ACTION, HOOK, VARIABLE, application, install
    from ml_platform.datasets.lakefs.store import LakeFSStore
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.merge_hook import require_verdicts

    workspace = Workspace()
    store, datasets = workspace.store, project_catalogue().datasets
    if not isinstance(store, LakeFSStore):
        raise PlatformError(f"ML_PLATFORM_STORE={workspace.settings.store}: only lakeFS asks before it merges")
    secret = workspace.settings.lakefs_hook_secret.get_secret_value()
    if not secret:
        raise PlatformError(
            "ML_PLATFORM_LAKEFS_HOOK_SECRET is not set, so anybody could ask for the verdicts: set it here, and to the "
            f"same value as {VARIABLE} in the environment of the lakeFS server"
        )
    app = application(store.repository, lambda source: require_verdicts(workspace, datasets, source), secret)
    with _listening(workspace.settings, port) as listening:
        taken = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        answering = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        answering.start()
        try:
            say(f"answering on http://{workspace.settings.host}:{taken}{HOOK}", flush=True)
            # The merge that sets the hook up is asked about already, so the answers must be running.
            if install_at:
                done = install(store, install_at)
                if done.branches:
                    where = f"{install_at.rstrip('/')}{HOOK}"
                    say(f"{store.repository}: lakeFS asks {where} before main changes (on {', '.join(done.branches)})")
                for line in done.without:
                    say(f"without {ACTION}, so what is merged from there is not asked about: {line}", file=sys.stderr)
            answering.join()
        finally:
            server.should_exit = True
            answering.join()


def _listening(settings: Settings, port: int) -> socket.socket:
    for candidate in [port] if port else settings.port_range:
        try:
            return socket.create_server((settings.host, candidate))
        except OSError:
            continue
    wanted = f"port {port}" if port else f"every port of ML_PLATFORM_PORTS={settings.ports}"
    raise PlatformError(f"{settings.host}: {wanted} is taken; name another one with --port")
