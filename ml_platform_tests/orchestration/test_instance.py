"""``dagster.yaml`` of the project puts everything below ``local``, from whatever folder a command starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance, job, op
from dagster._core.instance.ref import InstanceRef

from ml_platform.foundation.settings import Settings
from ml_platform_tests.conftest import ROOT


@op
def speak() -> None:
    print("written to the compute log", file=sys.stderr)


@job
def speaking() -> None:
    speak()


def test_a_run_writes_below_local_only(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = set(ROOT.iterdir())
    with DagsterInstance.from_config(str(ROOT)) as instance:
        assert speaking.execute_in_process(instance=instance).success
        assert not instance.telemetry_enabled

    assert not list(elsewhere.iterdir())
    assert set(ROOT.iterdir()) - before <= {ROOT / "__pycache__"}
    dagster = settings.local / "dagster"
    assert {path.name for path in dagster.iterdir()} >= {"history", "schedules", "storage"}
    assert "written to the compute log" in "".join(
        path.read_text() for path in dagster.glob("storage/*/compute_logs/*.err")
    )


ASKED = """
import os, sys
from dagster._cli.utils import get_instance_for_cli
from ml_platform.foundation.project import read_env_file
if sys.argv[1] == "dagster":
    with get_instance_for_cli():
        print(os.environ["ML_PLATFORM_APPROVAL"], os.environ["OF_THE_FILE"])
else:
    read_env_file()
    print(os.environ["ML_PLATFORM_APPROVAL"], os.environ["OF_THE_FILE"])
"""


@pytest.mark.parametrize("read", ["dagster", "a command"])
@pytest.mark.parametrize("given", ["person", ""])
def test_the_environment_outranks_the_env_file_for_dagster_and_for_commands(
    read: str, given: str, tmp_path: Path
) -> None:
    """A line in a file of the project must not decide that nobody has to approve; beyond that it is read by both."""
    (tmp_path / ".env").write_text("ML_PLATFORM_APPROVAL=automatic\nOF_THE_FILE=yes\n")  # pragma: allowlist secret
    (tmp_path / "pyproject.toml").write_text("[tool.dg.project]\nroot_module = 'shop'\n")
    (tmp_path / "shop" / "defs").mkdir(parents=True)
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    own = {"DAGSTER_HOME": str(tmp_path), "ML_PLATFORM_LOCAL": str(tmp_path / ".local"), "PYTHONPATH": str(ROOT)}
    own |= {"ML_PLATFORM_APPROVAL": given} if given else {}
    without = {name: value for name, value in os.environ.items() if name != "ML_PLATFORM_APPROVAL"}
    done = subprocess.run(
        [sys.executable, "-c", ASKED, read], cwd=tmp_path, env={**without, **own}, capture_output=True, text=True
    )
    assert done.stdout.split() == [given or "automatic", "yes"], done.stderr


def test_without_the_setting_local_stands_beside_dagster_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_PLATFORM_LOCAL")
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert Path(instance.root_directory) == tmp_path / ".local" / "dagster"


def test_step_failures_are_not_retried_but_lost_runs_are() -> None:
    retries = InstanceRef.from_dir(str(ROOT)).settings["run_retries"]
    assert retries == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


def test_postgres_url_is_handed_on_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # pragma: allowlist nextline secret
    monkeypatch.setenv("ML_PLATFORM_DAGSTER_POSTGRES_URL", "postgresql://user:hush@127.0.0.1:1/dagster")
    reference = InstanceRef.from_dir(str(ROOT))
    assert reference.storage_data is not None
    assert (reference.storage_data.module_name, reference.storage_data.class_name) == (
        "ml_platform.orchestration.postgres",
        "Storage",
    )
    assert reference.storage_data.config_dict == {"postgres_url": {"env": "ML_PLATFORM_DAGSTER_POSTGRES_URL"}}
    assert "hush" not in str(reference)
