"""A running UI with an empty history on three months of flights, and a browser page on it."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ml_platform.foundation.settings import Settings
from ml_platform.orchestration import webserver as ui
from ml_platform_tests.ui.browser import CHROMIUM_ARGUMENTS
from ml_platform_tests.ui.flights_slice import write_package

#: Sensors would ingest and train by themselves, and hold back what a test launches.
PAUSED = "flights,flight_delay,arrival_delay_minutes"


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Where it is not installed: skipped by hand, an error in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "chromium is not on PATH; `apt-get install chromium` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def ui_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the UI under test."""
    return Settings(local=tmp_path_factory.mktemp("ui") / ".local", reports_url=f"http://127.0.0.1:{free_port()}")  # pyright: ignore[reportCallIssue]


@pytest.fixture(scope="session")
def ui_url(ui_settings: Settings, tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """URL of webserver, daemon and code server on the platform's own definitions, with nothing run yet."""
    settings = ui_settings
    package = write_package(tmp_path_factory.mktemp("slice"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(package))
        environment.setenv("ML_PLATFORM_PAUSED", PAUSED)
        url = ui.start(settings, free_port())
    try:
        yield url
    finally:
        log = settings.local / "ui" / "ui.log"
        ui.stop(settings)
        _keep(log)


@pytest.fixture(scope="session")
def _browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(_browser: Browser) -> Iterator[Page]:
    """A page in an empty profile."""
    context = _browser.new_context(viewport={"width": 1600, "height": 1000})
    yield context.new_page()
    context.close()


def _keep(log: Path) -> None:
    folder = os.environ.get("UI_SCREENSHOTS")
    if folder and log.exists():
        shutil.copy(log, Path(folder))
