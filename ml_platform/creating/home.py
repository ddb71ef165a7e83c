"""What a project of one's own needs once: the component Platform, the instance of Dagster, what Git leaves alone."""

import tomllib
from importlib.resources import files
from pathlib import Path

from ml_platform.declarations.reading import read_declarations
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.project import Project

#: What runs write; the path is that of ``.local`` in the project's root.
_IGNORED = "/.local/"
#: What is added to files that may have been there.
ADDED = {
    "pyproject.toml": "[tool.pytest.ini_options] with pythonpath, so that pytest finds the code",
    ".gitignore": "the folder of what runs write",
}


def home(project: Project) -> list[str]:
    """Write what is not there, never what is; the files that were written, below the project's root."""
    made = []
    if not read_declarations(project).platforms:
        platform = project.defs_folder / "platform" / "defs.yaml"
        write_atomic(platform, "type: ml_platform.Platform\n")
        made.append(platform)
    made += instance_files(project)
    made += _found_by_pytest(project)
    return [str(path.relative_to(project.root)) for path in made]


def instance_files(project: Project) -> list[Path]:
    """``dagster.yaml`` where there is none; ``.gitignore`` with the folder of what runs write."""
    made = []
    instance = project.root / "dagster.yaml"
    if not instance.exists():
        write_atomic(instance, (files("ml_platform.creating") / "templates" / "dagster.yaml.txt").read_text())
        made.append(instance)
    ignored = project.root / ".gitignore"
    known = ignored.read_text() if ignored.exists() else ""
    if not {_IGNORED, ".local/", ".local", "/.local"} & {line.strip() for line in known.splitlines()}:
        write_atomic(
            ignored, f"{known.rstrip()}\n{_IGNORED}\n".lstrip() if known else f"{_IGNORED}\n__pycache__/\n.venv/\n"
        )
        made.append(ignored)
    return made


def _found_by_pytest(project: Project) -> list[Path]:
    """A section for pytest with where the code is, at the end of a ``pyproject.toml`` that has none and needs one."""
    path, code = project.root / "pyproject.toml", project.code.relative_to(project.root).as_posix()
    text = path.read_text()
    elsewhere = any((project.root / name).exists() for name in ("pytest.ini", ".pytest.ini"))
    if code == "." or elsewhere or "pytest" in tomllib.loads(text).get("tool", {}):
        return []
    write_atomic(path, f'{text.rstrip()}\n\n[tool.pytest.ini_options]\npythonpath = ["{code}"]\n')
    return [path]
