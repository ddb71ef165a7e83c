"""What GitHub and pre-commit read of the project: forms, updates, hooks."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_platform_tests.conftest import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
#: What GitHub knows as parts of a form.
PARTS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
HOOKS = ("ruff check", "ruff format", "detect secrets")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert {path.stem for path in FORMS} == {"bug", "feature", "question"}
    assert load(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": False}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_shows(form: Path) -> None:
    declared = load(form)
    assert set(declared) == {"name", "description", "labels", "body"}
    asked = [part for part in declared["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in declared["body"]} <= PARTS
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_dependabot_asks_once_a_week_for_all_packages_and_for_all_actions() -> None:
    declared = load(GITHUB / "dependabot.yml")
    assert declared["version"] == 2
    assert [update["package-ecosystem"] for update in declared["updates"]] == ["pip", "github-actions"]
    for update in declared["updates"]:
        assert update["schedule"] == {"interval": "weekly"}
        assert [group["patterns"] for group in update["groups"].values()] == [["*"]]


def test_hooks_refuse_what_they_are_for_and_pass_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    project = tmp_path / "project"
    project.mkdir()
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, project / name)
    (project / ".venv").symlink_to(sys.prefix)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)

    def hooks(text: str) -> tuple[int, str]:
        (project / "module.py").write_text(text)
        subprocess.run(["git", "add", "module.py", "pyproject.toml"], cwd=project, check=True)
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never"],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    # Put together here, so that this file carries no such line itself.
    key = "AKIA" + "QYLPMN5HFIQR7XYA"
    code, printed = hooks(f"import os\n\nkey = '{key}'\n")
    assert code == 1
    assert printed.count("Failed") == len(HOOKS), printed
    code, printed = hooks("KEY = None\n")
    assert (code, printed.count("Passed")) == (0, len(HOOKS)), printed
    assert all(name in printed for name in HOOKS)
