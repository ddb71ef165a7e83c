"""``ml-platform demo``: half a year of the example lived before one's eyes, in a folder of its own."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import Json, written
from ml_platform.foundation.settings import get_settings

if TYPE_CHECKING:
    from rich.console import Console

    from ml_platform.demonstrating.outcome import Outcome
    from ml_platform.demonstrating.year import Story


def demo(
    months: Annotated[int, typer.Option("--months", min=1, max=6, help="Months from July on; six end the year.")] = 6,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder of its own, emptied first; default: demo below .local.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65000, help="First of 40 ports that it takes; 0: any that are free.")
    ] = 0,
    json: Json = None,
) -> None:
    """Live through months of the example, the clock in a file; 1 where something that is promised did not hold.

    Months arrive, outcomes day by day; users ask about every flight; sensors retrain and candidates roll out. A batch
    arrives broken, another with changed outcomes, and a bad build goes out. It ends with tables and a chart. Nothing of
    this installation is touched; what was done stays in the folder.
    """
    from ml_platform.demonstrating.year import story

    raise typer.Exit(lived(folder or get_settings().local / "demo", port, story(months), json))


def lived(folder: Path, port: int, story: "Story", json: Path | None) -> int:
    """Run a story in a folder; 1 where a promise was not kept."""
    from ml_platform.cli import screen
    from ml_platform.cli.lived import installation
    from ml_platform.demonstrating.chart import chart
    from ml_platform.demonstrating.outcome import outcome
    from ml_platform.foundation.files import write_atomic

    console, started, months = screen.console(), time.monotonic(), []

    def told(line: str) -> None:
        console.print(f"{time.monotonic() - started:5.0f} s  {line}", highlight=False, markup=False, soft_wrap=True)

    with installation(folder.resolve(), port, story.months[0], told) as year:
        for month in year.live(story):
            months.append(month)
            told(f"AUC of {month.begin:%B}: live {month.live:.4f}, ideal {month.ideal:.4f}, frozen {month.frozen:.4f}")
        found = outcome(year, story, months)
    write_atomic(folder / "year.svg", chart(months))
    _show(console, found)
    seconds = round(time.monotonic() - started)
    console.print(f"{seconds} s; chart: {folder / 'year.svg'}", highlight=False, soft_wrap=True)
    written(json, {**found.plain(), "seconds": seconds})
    return 0 if found.kept else 1


def _show(console: "Console", found: "Outcome") -> None:
    from ml_platform.cli import screen

    table = screen.table(
        "month", "AUC live", "ideal", "ideal, daily", "frozen", "rows", "refused", "stale", "answered by version"
    )
    for month in found.months:
        numbers = (f"{value:.4f}" for value in (month.live, month.ideal, month.fresh, month.frozen))
        counts = (f"{count:,}" for count in (month.rows, month.refused, month.stale))
        table.add_row(f"{month.begin:%B}", *numbers, *counts, ", ".join(map(str, month.versions)))
    console.print(table)
    for title, rows in (("training", found.trainings), ("people were told", found.alerts)):
        table = screen.table("day", title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    table = screen.table("promised", "seen", "kept")
    for promise in found.promises:
        table.add_row(promise.name, promise.seen, "yes" if promise.kept else "NO")
    console.print(table)
