"""Texts that are no categories: sentences, and two numbers in one value."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.creating.plan import plan_of
from ml_platform.creating.questions import Questions
from ml_platform.creating.roles import Wishes, roles_of
from ml_platform.creating.tables import read_table

COMPLAINTS = [
    f"{pain} pain in the {side} {place}"
    for pain in ("slight", "strong", "no", "some")
    for side in ("left", "right")
    for place in ("knee", "hip", "hand", "foot", "ear", "eye")
]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([f"{one} since day {number}" for number, one in enumerate(COMPLAINTS * 4)], "prose"),
        (
            [f"{100 + number % 60}/{60 + number % 40}" for number in range(192)],
            "two numbers in one value such as '100/60'",
        ),
        ([f"{number % 24}:{number % 60:02d}" for number in range(192)], "two numbers in one value such as '0:00'"),
        ([f"{20 + number % 30} x {number % 7}.5" for number in range(192)], "two numbers in one value"),
        ([f"Street {number % 40}" for number in range(192)], ""),
        ([f"{number % 3}/{number % 4}" for number in range(192)], ""),
    ],
    ids=["complaints", "blood pressure", "time of day", "size", "streets", "few pairs"],
)
def test_prose_and_pairs_of_numbers_are_no_categories(tmp_path: Path, values: list[str], why: str) -> None:
    random = np.random.default_rng(1)
    days = [date(2024, 1, 1) + timedelta(days=at) for at in range(192)]
    frame = pl.DataFrame(
        {"day": days, "said": values, "size": random.normal(size=192), "sold": random.normal(size=192)}
    )
    frame.write_csv(tmp_path / "t.csv")
    roles = roles_of(read_table(str(tmp_path / "t.csv"), tmp_path), Wishes("sold"), Questions(None))
    plan = plan_of("t", roles, "month", datetime(2026, 1, 1, tzinfo=UTC))
    assert plan.left_out.get("said", "").startswith(why) and bool(why) == ("said" in plan.left_out)
    assert ("said" in {past.by for past in plan.pasts} | {one.column for one in plan.categories}) == (not why)
