"""Seconds from a click on Materialize to the first step, in a real browser on an empty history.

``python benchmarks/ui.py flights/batch 2013-01 [repeats]`` prints one JSON line.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from ml_platform import ui
from ml_platform.settings import Settings
from ml_platform_tests.ui.browser import CHROMIUM_ARGUMENTS, click_to_first_step
from ml_platform_tests.ui.conftest import free_port


def main(key: str, partition: str | None = None, repeats: str = "3") -> None:
    """Start the UI with a temporary ``local`` folder, click ``repeats`` times, stop it."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        settings = Settings(local=Path(folder) / ".local")  # pyright: ignore[reportCallIssue]
        url = ui.start(settings, free_port())
        try:
            browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_ARGUMENTS)
            page = browser.new_page()
            seconds = [click_to_first_step(page, url, key, partition) for _ in range(int(repeats))]
            browser.close()
        finally:
            ui.stop(settings)
    print(
        json.dumps(
            {"benchmark": "click to first step", "key": key, "seconds": [round(s, 2) for s in seconds]}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
