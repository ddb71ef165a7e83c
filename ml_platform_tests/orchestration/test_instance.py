"""``dagster.yaml`` of the project puts everything below ``local``, from whatever folder a command starts."""

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
    assert reference.storage_data.class_name == "DagsterPostgresStorage"
    assert reference.storage_data.config_dict == {"postgres_url": {"env": "ML_PLATFORM_DAGSTER_POSTGRES_URL"}}
    assert "hush" not in str(reference)
