"""What the commands share: how a result is written, and how bad usage is told."""

import sys
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.words import no_text, printable

if TYPE_CHECKING:
    from ml_platform.declarations.catalogue import Catalogue

Json = Annotated[
    Path | None, typer.Option("--json", help="Also write the result to this JSON file; -: to standard output alone.")
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"ml-platform {version('ml-platform')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
]


def words(option: str) -> Callable[[str], str]:
    """What looks at an option that is for people: BadUsage for what is no text."""

    def look(given: str) -> str:
        if given and (wrong := no_text(given)):
            raise BadUsage(f"{option}: it {wrong}")
        return given

    return look


#: Who decides and why, for the commands by which people do.
By = Annotated[str, typer.Option("--by", help="Who decides.", callback=words("--by"))]
Reason = Annotated[str, typer.Option("--reason", help="Why.", callback=words("--reason"))]
#: Ways to ask for help, also below a command.
HELPS = {"help_option_names": ["-h", "--help"]}
#: The path that means the standard output.
OUTPUT = Path("-")
#: The standard output, while what people read goes elsewhere (:func:`only_json`).
_outputs: list[TextIO] = []


class BadUsage(PlatformError):
    """Something on the command line that cannot be meant."""


@contextmanager
def only_json(arguments: Sequence[str]) -> Generator[None]:
    """With ``--json -`` the standard output is the JSON and nothing else: what people read goes to standard error."""
    asked = ("--json", str(OUTPUT)) in pairwise(arguments) or f"--json={OUTPUT}" in arguments
    if not asked:
        yield
        return
    _outputs.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _outputs.pop()


#: To what a command is limited, wherever it can be: each may be repeated.
OnlyDatasets = Annotated[
    list[str] | None, typer.Option("--dataset", help="Only this dataset, and models on it; may be repeated.")
]
OnlyModels = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model, and its dataset; may be repeated.")
]


def limited(catalogue: "Catalogue", datasets: Collection[str], models: Collection[str]) -> "Catalogue":
    """What a command is limited to by its options; of none, everything.

    Raises BadUsage, naming those that there are, for one that is not declared.
    """
    from ml_platform.foundation.names import meant

    for option, wanted, known in (("dataset", datasets, catalogue.datasets), ("model", models, catalogue.models)):
        for name in wanted:
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise BadUsage(f"--{option}: there is no {name!r}; declared: {there}{meant(name, known)}")
    return catalogue.limited(datasets, models)


def declared_model(name: str, catalogue: "Catalogue | None" = None) -> str:
    """The name of a model of the declarations, by default those of this project.

    Raises BadUsage, naming those that there are, for any other.
    """
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.names import meant

    known = sorted((catalogue or project_catalogue()).models)
    if name not in known:
        raise BadUsage(f"there is no model {name!r}; declared: {', '.join(known) or 'none'}{meant(name, known)}")
    return name


#: Commands that leave the supervisor as it is.
UNSUPERVISED = {"stop", "serve", "serve-hooks", "validate", "ui", "new", "restore", "demo"}


def supervised(settings: Settings, command: str) -> None:
    """Start the supervisor again where it ended and nobody stopped it; says so. No command fails of it."""

    if command in UNSUPERVISED or not (settings.local / "rollout" / "state.json").exists():
        return
    from ml_platform.rollout.control import keep_running

    try:
        if keep_running(settings):
            say("ml-platform: the supervisor of the services had ended; it runs again", file=sys.stderr)
    except PlatformError as error:
        say(f"ml-platform: {error}", file=sys.stderr)


def say(*values: object, sep: str = " ", file: TextIO | None = None, flush: bool = False) -> None:
    """A line for people: each value is made :func:`~ml_platform.foundation.words.printable`, whoever wrote it."""
    print(*(printable(str(value)) for value in values), sep=sep, file=file, flush=flush)


def written(path: Path | None, value: Any) -> None:
    """Write ``value`` as JSON where a file was asked for, or to the standard output for :data:`OUTPUT`.

    Raises PlatformError where it cannot be written.
    """
    import json

    if path == OUTPUT:
        print(json.dumps(value, indent=1, default=str), file=_outputs[-1] if _outputs else None)
    elif path is not None:
        saved("--json", path, json.dumps(value, indent=1, default=str) + "\n")


def saved(option: str, path: Path, content: str | bytes) -> None:
    """Write the file that an option names. Raises PlatformError where it cannot be written."""
    from ml_platform.foundation.files import write_atomic

    try:
        write_atomic(path.resolve(), content)
    except OSError as error:
        raise PlatformError(f"{option}: {path} cannot be written: {error.strerror}") from error
