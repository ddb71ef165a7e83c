"""Tables as strangers have them, each odd in one way: what is written for them, and one whole run."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.declarations.loading import find_mistakes
from ml_platform.foundation.project import Project
from ml_platform_tests.conftest import ports
from ml_platform_tests.creating.project import Mine

BIN = Path(sys.executable).parent
ROWS, DAYS = 1_500, 180


def plain(seed: int = 1, **more: object) -> dict[str, object]:
    """Half a year of rows with a number that says something of the target."""
    random = np.random.default_rng(seed)
    size = random.normal(10, 3, ROWS).round(2)
    days = np.sort(random.integers(0, DAYS, ROWS))
    return {
        "order": list(range(7_000, 7_000 + ROWS)),
        "day": [date(2024, 1, 1) + timedelta(days=int(one)) for one in days],
        "size": size,
        "late": random.random(ROWS) < 1 / (1 + np.exp(-(size - 12))),
        **more,
    }


def _random(seed: int = 2) -> np.random.Generator:
    return np.random.default_rng(seed)


def names_with_spaces() -> pl.DataFrame:
    table = pl.DataFrame(plain())
    return table.rename({"order": "Order No.", "day": "Day of order", "size": "Größe (kg)", "late": "was it late?"})


def three_columns() -> pl.DataFrame:
    return pl.DataFrame(plain()).select("day", "size", "late")


def two_hundred_columns() -> pl.DataFrame:
    noise = _random().normal(size=(ROWS, 196)).round(3)
    return pl.DataFrame(plain()).hstack(pl.DataFrame(noise, schema=[f"sensor {place}" for place in range(196)]))


def many_categories() -> pl.DataFrame:
    place = _random().integers(0, 300, ROWS)
    return pl.DataFrame(plain(place=[f"Straße {one}" for one in place]))


def all_null() -> pl.DataFrame:
    return pl.DataFrame(plain(remark=[None] * ROWS, empty=pl.Series([None] * ROWS, dtype=pl.Float64)))


def german() -> pl.DataFrame:
    table = pl.DataFrame(plain())
    return table.with_columns(
        pl.col("day").dt.strftime("%d.%m.%Y"), pl.col("size").cast(pl.String).str.replace(".", ",", literal=True)
    )


def customers() -> pl.DataFrame:
    return pl.DataFrame(plain(customer_id=_random().integers(0, 200, ROWS))).drop("day", "order")


def late_labels() -> pl.DataFrame:
    known = pl.col("day") < date(2024, 5, 1)
    return pl.DataFrame(plain()).with_columns(late=pl.when(known).then(pl.col("late").cast(pl.Int64)))


TABLES: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "names_with_spaces": (names_with_spaces, "was it late?"),
    "three_columns": (three_columns, "late"),
    "two_hundred_columns": (two_hundred_columns, "late"),
    "many_categories": (many_categories, "late"),
    "all_null": (all_null, "late"),
    "german": (german, "late"),
    "customers": (customers, "late"),
    "late_labels": (late_labels, "late"),
}


WRITTEN = {
    "names_with_spaces": ['grosse_kg: float', 'alias="Größe (kg)"', 'alias="was it late?"'],
    "three_columns": ['key = ("row",)', '"size": pl.col("size"),'],
    "two_hundred_columns": ['"sensor_195": pl.col("sensor 195"),'],
    "many_categories": ['HistoricalMean("past_late_by_place", of="late", by=("place",), prior=20)'],
    "all_null": ["remark: str = Field(nullable=True)  # no value yet", 'inputs = ("order", "day", "size")'],
    "german": ["formats: {day: '%d.%m.%Y'}", "decimal: ','", "size: float"],
    "customers": ["partitions: none", "group: [customer_id]", 'key = ("row",)'],
    "late_labels": ["label_delay: 59", "history_lag: 60", "late: int = Field(nullable=True, isin=[0, 1]"],
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("all_null", "customers") else pytest.mark.slow) for name in TABLES]
)
def test_what_is_written_for_an_odd_table(mine: Mine, name: str) -> None:
    make, target = TABLES[name]
    made = mine.new(mine.table(make(), f"{name}.csv"), target)
    assert not made.noise and made.tried.fit.metrics["auc"] > 0.8
    text = "\n".join(mine.files().values())
    for part in WRITTEN[name]:
        assert part in text, part
    assert find_mistakes(Project.find())[0] == []
    if name == "all_null":
        assert made.plan.left_out["remark"] == made.plan.left_out["empty"] == "no value at all"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_names_with_spaces_and_signs_go_all_the_way(mine: Mine) -> None:
    make, target = TABLES["names_with_spaces"]
    mine.new(mine.table(make(), "orders.csv"), target)
    environment = {
        **os.environ, "DAGSTER_HOME": str(mine.root), "ML_PLATFORM_LOCAL": str(mine.root / ".local"),
        "PYTHONPATH": str(mine.root / "src"), "ML_PLATFORM_THREADS": "1", "ML_PLATFORM_PORTS": ports(3410, 15),
    }  # fmt: skip
    command = [str(BIN / "ml-platform")]
    try:
        done = subprocess.run([*command, "run"], cwd=mine.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 (approved)" in done.stdout and "by version 1 for" in done.stdout
    finally:
        subprocess.run([*command, "stop"], cwd=mine.root, env=environment, capture_output=True, check=True)
