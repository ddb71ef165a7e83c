"""Conventions of a command line, without a project; and what the package does to the environment of who imports it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.testing
from rich.console import Console
from rich.tree import Tree

from ml_platform.cli import app, output, screen
from ml_platform.cli.app import cli
from ml_platform.cli.output import BadUsage


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


def commands(group: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name, those of groups too."""
    for name, one in getattr(group, "commands", {}).items():
        yield f"{place}{name}", one
        yield from commands(one, f"{place}{name} ")


def test_what_a_command_is_about_has_the_same_names_everywhere() -> None:
    """One model or dataset is an argument of its name; what limits a command is ``--dataset`` and ``--model``, each as
    often as one likes."""
    limited: set[str] = set()
    for name, one in commands(typer.main.get_command(cli)):
        if hasattr(one, "commands"):
            continue
        given = {option: part for part in one.params for option in part.opts}
        assert not {"--models", "--datasets"} & {*given}, name
        for word in ("model", "dataset"):
            if (argument := given.get(word)) is not None:
                assert argument.required and argument.nargs == 1, f"{name}: what is optional is an option"
        options = {option: given[option] for option in ("--dataset", "--model") if option in given}
        if options and name != "prove":  # about one model, or about its rollout
            assert len(options) == 2 and all(one.multiple and not one.required for one in options.values()), name
            limited.add(name)
    assert limited == {"run", "check", "status", "refresh"}


def test_every_command_that_answers_can_say_it_as_json() -> None:
    every = dict(commands(typer.main.get_command(cli)))
    silent = {
        name for name, one in every.items()
        if not hasattr(one, "commands") and "--json" not in {option for given in one.params for option in given.opts}
    }  # fmt: skip
    # These do something, or are JSON already.
    acting = {"withdraw", "serve", "serve-hooks", "stop", "ui", "ledger continue", "ledger rotate", "ledger sign"}
    assert silent == acting | {"predict"}


@pytest.mark.parametrize("option", ["--by", "--reason"])
def test_every_command_refuses_words_that_are_no_text(option: str) -> None:
    asked: set[str] = set()
    for name, one in commands(typer.main.get_command(cli)):
        if not any(option in part.opts for part in getattr(one, "params", ())):
            continue
        asked.add(name)
        given = [option, "x\x1b[4A\x1b[J"]
        for part in one.params:
            if part.required and option not in part.opts:
                given += ["1"] if part.param_type_name == "argument" else [part.opts[0], "1"]
        ended = typer.testing.CliRunner().invoke(cli, [*name.split(), *given])
        assert isinstance(ended.exception, BadUsage), (name, ended.output)
        assert str(ended.exception).startswith(f"{option}: it holds a control character"), name
    assert {"approve", "override", "ledger sign", "rollout start", "data rollback", "withdraw", "pause"} <= asked


def test_what_is_printed_goes_through_one_place() -> None:
    """``say`` and ``screen`` write out what would draw on a terminal or forge a line; no command prints by itself."""
    found = set()
    for file in Path(output.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            # Handed on it prints as well.
            if isinstance(node, ast.Name) and node.id == "print":
                found.add((file.name, node.id))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found |= {(file.name, node.func.id)} & {
                    (file.name, name) for name in ("print", "Console", "Table") if file.name != "screen.py"
                }
    assert found == {("output.py", "print")}


def test_no_stored_word_draws_or_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "x\n72 entries, unbroken\x1b[4A\x1b[J"
    output.say(f"paused by {forged}")
    table = screen.table("why")
    table.add_row(forged)
    console = screen.console()
    console.print(table)
    tree = Tree(forged)
    tree.add(forged)
    console.print(tree)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and shown.count("\\x1b[4A") == 4
    assert shown.splitlines()[0] == "paused by x 72 entries, unbroken\\x1b[4A\\x1b[J"
