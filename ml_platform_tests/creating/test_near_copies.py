"""A column that nearly is the target is noticed; one that is merely good, or names the rows, is not."""

import numpy as np
import polars as pl
import pytest

from ml_platform.creating.near_copies import COPY, STRONG, alone


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    random = np.random.default_rng(5)
    rows = 3_000
    x = random.normal(size=rows)
    y = (x + random.normal(size=rows) > 0.8).astype(int)
    amount = np.where(y == 1, random.gamma(2, 3, rows), 0.0)
    return pl.DataFrame(
        {
            "y": y,
            "number": 3 * x + random.normal(scale=1.5, size=rows),
            "kind": np.where(y == 1, "won", random.choice(["lost", "drawn"], rows)),
            "three": random.choice(["a", "b", "c"], rows),
            "x": x,
            "amount": amount,
            "only_then": [value if won else None for value, won in zip(random.normal(size=rows), y, strict=True)],
            "row": range(rows),
            "constant": ["k"] * rows,
        }
    ).with_columns(double=pl.col("number") * 1.8 + 32, copy_of_three=pl.col("three").str.to_uppercase())


def test_copies_of_a_class_are_told_apart_from_what_is_only_good(table: pl.DataFrame) -> None:
    columns = ["kind", "amount", "only_then", "x", "row", "constant", "three"]
    found = {one.column: one.score for one in alone(table, "y", columns, number=False)}
    assert min(found["kind"], found["amount"], found["only_then"]) >= COPY
    assert 0.7 < found["x"] < STRONG
    assert max(found["row"], found["constant"], found["three"]) < 0.6


def test_copies_of_a_number_and_of_several_classes(table: pl.DataFrame) -> None:
    numbers = {one.column: one.score for one in alone(table, "number", ["double", "x", "row"], number=True)}
    assert numbers["double"] >= COPY and 0.5 < numbers["x"] < STRONG and numbers["row"] < 0.1
    classes = {one.column: one.score for one in alone(table, "three", ["copy_of_three", "x"], number=False)}
    assert classes["copy_of_three"] == 1.0 and classes["x"] < 0.1
