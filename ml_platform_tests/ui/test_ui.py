"""Browse lineage, read gates, materialize: what a person does in the UI, done by a browser."""

import pytest
from playwright.sync_api import Page, expect

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

DATASET = "flights"
DATASET_ASSETS = ["batch", "dataset", "features"]
MODEL = "flight_delay"
MODEL_ASSETS = ["split", "model", "evaluation"]
PARTITION = "2013-01"
BATCH_GATES = {"schema", "business_rules", "missing_values", "volume"}

pytestmark = [pytest.mark.slow, pytest.mark.ui]


def test_lineage_shows_the_groups(page: Page, ui_url: str) -> None:
    open_lineage(page, ui_url, [DATASET, MODEL])
    screenshot(page, "lineage")


@pytest.mark.parametrize(("group", "assets"), [(DATASET, DATASET_ASSETS), (MODEL, MODEL_ASSETS)])
def test_a_group_shows_its_assets(page: Page, ui_url: str, group: str, assets: list[str]) -> None:
    open_group(page, ui_url, group, assets)
    screenshot(page, f"group-{group}")


def test_checks_tab_names_the_gates(page: Page, ui_url: str) -> None:
    assert read_checks(page, ui_url, f"{DATASET}/batch").keys() >= BATCH_GATES
    screenshot(page, "gates-before")


def test_materialize_a_partition_and_see_its_gates_pass(page: Page, ui_url: str) -> None:
    key = f"{DATASET}/batch"
    run_id, _ = materialize(page, ui_url, key, PARTITION)
    screenshot(page, "launched")
    assert wait_for_run(ui_url, run_id) == "SUCCESS"

    page.goto(f"{ui_url}/runs/{run_id}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE)
    screenshot(page, "run")

    open_asset(page, ui_url, key)
    expect(page.get_by_text(PARTITION, exact=True).first).to_be_visible(timeout=PATIENCE)
    screenshot(page, "asset")

    states = read_checks(page, ui_url, key)
    screenshot(page, "gates-after")
    assert {name: state.split("\n")[-1] for name, state in states.items()} == dict.fromkeys(states, "Succeeded")
