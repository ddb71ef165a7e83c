"""Packages whose code somebody has edited, and the gates that every package has to pass."""

from collections.abc import Callable
from pathlib import Path

SERVICE_GATES = ("servability", "skew", "bad_input")
#: A step of packaging: it copies the code that a feature function needs into a folder.
Stage = Callable[[Path, str], None]


def edited(file: str, before: str, after: str) -> Callable[[Stage], Stage]:
    """Packaging that changes a line of the code it packs."""

    def wrapped(stage_code: Stage) -> Stage:
        def stage(folder: Path, function: str) -> None:
            stage_code(folder, function)
            path = folder / file
            text = path.read_text()
            assert text.count(before) == 1
            path.write_text(text.replace(before, after))

        return stage

    return wrapped
