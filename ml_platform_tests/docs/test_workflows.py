"""The workflows of CI: pinned actions, least permissions, commands that exist."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ml_platform.cli.app import cli
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import PREFIX
from ml_platform_tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: The only jobs that may write, and what.
WRITING = {"comment": {"pull-requests"}, "publish": {"id-token"}}
#: Secrets are for the step that needs them only, and never for code of strangers.
UNSAFE = ("pull_request_target", "workflow_run")


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Every step of every job."""
    return [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "gates", "lakefs", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_say_their_version(workflow: Path) -> None:
    used = re.findall(r"uses: *(.*)", workflow.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_permissions_are_the_least(workflow: Path) -> None:
    declared = yaml.safe_load(workflow.read_text())
    assert declared["permissions"] in ({}, {"contents": "read"})
    for name, job in declared["jobs"].items():
        given = job.get("permissions", declared["permissions"])
        writing = {scope for scope, right in given.items() if right == "write"}
        assert writing == WRITING.get(name, set()), name
        # What may write runs no code of the repository.
        assert not writing or not any("checkout" in step.get("uses", "") for step in job["steps"])
        assert job["timeout-minutes"] <= 60
    text = workflow.read_text()
    assert not any(trigger in text for trigger in UNSAFE)
    # PyYAML reads the key `on` as true.
    assert "secrets." not in str([declared.get("env"), *(job.get("env") for job in declared["jobs"].values())])
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), "text of a pull request never becomes a part of a command"
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_is_made_has_a_target(workflow: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = [
        word
        for step in steps(workflow)
        for line in re.findall(r"^make (.*)$", step.get("run", ""), re.MULTILINE)
        for word in line.split()
    ]
    assert set(made) <= targets
    assert made


def test_the_fast_tests_run_on_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {found[1] for line in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", line))}
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["fast"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named == {"3.11", "3.12", "3.13"}
    assert {one["os"] for one in matrix["include"]} == {"ubuntu-24.04-arm", "macos-15"}
    assert {one["python"] for one in matrix["include"]} <= named


def test_only_what_was_built_from_the_tag_of_the_version_is_published() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    build, publish = jobs["build"]["steps"], jobs["publish"]
    assert publish["needs"] == "build"
    assert publish["environment"] == "pypi"
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    [line] = [step["run"] for step in build if "GITHUB_REF_NAME" in step.get("run", "")]
    line = line.replace(".venv/bin/python", shlex.quote(sys.executable))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for tag, code in ((f"v{version}", 0), (f"v{version}1", 1), (version, 1)):
        done = subprocess.run(
            ["bash", "-e", "-c", line], cwd=ROOT, env=os.environ | {"GITHUB_REF_NAME": tag}, timeout=60
        )
        assert done.returncode == code, tag


def gates_step(name: str) -> dict[str, Any]:
    """A step of the workflow of pull requests, by its name."""
    (found,) = [step for step in steps(ROOT / ".github/workflows/gates.yml") if step.get("name") == name]
    return found


def test_gates_name_the_settings_that_are_missing_before_anything_else() -> None:
    step = gates_step("Settings")
    assert steps(ROOT / ".github/workflows/gates.yml")[0] == step
    needed = sorted(step["env"])
    for name, text in step["env"].items():
        assert text in (f"${{{{ vars.{name} }}}}", f"${{{{ secrets.{name} }}}}")

    def ended(given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        # As Actions does: what is not set is empty.
        environment = {"PATH": os.environ["PATH"], **dict.fromkeys(needed, ""), **given}
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]], env=environment, capture_output=True, text=True, timeout=60
        )

    every = dict.fromkeys(needed, "x")
    assert (ended(every).returncode, ended(every).stdout) == (0, "")
    for name in needed:
        done = ended({**every, name: ""})
        assert done.returncode == 1
        (line,) = done.stdout.splitlines()
        assert line.startswith("::error::")
        assert line.endswith(f": {name}")
    (line,) = ended({}).stdout.splitlines()
    assert all(name in line for name in needed)


def test_gates_judge_with_settings_that_there_are_and_with_the_ledger_that_overrides_are_in() -> None:
    given = {name for name in gates_step("Judge")["env"] if name.startswith(PREFIX)}
    assert given <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(gates_step("Settings")["env"]) <= given
    assert f"{PREFIX}LEDGER_URL" in given


def test_the_commands_of_gates_exist() -> None:
    commands = get_command(cli).commands  # pyright: ignore[reportAttributeAccessIssue]
    found = [
        step["run"] for step in steps(ROOT / ".github/workflows/gates.yml") if "ml-platform" in step.get("run", "")
    ]
    assert len(found) == 2
    for line in found:
        program, name, *words = shlex.split(line)
        assert program == ".venv/bin/ml-platform"
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
