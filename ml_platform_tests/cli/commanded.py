"""A command on a project of this process."""

import pytest
import typer.testing

from ml_platform.cli import check, run, trace
from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform_tests.project import Project


def told(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, BaseException | None]:
    """What a command prints, and what it raises."""
    # All that hold it by name, loaded before it is exchanged: else one of them would keep what is exchanged.
    for module in (loading, run, trace, check):
        monkeypatch.setattr(module, "project_catalogue", lambda: project.catalogue)
    monkeypatch.setenv("COLUMNS", "300")
    with project.active():
        result = typer.testing.CliRunner().invoke(cli, [*arguments])
    return result.output, result.exception
