"""Conventions of a command line, without a project; and what the package does to the environment of who imports it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from io import StringIO
from typing import Any

import pytest
import typer
from rich.console import Console

from ml_platform.cli import app, screen
from ml_platform.cli.app import cli


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["--version"], f"ml-platform {version('ml-platform')}"),
        (["-h"], "Usage: [OPTIONS] COMMAND"),
        (["ledger", "-h"], "Usage: ledger"),
        (["ledger", "log", "-h"], "Usage: ledger log"),
        (["status", "--help"], "Usage: status"),
    ],
)
def test_version_and_help_need_no_project(
    arguments: list[str], begins: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_PLATFORM_NO_SUCH_SETTING", "1")
    monkeypatch.setattr(sys, "argv", ["ml-platform", *arguments])
    with pytest.raises(SystemExit) as end:
        app()
    assert end.value.code == 0
    # The program has another name where pytest runs it.
    told = capsys.readouterr().out.strip().replace("python -m pytest.", "").replace("Usage: ml-platform ", "Usage: ")
    assert told.startswith(begins)


def test_on_a_narrow_terminal_a_name_is_folded_and_not_cut() -> None:
    table = screen.table("service")
    table.add_row("http://127.0.0.1:31000")
    narrow = Console(width=14, file=StringIO())
    narrow.print(table)
    said = narrow.file.getvalue()  # type: ignore[attr-defined]
    kept = "".join(character for character in said if character.isascii() and not character.isspace())
    assert kept == "servicehttp://127.0.0.1:31000"


def test_nobody_is_told_wherever_the_package_is_imported() -> None:
    names = ("BENTOML_DO_NOT_TRACK", "DAGSTER_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    code = f"import os, ml_platform.foundation.errors; print(*(os.environ.get(name) for name in {names}))"
    clean = {name: value for name, value in os.environ.items() if name not in names}

    def told(**chosen: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean | chosen, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert told() == ["true", "yes", "1", "true"]
    assert told(DO_NOT_TRACK="0")[2] == "0", "what the environment says stays"


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ml-platform"])
    for name, value in {
        "_ML_PLATFORM_COMPLETE": "complete_bash", "COMP_WORDS": "ml-platform ledger v", "COMP_CWORD": "2"
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        app()
    assert end.value.code == 0 and capsys.readouterr().out.split() == ["verify"]


def test_every_command_that_answers_can_say_it_as_json() -> None:
    def commands(group: Any, place: str = "") -> Iterator[tuple[str, Any]]:
        for name, one in getattr(group, "commands", {}).items():
            yield f"{place}{name}", one
            yield from commands(one, f"{place}{name} ")

    every = dict(commands(typer.main.get_command(cli)))
    silent = {
        name for name, one in every.items()
        if not hasattr(one, "commands") and "--json" not in {option for given in one.params for option in given.opts}
    }  # fmt: skip
    # These do something, or are JSON already.
    acting = {"withdraw", "serve", "serve-hooks", "stop", "ui", "ledger continue", "ledger rotate", "ledger sign"}
    assert silent == acting | {"predict"}
