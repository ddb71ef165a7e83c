"""Browse lineage, read gates, materialize: what a person does in the UI, done by a browser."""

import re

import dagster as dg
import pytest
from playwright.sync_api import Page, expect

from ml_platform.documents.server import folder, report_url
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform_tests.ui.browser import (
    PATIENCE,
    materialize,
    open_asset,
    open_group,
    open_lineage,
    read_checks,
    screenshot,
    wait_for_run,
)
from ml_platform_tests.ui.flights_slice import BROKEN, CLEAN, FAILING

BATCH = "flights/batch"
MODEL_ASSETS = ["split", "model", "evaluation", "registered_model", "service", "deployment", "scores", "drift"]
GROUPS = {
    "flights": ["batch", "dataset", "features"],
    "flight_delay": MODEL_ASSETS,
    "arrival_delay_minutes": MODEL_ASSETS,
}
GATES = {
    BATCH: {"schema", "rules", "missing", "duplicates", "window", "volume"},
    "flights/features": {"ranges", "leakage", "parity"},
    "flight_delay/evaluation": {"performance_auc", "baseline_brier", "champion_auc", "leak_alarm_auc"},
    "flight_delay/service": {"servability", "skew", "bad_input"},
}

pytestmark = [pytest.mark.slow, pytest.mark.ui]


def test_lineage_shows_the_groups(page: Page, ui_url: str) -> None:
    open_lineage(page, ui_url, list(GROUPS))
    screenshot(page, "lineage")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_shows_its_assets(page: Page, ui_url: str, group: str) -> None:
    open_group(page, ui_url, group, GROUPS[group])
    screenshot(page, f"group-{group}")


@pytest.mark.parametrize("key", GATES)
def test_checks_tab_names_the_gates(page: Page, ui_url: str, key: str) -> None:
    assert read_checks(page, ui_url, key).keys() >= GATES[key]
    screenshot(page, f"gates-{key.replace('/', '-')}")


def test_materialize_a_partition_and_see_its_gates_pass(page: Page, ui_url: str) -> None:
    run_id, _ = materialize(page, ui_url, BATCH, CLEAN)
    assert wait_for_run(ui_url, run_id) == "SUCCESS"
    page.goto(f"{ui_url}/runs/{run_id}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE)
    screenshot(page, "run")

    states = read_checks(page, ui_url, BATCH)
    screenshot(page, "gates-passed")
    assert {name: state.split("\n")[-1] for name, state in states.items()} == dict.fromkeys(states, "Succeeded")


def test_asset_page_shows_rows_columns_and_commit(page: Page, ui_url: str) -> None:
    run_id, _ = materialize(page, ui_url, BATCH, CLEAN)
    assert wait_for_run(ui_url, run_id) == "SUCCESS"
    open_asset(page, ui_url, BATCH)
    for text in ("Row count", "27,004", "tailnum", "Registration of the aeroplane"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE)
    screenshot(page, "asset")
    open_asset(page, ui_url, BATCH, "partitions", CLEAN)
    expect(page.get_by_text(re.compile(r"^[0-9a-f]{40}$")).first).to_be_visible(timeout=PATIENCE)
    screenshot(page, "partition")


def test_a_report_opens_from_the_asset_page(
    page: Page, ui_url: str, ui_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_atomic(folder(ui_settings) / "flight_delay-0123.html", "<h1>Evaluation of flight_delay</h1>")
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(ui_settings.local))
    with dg.DagsterInstance.get() as instance:
        link = dg.MetadataValue.url(report_url(ui_settings, file))
        event = dg.AssetMaterialization(["flight_delay", "evaluation"], metadata={"report": link})
        instance.report_runless_asset_event(event)
    open_asset(page, ui_url, "flight_delay/evaluation")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=re.compile("flight_delay-0123.html")).first.click(timeout=PATIENCE)
    expect(opened.value.get_by_role("heading", name="Evaluation of flight_delay")).to_be_visible(timeout=PATIENCE)
    screenshot(opened.value, "report")


def test_a_refused_partition_shows_the_gate_and_is_not_published(page: Page, ui_url: str) -> None:
    materialized, _ = materialize(page, ui_url, BATCH, CLEAN)
    assert wait_for_run(ui_url, materialized) == "SUCCESS"
    run_id, _ = materialize(page, ui_url, BATCH, BROKEN)
    assert wait_for_run(ui_url, run_id) == "FAILURE"
    states = read_checks(page, ui_url, BATCH)
    screenshot(page, "gates-failed")
    # Other gates may see it too.
    assert {name for name, state in states.items() if state.split("\n")[-1] == "Failed"} >= FAILING

    alone, _ = materialize(page, ui_url, "flights/dataset", BROKEN)
    assert wait_for_run(ui_url, alone) == "FAILURE"
    page.goto(f"{ui_url}/runs/{alone}")
    expect(page.get_by_text(re.compile("duplicates.*failed")).first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Error occurred while executing op")).to_have_count(0)
    screenshot(page, "refused")
