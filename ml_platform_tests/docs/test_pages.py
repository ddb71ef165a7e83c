"""README and docs say what is there: commands, tables, links, images; what they show to type is typed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from ml_platform_tests.conftest import ROOT, copy_of_the_project, ports
from ml_platform_tests.several import several

README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
#: Pages whose blocks are typed, one after the other, where the example ran.
TYPED = [README, ROOT / "docs" / "use.md"]
#: Take minutes, and have tests of their own.
TESTED_ELSEWHERE = ("ml-platform prove", "ml-platform demo")
#: What GitHub shows without a click.
LARGEST_IMAGE = 400_000
OWN_MODEL = re.compile(r"<!-- own-model -->\n```\n(.*?)```", re.DOTALL)
#: On a table that is not the example's, and in a project of its own: typed in `creating/test_end_to_end.py`.
OWN_DATA = re.compile(r"<!-- own-data -->.*?<!-- /own-data -->", re.DOTALL)


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text()


def without_blocks(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def blocks(page: Path) -> list[str]:
    """The lines of its blocks that are to be typed where the example is, without their comments."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", OWN_DATA.sub("", read(page)), re.MULTILINE | re.DOTALL)
    return [line.split(" #")[0].strip() for kind, block in found if not kind for line in block.splitlines()]


