"""What a partition costs after few and after many: the steps of the loop on daily partitions, one run after the other.

    python benchmarks/scale.py [--days 300] [--rows 1000] [--every] [--json FILE] [--profile STAGE]

The project is made by ``ml-platform new`` of a table of forty days by a seeded generator, in a folder of its own; its
source is then the generator itself. Each day goes through batch, its gates, dataset, features and their gates in a
workspace of its own, as in a run of its own; then split, its gates, ``status`` and what a round of the sensor
``new_data`` decides where nothing is new. The days between the 40th and the last 30 go through in runs of 60, as the
sensor asks for them, unless ``--every`` is given. Prints Markdown: processor seconds (of all threads) of each stage,
median of partitions 11 to 40 and of the last 30, their ratio (the goal is 1.3), what is read, and sizes of references.
"""

import argparse
import cProfile
import importlib
import json
import os
import pstats
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
from empty import empty_project

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: Days in the table that the declarations are made of, and the first of all.
SEEN, FIRST = 40, "2015-01-01"
#: Partitions from and to which the first median is taken, and how many the last is taken of.
EARLY, LATE = (11, 40), 30
#: Partitions in one run that the sensor asks for.
TOGETHER = 60
SOURCE = '''"""Orders of made-up shops by a seeded generator: the same rows of a day whenever it is asked for."""

import os
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

FIRST, DAYS, ROWS = date.fromisoformat(os.environ["SCALE_FIRST"]), "SCALE_DAYS", int(os.environ["SCALE_ROWS"])


def rows_of(day: date, rows: int = ROWS) -> pl.DataFrame:
    """The rows of a day."""
    number = (day - FIRST).days
    rng = np.random.default_rng([15, number])
    store, item = rng.integers(0, 40, rows), rng.integers(0, 300, rows)
    price, minutes = np.round(rng.gamma(3, 10, rows), 2), np.sort(rng.integers(0, 1440, rows))
    back = 1 / (1 + np.exp(-(store % 7 - 3) / 2 - (item % 5 - 2) / 3 + price / 60))
    start = datetime.combine(day, datetime.min.time())
    return pl.DataFrame(
        {
            "order": np.arange(rows) + number * rows,
            "at": [start + timedelta(minutes=int(minute)) for minute in minutes],
            "store": [f"shop {one}" for one in store],
            "item": item,
            "price": price,
            "returned": rng.random(rows) < back,
        }
    )


class Orders:
    """As many days as the environment says now."""

    def partitions(self) -> dict[str, str]:
        """Each day, with a fingerprint that never changes."""
        return {(FIRST + timedelta(days=number)).isoformat(): "1" for number in range(int(os.environ[DAYS]))}

    def read(self, partition: str) -> pl.DataFrame:
        """The rows of a day, with the day."""
        return rows_of(date.fromisoformat(partition)).with_columns(day=pl.col("at").dt.date())


orders = Orders()
'''
STAGES = (
    "batch", "batch gates", "dataset", "features", "features gates", "split", "split gates", "status", "idle round",
)  # fmt: skip


