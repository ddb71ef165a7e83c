"""The project by the conventions of ``dg`` and Dagster, through their own commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_platform_tests.components.shop import BIN
from ml_platform_tests.conftest import ROOT, copy_of_the_project

COMPONENTS = ("Dataset", "FeatureSet", "Model", "Platform")


def run(*command: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def succeeded(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_project_is_listed_and_in_order() -> None:
    listed = json.loads(succeeded("dg", "list", "defs", "--json"))
    assets = {item["asset_key"] for item in listed["assets"]}
    assert {"flights/batch", "flights/dataset", "flights/features"} <= assets
    assert {f"{model}/deployment" for model in ("flight_delay", "arrival_delay_minutes")} <= assets
    sensors = {"new_data", "drift", "history", "automation", "alerts", "live"}
    assert {item["name"] for item in listed["sensors"]} == sensors
    assert {"flights_ingest", "flight_delay_train", "arrival_delay_minutes_train"} <= {
        item["name"] for item in listed["jobs"]
    }
    assert "All definitions loaded successfully" in succeeded("dg", "check", "defs")


def test_components_are_found_in_any_project_that_installs_the_package() -> None:
    listed = json.loads(succeeded("dg", "list", "components", "--json"))
    summaries = {item["key"]: item["summary"] for item in listed["items"]}
    assert all(summaries[f"ml_platform.{name}"] for name in COMPONENTS)


def test_workspace_file_serves_dagster_itself() -> None:
    done = run("dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location ml_platform" in done.stdout + done.stderr


def test_a_code_location_does_not_load_under_a_setting_that_nobody_reads() -> None:
    done = run("dagster", "definitions", "validate", "-w", "workspace.yaml", ML_PLATFORM_APROVAL="person")
    assert done.returncode == 1
    assert "ML_PLATFORM_APROVAL is no setting here; did you mean ML_PLATFORM_APPROVAL?" in done.stdout + done.stderr


def test_loading_the_definitions_loads_no_heavy_library() -> None:
    code = (
        "import sys, ml_platform.definitions as d; d.defs();"
        "heavy = {'mlflow', 'xgboost', 'evidently', 'shap', 'bentoml', 'pandera', 'sklearn'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_scaffolds_load_in_a_copy_of_the_project(tmp_path: Path) -> None:
    copy = copy_of_the_project(tmp_path / "copy")
    # Of two months no threshold is proposed, which would take a minute for each model.
    environment = {"PYTHONPATH": str(copy), "DAGSTER_HOME": str(copy), "ML_PLATFORM_NOW": "2013-03-15T00:00:00+00:00"}
    for arguments in (
        ("Model", "second_delay"),
        ("Model", "second_minutes", "--task", "regression", "--target", "arr_delay"),
        ("Model", "second_class", "--task", "multiclass"),
        ("FeatureSet", "lagged"),
        ("Dataset", "orders"),
        ("Model", "returns", "--features", "orders/features"),
    ):
        succeeded("dg", "scaffold", "defs", f"ml_platform.{arguments[0]}", *arguments[1:], cwd=copy, **environment)
    assert "target: late" in (copy / "ml_platform/defs/second_delay/defs.yaml").read_text()
    assert "All definitions loaded successfully" in succeeded("dg", "check", "defs", cwd=copy, **environment)
    assert "11 declarations" in succeeded("ml-platform", "validate", cwd=copy, **environment)
    refused = run("dg", "scaffold", "defs", "ml_platform.Platform", "another", cwd=copy, **environment)
    assert refused.returncode != 0
    assert "has a Platform already: ml_platform/defs/platform/defs.yaml" in refused.stdout + refused.stderr
    assert not (copy / "ml_platform/defs/another").exists()
