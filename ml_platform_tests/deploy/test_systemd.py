"""The units are such as systemd takes, and call commands that exist."""

import getpass
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ROOT

PLACE = "/srv/ml-platform"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def verified(unit: Path, folder: Path, change: tuple[str, str] = ("", "")) -> "subprocess.CompletedProcess[str]":
    """What systemd says of a unit as it is where the platform is installed."""
    text = unit.read_text().replace(PLACE, str(folder)).replace("User=ml-platform", f"User={getpass.getuser()}")
    (folder / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    command = folder / ".venv" / "bin" / "ml-platform"
    if not command.exists():
        command.symlink_to(Path(sys.executable).with_name("ml-platform"))
    written = folder / unit.name
    written.write_text(text.replace(*change) if change[0] else text)
    return subprocess.run(["systemd-analyze", "verify", str(written)], capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    done = verified(unit, tmp_path)
    assert (done.returncode, unit.name in done.stderr) == (0, False), done.stderr
    # It does look: a mistake in the same unit is told.
    assert unit.name in verified(unit, tmp_path, ("ExecStart=", "ExecBegin=")).stderr


def test_both_are_here_and_stopping_the_supervisor_stops_no_service() -> None:
    assert [unit.name for unit in UNITS] == ["ml-platform-supervisor.service", "ml-platform-ui.service"]
    supervisor = UNITS[0].read_text().splitlines()
    assert {"KillMode=process", "Restart=always"} <= set(supervisor)
