"""What is installed: every file that the code reads at run time, and every package that it imports."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from ml_platform_tests.conftest import ROOT

PACKAGE = ROOT / "ml_platform"
#: Imported under another name than the distribution that brings it.
PART_OF = {"_bentoml_sdk": "bentoml"}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_wheel_carries_templates_and_declarations(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "ml_platform"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    data = {name for name in tracked if not name.endswith(".py") and (ROOT / name).exists()}
    assert {Path(name).suffix for name in data} >= {".j2", ".yaml", ".txt"}
    assert data <= inside
    assert not [name for name in inside if name.startswith("ml_platform_tests")]


def test_everything_imported_is_declared() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    declared = {normalized(re.split(r"[^a-zA-Z0-9._-]", name)[0]) for name in dependencies}
    brought_by = packages_distributions()
    missing = {}
    for file in PACKAGE.rglob("*.py"):
        for name in imported(file) - sys.stdlib_module_names - {"ml_platform"}:
            distributions = {normalized(item) for item in brought_by.get(PART_OF.get(name, name), [name])}
            if not distributions & declared:
                missing.setdefault(name, file.relative_to(ROOT).as_posix())
    assert missing == {}
