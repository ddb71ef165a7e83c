"""The package as a library: another project with its own root module, dataset, features and model."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ml_platform_tests.components.shop import BIN, DATASET, MODEL, MONTHS, Shop


def said(validated: "subprocess.CompletedProcess[str]") -> str:
    """What ``validate`` says beside its warnings, which are of texts that the scaffold asks people to write."""
    *warnings, last = validated.stdout.splitlines()
    assert warnings and all(line.startswith("warning: ") and "is the scaffold's" in line for line in warnings)
    return last


@pytest.mark.slow
def test_scaffolded_project_is_in_order(shop_template: Shop) -> None:
    checked = shop_template.dg("check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = json.loads(shop_template.dg("list", "defs", "--json").stdout)
    assert {item["asset_key"] for item in listed["assets"]} == {
        *(f"{DATASET}/{name}" for name in ("batch", "dataset", "features", "history", "published")),
        *(f"{MODEL}/{name}" for name in ("split", "model", "evaluation", "registered_model", "service", "deployment")),
        *(
            f"{MODEL}/{name}"
            for name in ("drift", "scores", "predictions", "live_performance", "live_drift", "estimated_performance")
        ),
    }
    validated = shop_template.ml("validate")
    assert (validated.returncode, said(validated)) == (0, "3 declarations and 21 gates are in order")


@pytest.mark.slow
def test_its_dataset_and_features_materialize(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    rows = {"2024-01-01": 300, "2024-02-01": 310}
    for month, count in rows.items():
        shop.deliver(month, count)
    done = shop.dg("launch", "--job", "orders_ingest", "--partition-range", "2024-01-01...2024-02-01")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    for asset in ("batch", "dataset", "features"):
        found = {
            path.parent.name: json.loads(path.read_text())["rows"]
            for path in (shop.root / ".local" / "refs" / DATASET / asset).glob("*/latest.json")
        }
        assert found == rows, asset


def test_commands_find_the_project_from_a_folder_below(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    environment = shop.environment | {"PYTHONPATH": ""}
    del environment["DAGSTER_HOME"]

    def validate(folder: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(BIN / "ml-platform"), "validate"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert "in order" in validate(shop.defs).stdout
    outside = validate(tmp_path)
    assert outside.returncode == 1
    assert outside.stderr.startswith("ml-platform: ")
    assert "no pyproject.toml with [tool.dg.project]" in outside.stderr
    assert len(outside.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_scaffolded_model_has_thresholds_of_the_data_that_is_there(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    for month in ("2023-12-01", *MONTHS):
        shop.deliver(month)
    shop.edit(DATASET, 'start: "2024-01-01"', 'start: "2023-12-01"')
    done = shop.dg("scaffold", "defs", "ml_platform.Model", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (shop.defs / "again" / "defs.yaml").read_text()
    assert "# Proposed from what 3 windows showed, to 2024-02-01 up to 2024-04-01;" in text
    gates = {gate["gate"]: gate for gate in yaml.safe_load(text)["attributes"]["gates"]}
    template = yaml.safe_load((shop.defs / MODEL / "defs.yaml").read_text())["attributes"]["gates"]
    assert [(gate["gate"], gate.get("metric")) for gate in gates.values()] == [
        (gate["gate"], gate.get("metric")) for gate in template
    ]
    (line,) = (line for line in text.splitlines() if "performance" in line)
    low, high = map(float, re.findall(r"# ([0-9.]+) to ([0-9.]+) seen", line)[0])
    assert 0.5 < gates["performance"]["min"] < low < high
    validated = shop.ml("validate")
    assert (validated.returncode, said(validated)) == (0, "4 declarations and 31 gates are in order")
    assert not (shop.root / ".local").exists()


def test_a_scaffolded_model_keeps_the_template_where_the_data_says_nothing(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    done = shop.dg("scaffold", "defs", "ml_platform.Model", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Thresholds of again are those of the template: 0 partitions at the source of orders" in done.stdout
    written, template = ((shop.defs / name / "defs.yaml").read_text() for name in ("again", MODEL))
    assert written == template.replace(MODEL, "again")


# In this process: orchestration/test_scaffold.
@pytest.mark.slow
def test_the_platform_brings_the_instance_where_there_is_none(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    (platform,) = (file for file in shop.defs.glob("*/defs.yaml") if "ml_platform.Platform" in file.read_text())
    platform.unlink()
    platform.parent.rmdir()
    (shop.root / "dagster.yaml").unlink()
    (shop.root / ".gitignore").unlink(missing_ok=True)
    done = shop.dg("scaffold", "defs", "ml_platform.Platform", "platform")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Wrote dagster.yaml." in done.stdout, done.stdout
    assert (
        yaml.safe_load((shop.root / "dagster.yaml").read_text())["run_retries"]["retry_on_asset_or_op_failure"] is False
    )
    assert "/.local/" in (shop.root / ".gitignore").read_text().splitlines()


# In this process, and for more of them: orchestration/test_scaffold.
@pytest.mark.slow
def test_scaffolds_refuse_what_would_not_load(shop_template: Shop, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    for arguments, reason in (
        (("Model", "my-model"), "'my-model' is no name for assets"),
        (("Model", "other", "--features", "orders/nope"), "there is no feature set 'orders/nope'"),
        (("Model", "other", "--target", "nope"), "orders/features has no label 'nope'; it has outcome"),
    ):
        done = shop.dg("scaffold", "defs", f"ml_platform.{arguments[0]}", *arguments[1:])
        assert done.returncode != 0
        assert reason in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert not (shop.defs / arguments[1]).exists()