def make(folder: Path, rows: int) -> None:
    """A project on a table of forty days, whose source then has as many as it is told."""
    package = empty_project(folder)
    (package / "source.py").write_text(SOURCE)
    sys.path.insert(0, str(folder / "src"))
    os.environ |= {"SCALE_FIRST": FIRST, "SCALE_DAYS": str(SEEN), "SCALE_ROWS": str(rows)}
    source = importlib.import_module("mine.source")
    table = pl.concat([source.orders.read(name).drop("day") for name in source.orders.partitions()])
    table.write_csv(folder / "orders.csv")
    made = [str(BIN / "ml-platform"), "new", "orders.csv", "--target", "returned", "--every", "day"]
    subprocess.run(made, cwd=folder, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    for name, pattern, instead in (
        ("orders/defs.yaml", r"source: \{.*\}\n", "source: mine.source:orders\n"),
        ("orders/schema.py", r"order: int = Field\(.*\)", "order: int = Field(ge=0)"),
    ):
        path = package / "defs" / name
        text, found = re.subn(pattern, instead, path.read_text())
        assert found == 1, f"{name} has no {pattern}"
        path.write_text(text)


class Loop:
    """The steps of the loop on the project in the working folder, and what each of them took."""

    def __init__(self, profiled: str) -> None:
        from ml_platform.declarations.context import ModelContext
        from ml_platform.declarations.loading import project_catalogue
        from ml_platform.foundation.provenance import Run

        self.catalogue, self.run = project_catalogue(), Run.new()
        self.context = ModelContext.of(self.catalogue, next(iter(self.catalogue.models)))
        self.dataset, self.features = self.context.dataset, self.context.feature_set
        #: Stage to the seconds of a partition, by the number of partitions there were with it.
        self.seconds: dict[str, dict[int, float]] = {stage: {} for stage in STAGES}
        self.together: dict[str, dict[int, float]] = {stage: {} for stage in STAGES}
        self.bytes: dict[str, dict[int, float]] = {}
        self.profiled, self.profiles = profiled, dict[bool, cProfile.Profile]()

    def _timed(self, stage: str, number: int, count: int, call: Callable[[], Any]) -> Any:
        late = number > EARLY[1]
        profile = self.profiles.setdefault(late, cProfile.Profile()) if stage == self.profiled else None
        began = time.process_time()
        result = profile.runcall(call) if profile else call()
        into = self.seconds if count == 1 else self.together
        into[stage][number] = (time.process_time() - began) / count
        return result

    def partitions(self, names: list[str], number: int) -> None:
        """Take these partitions of one run from the source to features; ``number`` is that of the last."""
        from ml_platform.pipeline import data
        from ml_platform.pipeline.workspace import Workspace
        from ml_platform.references.refs import written

        workspace, count, run = Workspace(), len(names), self.run
        dataset, features = self.dataset, self.features

        def timed(stage: str, call: Callable[[], Any]) -> Any:
            return self._timed(stage, number, count, call)

        batches = timed("batch", lambda: {name: data.ingest(workspace, dataset, name, run) for name in names})
        timed("batch gates", lambda: [data.audit(workspace, dataset, ref, run) for ref in batches.values()])
        published = timed(
            "dataset", lambda: {name: data.publish(workspace, dataset, ref, run) for name, ref in batches.items()}
        )

        def featurized() -> Any:
            built = data.featurize(workspace, features, dataset, published, run)
            for name, ref in built.items():
                workspace.references.save(features.key, name, ref)
            return built

        built = timed("features", featurized)
        timed(
            "features gates",
            lambda: [data.inspect_features(workspace, features, dataset, ref, run) for ref in built.values()],
        )
        self._size("features", number, len(written(built[names[-1]])))

    def after(self, number: int) -> None:
        """What follows the features of the newest partition, but for training."""
        from rich.console import Console

        from ml_platform.cli.status import show_status
        from ml_platform.pipeline import retraining, training
        from ml_platform.pipeline.backlog import pending_partitions
        from ml_platform.pipeline.workspace import Workspace
        from ml_platform.references.refs import written

        workspace, context = Workspace(), self.context

        def split() -> Any:
            made = training.split(workspace, context, workspace.references.all(self.features.key), self.run)
            workspace.references.save(f"{context.model.name}/split", "", made)
            return made

        made = self._timed("split", number, 1, split)
        self._timed("split gates", number, 1, lambda: training.inspect_split(workspace, context, made, self.run))
        self._size("split", number, len(written(made)))
        with Path(os.devnull).open("w") as nowhere:
            self._timed("status", number, 1, lambda: show_status(None, console=Console(file=nowhere)))

        def idle() -> None:
            there = Workspace()
            offered = there.source(self.dataset).partitions()
            assert not pending_partitions(there, self.dataset, [self.features], offered, offered)
            retraining.propose(there, context, attempts=lambda _: 0, obeyed=lambda _: 0)

        self._timed("idle round", number, 1, idle)

    def _size(self, reference: str, number: int, size: int) -> None:
        self.bytes.setdefault(f"reference of {reference}, bytes", {})[number] = size


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Take all days through the loop in the working folder."""
    from datetime import date, timedelta

    loop, first = Loop(options.profile), date.fromisoformat(FIRST)
    names = [(first + timedelta(days=number)).isoformat() for number in range(options.days)]
    done, began = 0, time.perf_counter()
    while done < len(names):
        alone = options.every or done < EARLY[1] or done >= len(names) - LATE
        count = 1 if alone else min(TOGETHER, len(names) - LATE - done)
        chosen, done = names[done : done + count], done + count
        os.environ["SCALE_DAYS"] = str(done)
        loop.partitions(chosen, done)
        if count == 1 and (EARLY[0] <= done <= EARLY[1] or done > len(names) - LATE):
            loop.after(done)
        if done % 20 == 0 or count > 1:
            print(f"{done} partitions after {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    for late, profile in loop.profiles.items():
        text = StringIO()
        pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(60)
        print("late" if late else "early", text.getvalue(), file=sys.stderr)
    return {
        "days": options.days,
        "seconds": loop.seconds,
        "together": loop.together,
        "bytes": loop.bytes,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def report(found: dict[str, Any]) -> str:
    """Markdown of the medians."""
    days = found["days"]

    def medians(values: dict[int, float]) -> tuple[float, float] | None:
        early = [value for number, value in values.items() if EARLY[0] <= number <= EARLY[1]]
        late = [value for number, value in values.items() if number > days - LATE]
        return (statistics.median(early), statistics.median(late)) if early and late else None

    lines = [
        f"| of {days} partitions | {EARLY[0]} to {EARLY[1]} | last {LATE} | ratio | in runs of {TOGETHER}, last |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage in STAGES:
        if pair := medians(found["seconds"][stage]):
            blocks = found["together"][stage]
            last = f"{blocks[max(blocks)]:.3f}" if blocks else ""
            lines.append(f"| {stage}, s | {pair[0]:.3f} | {pair[1]:.3f} | {pair[1] / pair[0]:.2f} | {last} |")
    for name, values in found["bytes"].items():
        if pair := medians(values):
            lines.append(f"| {name} | {pair[0]:,.0f} | {pair[1]:,.0f} | {pair[1] / pair[0]:.2f} | |")
    return "\n".join([*lines, "", f"Peak memory {found['peak']:,.0f} MiB."])


def main() -> None:
    """Make the project, take the days through the loop, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--rows", type=int, default=1000, help="rows of a day")
    parser.add_argument("--every", action="store_true", help="a run of its own for every partition")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--profile", default="", choices=["", *STAGES], help="stage that is profiled, early and late")
    options = parser.parse_args()
    assert options.days >= EARLY[1] + LATE, f"at least {EARLY[1] + LATE} days"
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.pop("ML_PLATFORM_LOCAL", None)
    with tempfile.TemporaryDirectory(prefix="ml-platform-scale-") as name:
        os.chdir(name)
        make(Path(name), options.rows)
        found = measured(options)
        os.chdir(ROOT)
    if options.json:
        options.json.write_text(json.dumps(found))
    print(report(found))


if __name__ == "__main__":
    main()
