"""Reads and operates Dagster's UI as a person would; GraphQL is used only to know when a run has ended."""

import os
import re
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Milliseconds for a page to show what it is asked for.
PATIENCE = 30_000
CODE_LOCATION = "ml_platform"


def screenshot(page: Page, name: str) -> None:
    """Save the page as ``$UI_SCREENSHOTS/<name>.png``, where that folder is named."""
    folder = os.environ.get("UI_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def open_lineage(page: Page, url: str, groups: list[str]) -> None:
    """The global lineage page; waits until each of ``groups`` is drawn in the graph or the side bar."""
    page.goto(f"{url}/asset-groups")
    expect(page.get_by_text("Global asset lineage")).to_be_visible(timeout=PATIENCE)
    for group in groups:
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=PATIENCE)


def open_group(page: Page, url: str, group: str, assets: list[str]) -> None:
    """The lineage of one group; waits until the node of each of ``assets`` is drawn."""
    page.goto(f"{url}/locations/{CODE_LOCATION}/asset-groups/{group}/lineage")
    for asset in assets:
        expect(page.locator("svg foreignObject").get_by_text(asset, exact=True).first).to_be_visible(timeout=PATIENCE)


def open_asset(page: Page, url: str, key: str, view: str = "overview", partition: str | None = None) -> None:
    """A view of one asset's page; ``partition`` is then preselected when it is materialized."""
    suffix = f"&partition={partition}" if partition else ""
    page.goto(f"{url}/assets/{key}?view={view}{suffix}")
    expect(_materialize(page)).to_be_visible(timeout=PATIENCE)


def read_checks(page: Page, url: str, key: str) -> dict[str, str]:
    """Name of each check on the asset's Checks tab and the state shown beside it (``Succeeded``, ...)."""
    # The page draws only the rows that fit, and there are more than fit in a window.
    window = page.viewport_size
    page.set_viewport_size({"width": 1600, "height": 4000})
    open_asset(page, url, key, "checks")
    heading = page.get_by_text(re.compile(r"^Checks \(\d+\)$"))
    expect(heading).to_be_visible(timeout=PATIENCE)
    count = int(re.findall(r"\d+", heading.inner_text())[0])
    names = _check_names(url, key)
    for name in names:
        # The page keeps a long name whole but invisible, to measure it, and shows it with its middle left out.
        expect(page.get_by_text(name, exact=True).first).to_be_attached(timeout=PATIENCE)
    lines = page.locator("body").inner_text().split("\n")
    shown = {name: _state_beside(name, lines) for name in names}
    if window is not None:
        page.set_viewport_size(window)
    assert len(shown) == count, f"the tab counts {count} checks, the definitions name {sorted(shown)}"
    return shown


def materialize(page: Page, url: str, key: str, partition: str | None = None) -> tuple[str, float]:
    """Launch one asset from its page; returns the run's id and the wall time of the launching click."""
    before = _run_ids(url)
    # The page remembers the partition that was launched last, and may prefer it to the one in its address. Cleared as
    # the next page begins: the one that is left may write once more.
    page.add_init_script("localStorage.clear(); sessionStorage.clear();")
    open_asset(page, url, key, "partitions" if partition else "overview", partition)
    clicked = time.time()
    _materialize(page).click()
    if partition:
        dialog = page.get_by_role("dialog")
        chosen = dialog.get_by_placeholder("ex: ")
        if chosen.input_value(timeout=PATIENCE) != partition:
            chosen.fill(partition)
            chosen.press("Enter")
        expect(chosen).to_have_value(partition, timeout=PATIENCE)
        launch = dialog.get_by_role("button", name="Launch 1 run")
        expect(launch).to_be_enabled(timeout=PATIENCE)
        clicked = time.time()
        launch.click()
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        new = [run for run in _run_ids(url) if run not in before]
        if new:
            launched = graphql(url, _RUN, runId=new[0])["runOrError"]["tags"]
            shown = {tag["key"]: tag["value"] for tag in launched}.get("dagster/partition")
            assert partition in (None, shown), f"asked for partition {partition}, the run is of {shown}"
            return new[0], clicked
        time.sleep(0.1)
    raise AssertionError(f"no run of {key} appeared within {PATIENCE / 1000:.0f} s of the click")


def wait_for_run(url: str, run_id: str, seconds: float = 240) -> str:
    """Wait until the run has ended; returns its status (``SUCCESS``, ``FAILURE`` or ``CANCELED``)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = graphql(url, _RUN, runId=run_id)["runOrError"]["status"]
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return status
        time.sleep(0.3)
    raise AssertionError(f"run {run_id} did not end within {seconds:.0f} s")


def click_to_first_step(page: Page, url: str, key: str, partition: str | None = None) -> float:
    """Seconds from the click that launches ``key`` to its first step; waits for the end of the run."""
    run_id, clicked = materialize(page, url, key, partition)
    wait_for_run(url, run_id)
    steps = graphql(url, _RUN, runId=run_id)["runOrError"]["stepStats"]
    return min(step["startTime"] for step in steps if step["startTime"]) - clicked


def graphql(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """Run a query; raises AssertionError on a GraphQL error."""
    answer = httpx.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=30)
    body = answer.raise_for_status().json()
    assert not body.get("errors"), body["errors"]
    return body["data"]


def _materialize(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"\bMaterialize\b")).first


def _state_beside(name: str, lines: list[str]) -> str:
    """A row shows the check's name and then, once it was executed, its state."""
    at = next((place for place, line in enumerate(lines) if _names(line, name)), None)
    assert at is not None, f"check {name} is in the definitions and not on the page"
    return next((line for line in lines[at:] if not _names(line, name)), "")


def _names(line: str, name: str) -> bool:
    start, cut, end = line.partition("…")
    return line == name or bool(cut and start and name.startswith(start) and name.endswith(end))


def _run_ids(url: str) -> list[str]:
    runs = graphql(url, "query { runsOrError(limit: 100) { ... on Runs { results { runId } } } }")
    return [run["runId"] for run in runs["runsOrError"]["results"]]


def _check_names(url: str, key: str) -> list[str]:
    node = graphql(url, _CHECKS, key={"path": key.split("/")})["assetNodeOrError"]
    return [check["name"] for check in node["assetChecksOrError"]["checks"]]


_RUN = """query ($runId: ID!) { runOrError(runId: $runId) {
    ... on Run { status tags { key value } stepStats { stepKey startTime } } } }"""
_CHECKS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
    ... on AssetNode { assetChecksOrError { ... on AssetChecks { checks { name } } } } } }"""
