"""How long `ml-platform new`, `run` and `predict` take from a stranger's table to a served prediction.

Tables by seeded generators (those of the tests), each in a project of its own, by the command line alone; no line is
edited. For each: seconds of the commands, of the processor in all of them, and the relative gain over the trivial
model on rows that were held out.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from empty import empty_project

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_platform_tests.creating import tables  # noqa: E402

BIN = Path(sys.executable).parent


class Case(NamedTuple):
    """A table and what is to be predicted."""

    make: Callable[[int], pl.DataFrame]
    target: str
    rows: int


def _late(rows: int) -> pl.DataFrame:
    return tables.hourly(rows).with_columns(sold=pl.when(pl.col("day") < date(2024, 3, 18)).then(pl.col("sold")))


def _gaps(rows: int) -> pl.DataFrame:
    """Half of the values of each column are missing."""
    kept = ("number", "day", "sold")
    frame = tables.hourly(rows)
    return frame.with_columns(
        pl.when((pl.col("number") * 7 + place * 3) % 4 > 1).then(pl.col(name)).alias(name)
        for place, name in enumerate(frame.columns)
        if name not in kept
    )


CASES = {
    "texts of many values, timestamps": Case(tables.trips, "tipped", 6_000),
    "a number by the week": Case(tables.hourly, "sold", 3_000),
    "half of the values missing": Case(_gaps, "sold", 3_000),
    "outcomes that come late": Case(_late, "sold", 3_000),
    "several rows per customer, no time, three classes": Case(lambda rows: tables.visits(rows // 4), "plan", 1_600),
    "noise": Case(tables.noise, "won", 2_000),
    "300 columns, no time": Case(lambda rows: tables.wide(rows, timed=False), "bought", 5_000),
    "300 columns by the month": Case(tables.wide, "bought", 5_000),
}


def main() -> None:
    """Run the cases and print a table in Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="Only cases whose name holds this.")
    parser.add_argument("--json", action="store_true", help="Print JSON in place of the table.")
    chosen = parser.parse_args()
    cases = {name: case for name, case in CASES.items() if chosen.only in name}
    if chosen.json:
        print(json.dumps([measured(name, case) for name, case in cases.items()], indent=1))
        return
    print(
        "| table | rows | columns | new, s | run, s | predict, s | processor, s | gain over the trivial model | ended |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, case in cases.items():
        one = measured(name, case)
        seconds = " | ".join(str(one[command]) for command in ("new", "run", "predict", "processor"))
        line = f"| {one['table']} | {one['rows']:,} | {one['columns']} | {seconds} | {one['gain']} | {one['ended']} |"
        print(line, flush=True)


def measured(name: str, case: Case) -> dict[str, Any]:
    """One case in a project of its own, which is removed."""
    folder = Path(tempfile.mkdtemp(prefix="ml-platform-new-"))
    try:
        empty_project(folder)
        frame = case.make(case.rows)
        tables.write(frame, folder / "table.csv")
        row: dict[str, Any] = {"table": name, "rows": frame.height, "columns": frame.width}
        row |= {"run": "-", "predict": "-", "gain": "-"}
        before = _processor()
        made, row["new"] = _typed(folder, "new", "table.csv", "--target", case.target, "--json", "new.json")
        row["processor"] = round(_processor() - before, 1)
        if made.returncode:
            row["ended"] = next((line for line in made.stdout.splitlines() if line.startswith("no model")), made.stderr)
            return row | {"ended": str(row["ended"]).split(" (")[0]}
        done, row["run"] = _typed(folder, "run", "--json", "run.json")
        try:
            model = json.loads((folder / "new.json").read_text())["model"]
            asked, row["predict"] = _typed(folder, "predict", model, "--limit", "1")
            row["processor"] = round(_processor() - before, 1)
            row["ended"] = "served" if not done.returncode and not asked.returncode else "not served"
            row["gain"] = _gain(folder, model)
        finally:
            _typed(folder, "stop")
        return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gain(folder: Path, model: str) -> str:
    """What the gate ``baseline`` of the model observed on the holdout."""
    checked = subprocess.run(
        [str(BIN / "ml-platform"), "check", "--model", model, "--json", "check.json"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    if checked.returncode:
        return "-"
    found = json.loads((folder / "check.json").read_text())
    return next((f"{one['observed']:.0%}" for one in found if one["gate"].startswith("baseline")), "-")


def _processor() -> float:
    """Seconds of the processor of all commands that have ended; services go on, and are not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}


def _typed(folder: Path, *arguments: str) -> "tuple[subprocess.CompletedProcess[str], float]":
    started = time.monotonic()
    done = subprocess.run(
        [str(BIN / "ml-platform"), *arguments],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done, round(time.monotonic() - started, 1)


if __name__ == "__main__":
    main()
