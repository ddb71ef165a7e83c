"""What the gates cost: validation against hand-written polars, drift, the comparison with a champion, all gates.

``python benchmarks/validation.py [--rows 10000000] [--repeat 3] [--gates]`` prints Markdown. Every measurement runs in
a process of its own, the two ways of validating in turn, so that a busy machine is unfair to neither; the minimum of
the rounds counts, since other work can only make them longer. ``--gates`` also applies every gate of ``flight_delay``
to what the project at DAGSTER_HOME holds (see ML_PLATFORM_LOCAL), as ``ml-platform check`` does.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

MIB = 1 << 20
STATES = ("booked", "paid", "sent", "returned", "closed")
#: Rows of a year of the example, and the columns of its widest table.
DRIFT_ROWS, DRIFT_COLUMNS = 327_000, 51
#: Rows, days and replicates of a comparison: three months of the example.
HOLDOUT_ROWS, DAYS, REPLICATES = 82_000, 92, 1_000


def orders(rows: int) -> "pl.DataFrame":
    """A table of eight columns in which some rows break five of the sixteen rules."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(7)
    amount = random.gamma(2.0, 30.0, rows)
    amount[:40] = -1.0
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "day": np.datetime64("2024-01-01") + random.integers(0, 366, rows).astype("timedelta64[D]"),
            "customer": random.integers(1, 200_000, rows),
            "items": random.integers(1, 20, rows).astype(np.int32),
            "amount": amount,
            "discount": random.random(rows) * 0.3,
            "weight": random.random(rows) * 30,
            "state": pl.Series(random.integers(0, len(STATES), rows)).replace_strict(
                dict(enumerate(STATES)), return_dtype=pl.String
            ),
        }
    ).with_columns(
        discount=pl.when(pl.col("id") < 25).then(float("nan")).otherwise("discount"),
        state=pl.when(pl.col("id") < 10).then(pl.lit("lost")).otherwise("state"),
    )


def schema() -> Any:
    """Sixteen rules on :func:`orders`: eleven on columns, three for finite numbers, two across columns."""
    from datetime import date

    import pandera.polars as pa
    import polars as pl

    class Orders(pa.DataFrameModel):
        id: int = pa.Field(ge=0)
        day: pl.Date = pa.Field(ge=date(2024, 1, 1), lt=date(2025, 1, 1))
        customer: int = pa.Field(ge=1, le=1_000_000)
        items: pl.Int32 = pa.Field(gt=0, le=50)
        amount: float = pa.Field(ge=0)
        discount: float = pa.Field(in_range={"min_value": 0, "max_value": 0.5})
        weight: float = pa.Field(ge=0)
        state: str = pa.Field(isin=list(STATES))

        class Config:
            strict = True

        @pa.dataframe_check
        def less_than_the_limit_of_a_parcel(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col("weight") <= 31.5 + 0.0 * pl.col("items"))

        @pa.dataframe_check
        def a_discount_only_on_what_costs(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col("discount") == 0) | (pl.col("amount") > 0))

    return Orders


def by_hand() -> "dict[str, pl.Expr]":
    """The same sixteen rules as expressions: true where a row is in order."""
    from datetime import date

    import polars as pl

    column = pl.col
    return {
        "id ge": column("id") >= 0,
        "day ge": column("day") >= date(2024, 1, 1),
        "day lt": column("day") < date(2025, 1, 1),
        "customer ge": column("customer") >= 1,
        "customer le": column("customer") <= 1_000_000,
        "items gt": column("items") > 0,
        "items le": column("items") <= 50,
        "amount ge": column("amount") >= 0,
        "discount in range": column("discount").is_between(0, 0.5),
        "weight ge": column("weight") >= 0,
        "state isin": column("state").is_in(list(STATES)),
        "amount finite": column("amount").is_finite(),
        "discount finite": column("discount").is_finite(),
        "weight finite": column("weight").is_finite(),
        "parcel": column("weight") <= 31.5 + 0.0 * column("items"),
        "discount on what costs": (column("discount") == 0) | (column("amount") > 0),
    }


