"""Seconds from the click on Materialize to the first step, in a real browser: this project and two empty ones.

    python benchmarks/ui.py [--repeat 3] [--clicks 5] [--against REVISION or PATH]

All have the same ``dagster.yaml`` and one partition of ``flights/batch`` to materialize. One empty project is the
folder that ``create-dagster project`` makes with one asset in it, the other a single file; ``--against`` adds
another checkout. Each turn starts the UI of each project, in turn. Prints Markdown.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from against import ROOT, Checkout, against, here
from playwright.sync_api import Page, sync_playwright

from ml_platform_tests.ui.browser import CHROMIUM_ARGUMENTS, click_to_first_step
from ml_platform_tests.ui.conftest import free_port

KEY, PARTITION = "flights/batch", "2013-01-01"
ASSET = '''
import dagster as dg


@dg.asset(key=["flights", "batch"], partitions_def=dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2014-01-01"))
def batch() -> None:
    """Does nothing."""
'''
ALONE = ASSET + "\n\ndefs = dg.Definitions(assets=[batch], executor=dg.in_process_executor)\n"
EXECUTOR = "import dagster as dg\n\ndefs = dg.Definitions(executor=dg.in_process_executor)\n"
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
PYPROJECT = '[tool.dg]\ndirectory_type = "project"\nproject = {root_module = "empty"}\n'


def single_file(folder: Path) -> Path:
    """A project of one file with one asset that does nothing."""
    write(
        folder, "workspace.yaml", "load_from:\n  - python_file: {relative_path: empty.py, location_name: ml_platform}\n"
    )
    return write(folder, "empty.py", ALONE)


def scaffolded(folder: Path) -> Path:
    """The project that ``create-dagster project`` makes, with one asset that does nothing."""
    location = "{module_name: empty.definitions, working_directory: ., location_name: ml_platform}"
    write(folder, "workspace.yaml", f"load_from:\n  - python_module: {location}\n")
    write(folder, "pyproject.toml", PYPROJECT)
    for name in ("__init__.py", "defs/__init__.py"):
        write(folder, f"empty/{name}", "")
    write(folder, "empty/definitions.py", DEFINITIONS)
    write(folder, "empty/defs/executor.py", EXECUTOR)
    return write(folder, "empty/defs/batch.py", ASSET)


def write(folder: Path, name: str, text: str) -> Path:
    """Write one file of a project that has our ``dagster.yaml``; returns the project's folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    shutil.copy(ROOT / "dagster.yaml", folder)
    return folder


@contextmanager
def served(project: Checkout, home: Path, local: Path) -> Iterator[str]:
    """The UI of a project on an empty history, by the command of a checkout; yields its address."""
    port = free_port()
    environment = project.environment(
        DAGSTER_HOME=str(home),
        ML_PLATFORM_LOCAL=str(local),
        ML_PLATFORM_REPORTS_URL=f"http://127.0.0.1:{free_port()}",
        # Sensors must not start runs of their own meanwhile.
        ML_PLATFORM_PAUSED="flights,flight_delay,arrival_delay_minutes",
    )

    def ui(*arguments: str) -> None:
        # Modules that it starts (`python -m`) are looked for in the current folder first: they have to be its own.
        command = [project.python.with_name("ml-platform"), "ui", *arguments]
        subprocess.run(command, cwd=project.root, env=environment, stdout=sys.stderr, check=True)

    try:
        ui("--port", str(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        ui("--stop")


def measure(
    page: Page, homes: dict[str, tuple[Checkout, Path]], folder: Path, repeat: int, clicks: int
) -> dict[str, list[float]]:
    """Seconds of each click by project; the projects take turns."""
    phase = random.Random(7)
    found: dict[str, list[float]] = {name: [] for name in homes}
    for turn in range(repeat):
        for place, (name, (project, home)) in enumerate(homes.items()):
            with served(project, home, folder / f"{place}-{turn}") as url:
                click_to_first_step(page, url, KEY, PARTITION)  # the first click warms the pages
                for _ in range(clicks):
                    time.sleep(phase.random())  # the queue looks once a second: clicks fall anywhere between two looks
                    found[name].append(click_to_first_step(page, url, KEY, PARTITION))
                    print(f"{name}: {found[name][-1]:.2f} s", file=sys.stderr)
    return found


def main() -> None:
    """Measure both projects and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--against", help="revision or folder of another checkout")
    arguments = parser.parse_args()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=browser_path, args=CHROMIUM_ARGUMENTS
        )
        homes = {
            "this project": (here(), ROOT),
            "empty, scaffolded": (here(), scaffolded(folder / "scaffolded")),
            "empty, one file": (here(), single_file(folder / "file")),
        }
        if arguments.against:
            other = against(arguments.against)
            homes[other.name] = (other, other.root)
        found = measure(browser.new_page(), homes, folder, arguments.repeat, arguments.clicks)
        browser.close()
    print("| project | median, s | lowest | highest | ratio |\n|---|---:|---:|---:|---:|")
    ours = statistics.median(found["this project"])
    for name, seconds in found.items():
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} | {min(seconds):.2f} | {max(seconds):.2f} | {ours / median:.2f} |")


if __name__ == "__main__":
    main()
