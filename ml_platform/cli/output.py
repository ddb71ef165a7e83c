"""What the commands share: how a result is written, and how bad usage is told."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ml_platform.foundation.errors import PlatformError

Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this JSON file.")]
#: Who decides and why, for the commands by which people do.
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
#: The path that means the standard output.
OUTPUT = Path("-")


class BadUsage(PlatformError):
    """Something on the command line that cannot be meant."""


def declared_model(name: str) -> str:
    """The name of a model of this project. Raises BadUsage, naming those that there are, for any other."""
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.names import meant

    known = sorted(project_catalogue().models)
    if name not in known:
        raise BadUsage(f"there is no model {name!r}; declared: {', '.join(known) or 'none'}{meant(name, known)}")
    return name


def written(path: Path | None, value: Any) -> None:
    """Write ``value`` as JSON where a file was asked for, or to the standard output for :data:`OUTPUT`.

    Raises PlatformError where it cannot be written.
    """
    import json

    if path == OUTPUT:
        print(json.dumps(value, indent=1, default=str))
    elif path is not None:
        saved("--json", path, json.dumps(value, indent=1, default=str) + "\n")


def saved(option: str, path: Path, content: str | bytes) -> None:
    """Write the file that an option names. Raises PlatformError where it cannot be written."""
    from ml_platform.foundation.files import write_atomic

    try:
        write_atomic(path.resolve(), content)
    except OSError as error:
        raise PlatformError(f"{option}: {path} cannot be written: {error.strerror}") from error
