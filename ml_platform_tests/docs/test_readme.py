"""README and docs say what is there: commands, tables, links, images, packages."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from ml_platform_tests.conftest import ROOT, copy_of_the_project
from ml_platform_tests.docs import tables

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What GitHub shows without a click.
LARGEST_IMAGE = 400_000
OWN_MODEL = re.compile(r"<!-- own-model -->\n```\n(.*?)```", re.DOTALL)


def read(page: Path) -> str:
    return page.read_text()


def without_blocks(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def commands(text: str, program: str) -> set[str]:
    """What follows ``program`` at the start of a line of code, as far as it is a name: ``test`` of ``make test``."""
    code = "\n".join([*re.findall(r"```.*?\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    return set(re.findall(rf"^(?:\w+=\S+ )*{program} ([a-z][a-z-]*)", code, re.MULTILINE))


def test_the_tables_are_those_of_the_code() -> None:
    text = read(tables.README)
    assert text == tables.filled(text), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert commands(read(page), "make") <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_command_line_exist(page: Path) -> None:
    from ml_platform.cli.app import cli

    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    assert commands(read(page), "ml-platform") <= set(group.commands)
    ledger = group.commands["ledger"]
    assert isinstance(ledger, TyperGroup)
    assert commands(read(page), "ml-platform ledger") <= set(ledger.commands)


def test_options_of_the_command_line_exist() -> None:
    from ml_platform.cli.app import cli

    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    found = re.findall(r"ml-platform ([a-z]+)([^`#\n]*)", read(tables.README))
    used = [(name, option) for name, rest in found for option in re.findall(r"--[a-z-]+", rest)]
    assert used
    for name, option in used:
        known = [text for parameter in group.commands[name].params for text in parameter.opts]
        assert option in known, f"ml-platform {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", without_blocks(read(page))):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_images_are_small_and_shown() -> None:
    images = list((ROOT / "docs" / "images").iterdir())
    shown = "".join(read(page) for page in PAGES)
    assert images
    for image in images:
        assert image.stat().st_size < LARGEST_IMAGE, image
        assert f"images/{image.name}" in shown, f"no page shows {image.name}"


def test_settings_that_are_named_exist() -> None:
    from ml_platform.defs.flights import source
    from ml_platform.foundation.settings import Settings

    known = {f"ML_PLATFORM_{name.upper()}" for name in Settings.model_fields} | {source.UNTIL}
    for page in PAGES:
        named = set(re.findall(r"\bML_PLATFORM_[A-Z_0-9]+\b(?!…)", read(page)))
        assert {name for name in named if not name.endswith("_")} <= known, page.name


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    optional = [name for extra in project["optional-dependencies"].values() for name in extra]
    wanted = {re.split(r"[^a-zA-Z0-9-]", name)[0] for name in [*project["dependencies"], *optional]}
    section = read(tables.README).split("\n## Dependencies\n")[1].split("\n## ")[0]
    assert wanted <= set(re.findall(r"`([a-zA-Z0-9-]+)`", section))


def test_ci_runs_the_test_command_of_the_readme() -> None:
    first = re.search(r"```\n(.*?)```", read(tables.README), re.DOTALL)
    assert first
    shown = [line.split("#")[0].strip() for line in first[1].strip().splitlines()]
    assert shown == ["make run", "make test"]
    assert re.search(r"^step test make test$", read(ROOT / ".ci" / "run"), re.MULTILINE)


@pytest.mark.slow
def test_a_model_of_ones_own_as_the_readme_says(tmp_path: Path) -> None:
    block = OWN_MODEL.search(read(tables.README))
    assert block
    project = copy_of_the_project(tmp_path / "project")
    environment = os.environ | {"DAGSTER_HOME": str(project), "PYTHONPATH": str(project)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for line in block[1].strip().splitlines():
        done = subprocess.run(
            shlex.split(line), cwd=project, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    shown = subprocess.run(
        ["dg", "list", "defs"], cwd=project, env=environment, capture_output=True, text=True, timeout=240
    )
    assert "long_delay/deployment" in shown.stdout, shown.stderr
    assert "long_delay_train" in shown.stdout