def measured(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a call and peak memory of this process, MiB."""
    began = time.perf_counter()
    call()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB}


def hand_written(file: str) -> dict[str, float]:
    """Count of broken rows by rule, and samples of them, by one query each."""
    import polars as pl

    frame = pl.read_parquet(file)

    def count() -> None:
        rules = by_hand()
        broken = frame.select((~rule).sum().alias(name) for name, rule in rules.items()).row(0, named=True)
        samples = {name: frame.filter(~rules[name]).head(20) for name, rows in broken.items() if rows}
        assert len(rules) == 16 and len(samples) == 5, broken

    return measured(count)


def validation(file: str) -> dict[str, float]:
    """The evidence of the gates ``schema`` and ``rules``."""
    import polars as pl

    from ml_platform.validation.schema import validate

    declared, frame = schema(), pl.read_parquet(file)
    # What pandera imports and compiles when it is first used is paid once by a process, not by a batch.
    validate(declared, frame.head(10))

    def judge() -> None:
        found = validate(declared, frame)
        assert {rule.count for rule in found.broken} >= {10, 25, 40}, found.broken

    return measured(judge)


def drift(_: str) -> dict[str, float]:
    """PSI of every column, half of them numbers with missing values."""
    import numpy as np
    import polars as pl

    from ml_platform.validation.drift import drifted_columns

    random = np.random.default_rng(7)

    def table(shift: float) -> pl.DataFrame:
        columns: dict[str, Any] = {}
        for number in range(DRIFT_COLUMNS):
            kind = number % 3
            if kind == 0:
                columns[f"c{number}"] = random.normal(shift, 1, DRIFT_ROWS)
            elif kind == 1:
                columns[f"c{number}"] = random.integers(0, 500, DRIFT_ROWS)
            else:
                columns[f"c{number}"] = pl.Series(random.integers(0, 60, DRIFT_ROWS)).cast(pl.String)
        return pl.DataFrame(columns)

    reference, current = table(0.0), table(0.2)
    return measured(lambda: drifted_columns(reference, current, reference.columns))


def comparison(metric: str) -> dict[str, float]:
    """Paired bootstrap over days of one metric."""
    import numpy as np

    from ml_platform.evaluation.champion import compare
    from ml_platform.models.task import task_of

    random = np.random.default_rng(7)
    days = random.integers(0, DAYS, HOLDOUT_ROWS)
    label = (random.random(HOLDOUT_ROWS) < 0.24).astype(float)
    ours = np.clip(random.beta(2, 6, HOLDOUT_ROWS) + 0.1 * label, 0, 1)
    theirs = np.clip(ours + random.normal(0, 0.02, HOLDOUT_ROWS), 0, 1)
    return measured(lambda: compare(task_of("binary"), label, ours, theirs, days, metric, REPLICATES))


def gates(name: str) -> dict[str, float]:
    """Seconds of each stage's gates, on what the project holds."""

    from ml_platform.cli.check import _batches, _features
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.provenance import Run
    from ml_platform.pipeline.inspections import INSPECTIONS
    from ml_platform.pipeline.workspace import Workspace

    workspace, run = Workspace(), Run.new()
    context = ModelContext.of(project_catalogue(), name)
    seconds: dict[str, float] = {}

    def timed(stage: str, call: Callable[[], Any]) -> None:
        began = time.perf_counter()
        verdicts = list(call())
        assert verdicts, stage
        seconds[stage] = time.perf_counter() - began

    timed("batch", lambda: _batches(workspace, context.dataset, run))
    timed("features", lambda: _features(workspace, context.feature_set, context.dataset, run))
    for stage, inspect in INSPECTIONS.items():
        if stage == "refit" and not context.model.split.refit:
            continue
        ref = workspace.references.load(f"{name}/{stage}")
        timed(stage, lambda: inspect(workspace, context, ref, run))  # noqa: B023 - called at once
    return seconds


WORKERS: dict[str, Callable[[str], dict[str, float]]] = {
    work.__name__: work for work in (hand_written, validation, drift, comparison, gates)
}


def apart(work: str, argument: str) -> dict[str, float]:
    """The result of a worker in a fresh process."""
    done = subprocess.run([sys.executable, __file__, "--worker", work, argument], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The minimum of each figure; of memory the maximum."""
    return {name: (max if name == "peak" else min)(one[name] for one in rounds) for name in rounds[0]}


def validations(rows: int, repeat: int) -> None:
    """Compare the two ways of validating."""
    with tempfile.TemporaryDirectory(prefix="benchmark-validation-") as folder:
        file = str(Path(folder) / "orders.parquet")
        orders(rows).write_parquet(file)
        rounds = [(apart("hand_written", file), apart("validation", file)) for _ in range(repeat)]
    hand, ours = best([one for one, _ in rounds]), best([one for _, one in rounds])
    print(f"| {rows:,} rows, 16 rules | seconds | million rows per second | peak memory of the process, MiB |")
    print("|---|---:|---:|---:|")
    for name, one in (("hand-written polars", hand), ("validation", ours)):
        print(f"| {name} | {one['seconds']:.2f} | {rows / one['seconds'] / 1e6:.0f} | {one['peak']:,.0f} |")
    ratios = sorted(after["seconds"] / before["seconds"] for before, after in rounds)
    print(f"\nRatio {ours['seconds'] / hand['seconds']:.2f} (rounds: {', '.join(f'{one:.2f}' for one in ratios)})\n")


def others(repeat: int) -> None:
    """Drift and comparisons."""
    print("| evidence | seconds |")
    print("|---|---:|")
    psi = best([apart("drift", "") for _ in range(repeat)])
    print(f"| PSI of {DRIFT_ROWS:,} rows by {DRIFT_COLUMNS} columns | {psi['seconds']:.2f} |")
    for metric in ("auc", "pr_auc", "brier"):
        found = best([apart("comparison", metric) for _ in range(repeat)])
        text = f"{metric} of two models, {REPLICATES:,} replicates over {DAYS} days, {HOLDOUT_ROWS:,} rows"
        print(f"| {text} | {found['seconds']:.2f} |", flush=True)


def every_gate(name: str, repeat: int) -> None:
    """All gates of a model of the project."""
    seconds = best([apart("gates", name) for _ in range(repeat)])
    print(f"\n| gates of `{name}` | seconds |")
    print("|---|---:|")
    for stage, value in seconds.items():
        print(f"| {stage} | {value:.1f} |")
    print(f"| **in all** | {sum(seconds.values()):.1f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--gates", action="store_true", help="Also the gates of flight_delay on this project's data.")
    parser.add_argument("--worker", nargs=2, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work, argument = arguments.worker
        print(json.dumps(WORKERS[work](argument)))
        return
    validations(arguments.rows, arguments.repeat)
    others(arguments.repeat)
    if arguments.gates:
        every_gate("flight_delay", arguments.repeat)


if __name__ == "__main__":
    main()
