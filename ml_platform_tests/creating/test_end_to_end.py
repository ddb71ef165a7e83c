"""What the README says of a table of one's own, typed in a project of one's own: to a served prediction."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from ml_platform_tests.conftest import ROOT, ports
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import bundled, noise, trips, visits, write
from ml_platform_tests.several import several

BIN = Path(sys.executable).parent


def typed(mine: Mine, line: str) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, in the project's folder, without a terminal."""
    program, *arguments = shlex.split(line)
    return started(mine, [str(BIN / program), *arguments])


def started(mine: Mine, command: list[str]) -> "subprocess.CompletedProcess[str]":
    """The same of what is to be started."""
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {"ML_PLATFORM_PORTS": ports(3820, 20), "ML_PLATFORM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(
        command,
        cwd=mine.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_the_command_says_what_it_guessed_and_what_comes_next(mine: Mine) -> None:
    frame = trips(3_000).filter(pl.col("Picked up at").dt.month() <= 3)
    write(frame, mine.root / "trips.csv")
    done = typed(mine, "ml-platform new trips.csv --target tipped --every month --json made.json")
    assert done.returncode == 0, done.stderr
    assert "'tip' (AUC" in done.stdout and "'Rider e-mail' is no feature: personal" in done.stdout
    assert done.stdout.rstrip().endswith("next: ml-platform run")
    assert json.loads((mine.root / "made.json").read_text())["known_later"] == ["tip"]
    checked = typed(mine, "ml-platform validate")
    assert (checked.returncode, checked.stdout.startswith("3 declarations")) == (0, True), checked.stdout
    refused = typed(mine, "ml-platform new trips.csv --target tips")
    assert refused.returncode == 1
    assert re.fullmatch(r"ml-platform: there is no column 'tips'; the table has .*\n", refused.stderr)


@pytest.mark.slow
def test_on_a_terminal_it_asks_and_goes_by_the_answers(mine: Mine) -> None:
    frame = trips(3_000).filter(pl.col("Picked up at").dt.month() <= 3)
    write(frame, mine.root / "trips.csv")
    ours, theirs = pty.openpty()
    command = [str(BIN / "ml-platform"), "new", "trips.csv", "--target", "tipped", "--every", "month"]
    environment = {**os.environ, "DAGSTER_HOME": str(mine.root), "ML_PLATFORM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=mine.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how the end of a terminal reads
        while part := os.read(ours, 4096):
            shown += part
            if shown.endswith(b"[y] "):
                os.write(ours, b"n\n")
    os.close(ours)
    assert process.wait(timeout=120) == 0, shown.decode()
    assert b"alone nearly is 'tipped'. Known only later? (y/n) [y] " in shown
    assert '"tip": pl.col("tip")' in (mine.defs / "trips" / "features.py").read_text()


def test_noise_ends_with_1(mine: Mine) -> None:
    write(noise(), mine.root / "noise.csv")
    done = typed(mine, "ml-platform new noise.csv --target won")
    assert done.returncode == 1
    assert "no model, and nothing is written: what is known before it says nothing of 'won'" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_table_becomes_a_served_prediction_as_the_readme_says(mine: Mine) -> None:
    block = re.search(r"<!-- own-data -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    write(trips().rename({"tipped": "returned"}), mine.root / "sales.csv")
    try:
        for line in block[1].strip().splitlines():
            done = typed(mine, line)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        done = started(mine, several(["predict", "sales_returned"], ["check"]))
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "predictions" in done.stdout
    finally:
        typed(mine, "ml-platform stop")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tables_without_time_are_served(mine: Mine) -> None:
    tables = {
        "visits": (visits(), "plan"),
        "wine": (bundled("wine"), "target"),
        "diabetes": (bundled("diabetes"), "target"),
    }
    for name, (frame, target) in tables.items():
        write(frame, mine.root / f"{name}.csv")
        made = typed(mine, f"ml-platform new {name}.csv --target {target}")
        assert made.returncode == 0, made.stderr
    try:
        done = typed(mine, "ml-platform run --model wine_target")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "model wine_target" in done.stdout and "visits" not in done.stdout and "diabetes" not in done.stdout
        done = started(mine, several(["run"], *(["predict", f"{name}_{one[1]}"] for name, one in tables.items())))
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert all(f'"model": "{name}_{target}"' in done.stdout for name, (_, target) in tables.items())
    finally:
        typed(mine, "ml-platform stop")
