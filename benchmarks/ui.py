"""Seconds from the click on Materialize to the first step, in a real browser: this project and an empty one.

    python benchmarks/ui.py [--repeat 5]

Both have the same ``dagster.yaml`` and one partition of ``flights/batch`` to materialize; the empty project has
nothing else and imports Dagster only. Prints Markdown.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from ml_platform import ui
from ml_platform.settings import Settings
from ml_platform_tests.ui.browser import CHROMIUM_ARGUMENTS, click_to_first_step
from ml_platform_tests.ui.conftest import free_port

ROOT = Path(__file__).resolve().parent.parent
KEY, PARTITION = "flights/batch", "2013-01-01"
EMPTY = '''
import dagster as dg


@dg.asset(key=["flights", "batch"], partitions_def=dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2014-01-01"))
def batch() -> None:
    """Does nothing."""


defs = dg.Definitions(assets=[batch], executor=dg.in_process_executor)
'''
WORKSPACE = "load_from:\n  - python_file: {relative_path: empty.py, location_name: ml_platform}\n"


def empty_project(folder: Path) -> Path:
    """A project with one asset that does nothing."""
    folder.mkdir()
    (folder / "empty.py").write_text(EMPTY)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    shutil.copy(ROOT / "dagster.yaml", folder)
    return folder


@contextmanager
def served(home: Path, local: Path) -> Iterator[str]:
    """The UI of a project on an empty history; yields its address."""
    settings = Settings(local=local)
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(home)
    # Sensors must not start runs of their own meanwhile.
    os.environ["ML_PLATFORM_PAUSED"] = "flights,flight_delay,arrival_delay_minutes"
    try:
        yield ui.start(settings.model_copy(update={"reports_url": f"http://127.0.0.1:{free_port()}"}), free_port())
    finally:
        ui.stop(settings)
        os.environ.pop("DAGSTER_HOME")
        if before is not None:
            os.environ["DAGSTER_HOME"] = before


def measure(page: Page, homes: dict[str, Path], folder: Path, repeat: int) -> dict[str, list[float]]:
    """Seconds of each click by project; the projects take turns."""
    found: dict[str, list[float]] = {name: [] for name in homes}
    for turn in range(repeat):
        for name, home in homes.items():
            with served(home, folder / f"{name}-{turn}") as url:
                click_to_first_step(page, url, KEY, PARTITION)  # the first click warms the pages
                found[name].append(click_to_first_step(page, url, KEY, PARTITION))
    return found


def main() -> None:
    """Measure both projects and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=browser_path, args=CHROMIUM_ARGUMENTS
        )
        homes = {"this project": ROOT, "empty project": empty_project(folder / "empty")}
        found = measure(browser.new_page(), homes, folder, repeat)
        browser.close()
    print("| project | median, s | all, s |\n|---|---:|---|")
    for name, seconds in found.items():
        print(f"| {name} | {statistics.median(seconds):.2f} | {', '.join(f'{value:.2f}' for value in seconds)} |")
    ours, empty = (statistics.median(seconds) for seconds in found.values())
    print(f"\nRatio: {ours / empty:.2f}")


if __name__ == "__main__":
    main()
