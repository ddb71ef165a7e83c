"""The button *Reload definitions*: what was declared meanwhile appears, without another start."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ml_platform.foundation.settings import Settings
from ml_platform.orchestration import webserver as ui
from ml_platform_tests.conftest import copy_of_the_project
from ml_platform_tests.ui.browser import PATIENCE, open_group, screenshot
from ml_platform_tests.ui.conftest import PAUSED, free_port

pytestmark = [pytest.mark.slow, pytest.mark.ui]


def test_a_new_model_appears(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = copy_of_the_project(tmp_path / "project")
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("ML_PLATFORM_PAUSED", PAUSED)
    settings = Settings(local=tmp_path / ".local", reports_url=f"http://127.0.0.1:{free_port()}")  # pyright: ignore[reportCallIssue]
    url = ui.start(settings, free_port())
    try:
        open_group(page, url, "flight_delay", ["split", "deployment"])
        declared = (home / "ml_platform" / "defs" / "flight_delay" / "defs.yaml").read_text()
        other = home / "ml_platform" / "defs" / "long_delay" / "defs.yaml"
        other.parent.mkdir()
        other.write_text(declared.replace("name: flight_delay", "name: long_delay"))
        page.get_by_role("button", name="Reload definitions").click()
        expect(page.get_by_text("Definitions reloaded").first).to_be_visible(timeout=PATIENCE)
        screenshot(page, "reloaded")
        open_group(page, url, "long_delay", ["split", "deployment"])
    finally:
        ui.stop(settings)