def headings(page: Path) -> set[str]:
    """The names that a link can give after ``#``, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(text: str, program: str) -> set[str]:
    """What follows ``program`` at the start of a line of code, as far as it is a name: ``test`` of ``make test``."""
    code = "\n".join([*re.findall(r"```.*?\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    return set(re.findall(rf"^(?:\w+=\S+ )*{program} ([a-z][a-z-]*)", code, re.MULTILINE))


def generate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(REFERENCE / "generate.py"), *arguments], capture_output=True, text=True, timeout=120
    )


def test_the_readme_is_short() -> None:
    assert len(read(README).splitlines()) <= 150


@pytest.fixture(scope="module")
def current_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages beside the code as the code gives them, so that one that is not current is told by one test only."""
    folder = shutil.copytree(REFERENCE, tmp_path_factory.mktemp("current") / "docs" / "reference")
    shutil.copy(ROOT / "pyproject.toml", folder.parent.parent)
    done = generate(str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_reference_is_what_the_code_gives() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "break_it", "reason"),
    [
        ("gates", lambda text: text.replace("| `max` |", "| `min` |", 1), "gates.md is not what the code gives"),
        ("settings", lambda text: text.replace("`embedded`", "`lakefs`"), "settings.md is not what the code gives"),
        ("protocols", lambda text: text.replace("| `width: int` |", "| `size: int` |"), "protocols.md is not what"),
        ("keys", lambda text: text.replace("| `label_delay` | `0` |", "| `delay` | `0` |"), "keys.md is not what"),
        ("dependencies", lambda text: text.replace("<!-- /dep", "<!-- dep"), "dependencies.md has 0 places"),
    ],
)
def test_a_page_that_is_not_current_is_told_and_written_again(
    page: str, break_it: Callable[[str], str], reason: str, current_reference: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(current_reference, tmp_path / "reference")
    whole = read(folder / f"{page}.md")
    broken = break_it(whole)
    assert broken != whole
    (folder / f"{page}.md").write_text(broken)
    checked = generate("--check", str(folder))
    assert (checked.returncode, read(folder / f"{page}.md")) == (1, broken)
    assert reason in checked.stderr
    written = generate(str(folder))
    assert (written.returncode == 0) == (read(folder / f"{page}.md") == whole) == ("places" not in reason)


def test_a_dependency_without_a_reason_is_told(current_reference: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    pages = shutil.copytree(current_reference, project / "docs" / "reference")
    text = read(ROOT / "pyproject.toml")
    unexplained = text.replace("\ntest = [\n", '\nmore = ["leftpad>=1"]\ntest = [\n')
    assert unexplained != text
    for pyproject, told in (
        (text, ""),
        (unexplained, "generate.py: pyproject.toml: leftpad>=1 has no reason: write a comment above it"),
    ):
        (project / "pyproject.toml").write_text(pyproject)
        done = subprocess.run(
            [sys.executable, str(pages / "generate.py"), "--check"], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr.strip()) == (int(bool(told)), told)


def test_the_protocols_say_how_what_fulfils_them_is_made() -> None:
    sections = re.split(r"^## ", read(REFERENCE / "protocols.md"), flags=re.MULTILINE)[1:]
    without = {section.split("\n")[0] for section in sections if "\n\nMade " not in section}
    # An object that a declaration names is there, however it was made; the last ones are what members take and give.
    assert without == {"FeatureFunction", "Source", "Trained", "Importance", "Names of types"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert commands(read(page), "make") <= targets


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_of_the_command_line_exist(page: Path) -> None:
    from ml_platform.cli.app import cli

    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    assert commands(read(page), "ml-platform") <= set(group.commands)
    ledger = group.commands["ledger"]
    assert isinstance(ledger, TyperGroup)
    assert commands(read(page), "ml-platform ledger") <= set(ledger.commands)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_of_the_command_line_exist(page: Path) -> None:
    from ml_platform.cli.app import cli

    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    for name, second, rest in re.findall(r"ml-platform ([a-z-]+)(?: ([a-z]+))?([^`#\n]*)", read(page)):
        command = group.commands.get(name)
        if isinstance(command, TyperGroup):
            command = command.commands[second]
        for option in re.findall(r"(?<= )--[a-z-]+", rest):
            assert command, f"ml-platform {name} {option}"
            known = [text for parameter in command.params for text in parameter.opts]
            assert option in known, f"ml-platform {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", without_blocks(read(page))):
        if not target.startswith(("http://", "https://")):
            led_to = page.parent / target if target else page
            assert led_to.exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(led_to), f"{page.name}: {target}#{heading}"


def test_images_are_small_and_shown() -> None:
    images = list((ROOT / "docs" / "images").iterdir())
    shown = "".join(read(page) for page in PAGES)
    assert images
    for image in images:
        assert image.stat().st_size < LARGEST_IMAGE, image
        assert f"images/{image.name}" in shown, f"no page shows {image.name}"


def test_settings_that_are_named_exist() -> None:
    from ml_platform.foundation.settings import Settings

    known = {f"ML_PLATFORM_{name.upper()}" for name in Settings.model_fields}
    for page in PAGES:
        named = set(re.findall(r"\bML_PLATFORM_[A-Z_0-9]+\b(?!…)", read(page)))
        assert {name for name in named if not name.endswith("_")} <= known, page.name


def test_ci_runs_the_test_command_of_the_readme() -> None:
    first = re.search(r"```\n(.*?)```", read(README), re.DOTALL)
    assert first
    shown = [line.split("#")[0].strip() for line in first[1].strip().splitlines()]
    assert shown == ["make run", "make test"]
    assert re.search(r"^step test make test$", read(ROOT / ".ci" / "run"), re.MULTILINE)


def shell(project: Path, line: str, timeout: int = 300) -> "subprocess.CompletedProcess[str]":
    """Type a line in a project."""
    return start(project, shlex.split(line, comments=True), timeout)


def start(project: Path, command: list[str], timeout: int) -> "subprocess.CompletedProcess[str]":
    """Start a process in a project."""
    environment = os.environ | {
        "DAGSTER_HOME": str(project),
        "ML_PLATFORM_LOCAL": str(project / ".local"),
        "ML_PLATFORM_PORTS": ports(4700, 20),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
    }
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=timeout)


@pytest.mark.slow
def test_a_model_of_ones_own_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = OWN_MODEL.search(read(README))
    assert block
    project = copy_of_the_project(tmp_path / "project")
    # Of two months no threshold is proposed, which takes a minute; of more: components/test_library.py.
    monkeypatch.setenv("ML_PLATFORM_NOW", "2013-03-15T00:00:00+00:00")
    for line in block[1].strip().splitlines():
        done = shell(project, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    shown = shell(project, "dg list defs")
    assert "long_delay/deployment" in shown.stdout, shown.stderr
    assert "long_delay_train" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_the_pages_show_to_type_ends_well_where_the_example_ran(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    lines = dict.fromkeys(line for page in TYPED for line in blocks(page) if line.startswith("ml-platform "))
    run, *others = [line for line in lines if not line.startswith(TESTED_ELSEWHERE)]
    assert run.startswith("ml-platform run")
    assert len(others) > 12
    # What replay takes out again has to be a commit.
    for line in ("git init -q", "git add -A", "git -c user.name=a -c user.email=a@example.org commit -qm all"):
        assert shell(project, line).returncode == 0
    try:
        done = shell(project, run, timeout=900)
        assert done.returncode == 0, f"{run}\n{done.stdout}\n{done.stderr}"
        commands = [shlex.split(line, comments=True)[1:] for line in others]
        done = start(project, several(*commands), timeout=900)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert (project / "gates.json").exists()
    finally:
        assert shell(project, "ml-platform stop").returncode == 0
