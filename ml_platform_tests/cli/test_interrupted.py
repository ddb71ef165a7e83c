"""Ctrl-C ends ``ml-platform run``, and the next one takes up what it has left."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ports
from ml_platform_tests.shop_project import FOLDER, MONTHS, Tills, folder_of


@pytest.mark.slow
def test_an_interrupt_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "shop")
    Tills(tmp_path / "source").deliver(*MONTHS[:4])
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(root),
        "ML_PLATFORM_PORTS": ports(3400, 20),
        FOLDER: str(tmp_path / "source"),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("ML_PLATFORM_LOCAL", None)
    command = ["ml-platform", "run", "--model", "returned"]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        said = []
        for line in started.stdout:
            said.append(line)
            if "purchases/dataset" in line:
                started.send_signal(signal.SIGINT)
        assert started.wait(60) == 130, "".join(said)
    assert any(line.startswith("stopped; ml-platform run takes up") for line in said), "".join(said)
    assert not any("registered_model" in line for line in said)
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and "returned/registered_model" in done.stdout, done.stdout + done.stderr
    finally:
        subprocess.run(["ml-platform", "stop"], cwd=root, env=environment, check=True, capture_output=True)
