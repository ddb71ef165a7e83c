"""``ml-platform suggest``: thresholds from the windows before a date, and what they would have said after it."""

import os
import tempfile
from datetime import date
from itertools import groupby
from pathlib import Path

from ml_platform.cli import screen
from ml_platform.cli.output import BadUsage, written
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.settings import default_home
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.suggest import suggestions
from ml_platform.proving.windows import windows_of


def suggest_thresholds(name: str, until: str, most: int, json: Path | None) -> None:
    """Print a line of ``gates:`` for each gate, with the values seen before and after the date."""
    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    console, workspace = screen.console(), Workspace()
    try:
        context = ModelContext.of(project_catalogue(), name)
        day = date.fromisoformat(until) if until else workspace.now().date()
    except DeclarationError as error:
        raise BadUsage(f"MODEL: {error}") from error
    except ValueError as error:
        raise BadUsage(f"--until: {until!r} is no date; write it as YYYY-MM-DD") from error
    with tempfile.TemporaryDirectory(prefix="ml-platform-suggest-") as folder:
        proof, windows = windows_of(
            context, workspace, Path(folder), most, lambda line: console.print(line, highlight=False, markup=False)
        )
    found = suggestions(proof.context, proof.clean.judged, day)
    lines = [
        f"before: what had ended by {day}; after: what came then, to {proof.clean.newest}. Models: "
        f"{len(windows)} windows, to {windows[0].last} and on"
    ]
    for owner, gates in groupby(found, lambda one: one.owner):
        lines += [f"{owner}:", "  gates:", *(f"    {one.line()}" for one in gates)]
    proposed = sum(len(one.alarms(one.proposed)) for one in found if one.declared.blocking)
    declared = sum(len(one.alarms(one.declared)) for one in found if one.declared.blocking)
    lines.append(f"blocking alarms after {day}: {proposed} with these thresholds, {declared} with the declared ones")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    written(
        json,
        {
            "model": name,
            "until": str(day),
            "windows": [window.plain() for window in windows],
            "suggestions": [one.plain() for one in found],
            "blocking_alarms_after": proposed,
            "blocking_alarms_after_as_declared": declared,
        },
    )
