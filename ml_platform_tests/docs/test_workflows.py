"""The workflows of CI: pinned actions, least permissions, commands that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ml_platform.cli.app import cli
from ml_platform_tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: Secrets are for the step that needs them only, and never for code of strangers.
UNSAFE = ("pull_request_target", "workflow_run")


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Every step of every job."""
    return [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "gates", "lakefs"}


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
        assert writing == ({"pull-requests"} if name == "comment" else set()), name
        # What may write runs no code of the pull request.
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
