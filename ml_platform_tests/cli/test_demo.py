"""``ml-platform demo`` begins with processes of its own and ends with none, whatever ends it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

BIN = Path(sys.executable).parent


def running(folder: Path) -> list[str]:
    """Processes that work for the installation in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join((*process.cmdline(), *process.environ().values())):
                found.append(process.name())
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.slow
def test_an_interrupted_demonstration_leaves_nothing_running_and_touches_nothing_else(tmp_path: Path) -> None:
    folder, local = tmp_path / "year", tmp_path / "mine"
    environment = os.environ | {"ML_PLATFORM_LOCAL": str(local), "ML_PLATFORM_NOW": "2013-03-01"}
    command = [str(BIN / "ml-platform"), "demo", "--months", "1", "--folder", str(folder)]
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert demo.stdout is not None
        assert "Dagster UI: http://127.0.0.1:" in demo.stdout.readline()
        assert "the months before have arrived" in demo.stdout.readline()
        assert len(running(folder)) > 3
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert again.returncode == 1 and "another demonstration is under way there" in again.stderr
    finally:
        demo.send_signal(signal.SIGTERM)
    assert demo.wait(90) == 128 + signal.SIGTERM
    assert running(folder) == []
    assert not local.exists()
