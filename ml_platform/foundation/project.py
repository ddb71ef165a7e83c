"""The Dagster project that a command works on: the one whose ``pyproject.toml`` has ``[tool.dg.project]``."""

import os
import sys
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import default_home


class NoProject(PlatformError):
    """There is no project here, or its ``pyproject.toml`` does not describe one."""


@dataclass(frozen=True)
class Project:
    """Where a project's code is, by the conventions of ``dg``."""

    #: Folder with ``pyproject.toml``.
    root: Path
    #: Folder that holds the packages: the root, or ``src`` below it.
    code: Path
    #: Module below which the ``defs.yaml`` files are, and its folder.
    defs_module: str
    defs_folder: Path
    #: Module with the Definitions.
    definitions: str

    @classmethod
    def find(cls, start: Path | None = None) -> "Project":
        """The project at or above ``start`` (default: DAGSTER_HOME where that is in one, else the working folder).

        Raises NoProject.
        """
        places = [start] if start else [Path(home) for home in [os.environ.get("DAGSTER_HOME")] if home] + [Path.cwd()]
        for place in places:
            for folder in (place.resolve(), *place.resolve().parents):
                if (found := _declared(folder)) is not None:
                    return cls._of(folder, found)
        raise NoProject(
            f"{places[-1]}: no pyproject.toml with [tool.dg.project] here or above; "
            "run this in the project or set DAGSTER_HOME to its root; "
            "`uvx create-dagster@latest project NAME` makes a new one"
        )

    @classmethod
    def _of(cls, root: Path, declared: dict[str, Any]) -> "Project":
        package = declared.get("root_module")
        if not package:
            raise NoProject(f"{root / 'pyproject.toml'}: tool.dg.project.root_module is missing")
        module = declared.get("defs_module") or f"{package}.defs"
        parts = Path(*module.split("."))
        code = next((base for base in (root, root / "src") if (base / parts).is_dir()), None)
        if code is None:
            raise NoProject(f"{root / 'pyproject.toml'}: tool.dg.project.defs_module: {module!r} is no folder here")
        definitions = declared.get("code_location_target_module") or f"{package}.definitions"
        return cls(root, code, module, code / parts, definitions)

    def make_importable(self) -> None:
        """Put the project's code on the import path, as ``dagster`` and ``dg`` do: it need not be installed."""
        if str(self.code) not in sys.path:
            sys.path.insert(0, str(self.code))

    def files(self) -> list[Path]:
        """Every ``defs.yaml`` of the project."""
        return sorted(path for name in ("defs.yaml", "defs.yml") for path in self.defs_folder.rglob(name))


@lru_cache(maxsize=1)
def current_project() -> Project:
    """The project of this process, importable. Raises NoProject."""
    project = Project.find()
    project.make_importable()
    return project


def read_env_file() -> None:
    """Set what ``.env`` of the project says and the environment does not: Dagster's processes read it as well.

    The environment outranks the file, which anybody who may edit the project can write. Without project or file nothing
    is set.
    """
    from dotenv import load_dotenv

    with suppress(NoProject):
        load_dotenv(Project.find().root / ".env", override=False)


def code_root() -> Path:
    """Where the code is whose commit counts: the project's root, and where there is no project DAGSTER_HOME."""
    try:
        return Project.find().root
    except NoProject:
        return default_home()


def _declared(folder: Path) -> dict[str, Any] | None:
    """The section of the project in ``pyproject.toml``, or in ``dg.toml``, which ``dg`` reads as well."""
    for name, path in (("pyproject.toml", ("tool", "dg", "project")), ("dg.toml", ("project",))):
        file = folder / name
        if not file.is_file():
            continue
        try:
            found: Any = tomllib.loads(file.read_text())
        except tomllib.TOMLDecodeError as error:
            raise NoProject(f"{file}: not TOML: {error}") from error
        for key in path:
            found = found.get(key) or {}
        if found:
            return found
    return None
