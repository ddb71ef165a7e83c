"""Reports for people: where they lie, under which address a browser finds them, and the server that hands them out.

Browsers do not open local files from a page of a server. So that the link beside an asset opens its report,
``ml-platform ui`` starts ``python -m ml_platform.documents.server``: static files on the loopback interface, nothing
else.
"""

import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made
from ml_platform.foundation.settings import Settings, get_settings

#: Folder of the reports, below the folder of a run's outputs.
FOLDER = "reports"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
#: A report runs no script of its own and loads nothing; Evidently's has its scripts inside.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; sandbox allow-scripts allow-downloads",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def folder(settings: Settings) -> Path:
    """Where reports are written."""
    return settings.local / FOLDER


def report_url(settings: Settings, file: str | Path) -> str:
    """Address of a report file, as far as it lies directly in :func:`folder`."""
    return f"{settings.reports_url.rstrip('/')}/{quote(Path(file).name)}"


def address(settings: Settings) -> tuple[str, int]:
    """Host and port of the reports' address."""
    parts = urlsplit(settings.reports_url)
    return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)


def is_here(settings: Settings) -> bool:
    """Whether the address is one of this machine, at which the UI serves the reports itself."""
    return urlsplit(settings.reports_url).scheme == "http" and address(settings)[0] in _LOOPBACK


def serve(settings: Settings) -> None:
    """Serve the reports until the process is ended."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    class Reports(StaticFiles):
        """The files of the folder, each with headers that keep it to itself."""

        def file_response(self, *arguments, **options):  # type: ignore[no-untyped-def]
            response = super().file_response(*arguments, **options)
            response.headers.update(_HEADERS)
            return response

    host, port = address(settings)
    made(folder(settings))
    # Other names that point here are somebody else's page.
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    app = Starlette(routes=[Mount("/", Reports(directory=folder(settings)))], middleware=[trusted])
    uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    try:
        serve(get_settings())
    except PlatformError as error:
        sys.exit(f"ml-platform: {error}")
