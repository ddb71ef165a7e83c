"""A few cells of text do not make a column of numbers one of text: words are missing values, others are named."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.creating.questions import Questions
from ml_platform.creating.roles import Wishes, roles_of
from ml_platform.creating.tables import Table, read_table
from ml_platform.foundation.errors import PlatformError

ROWS = 100


def table(folder: Path, cells: dict[int, str], column: str = "price", **more: list[str]) -> Table:
    """A hundred rows with other texts in some rows of a column, counted from 1."""
    columns = {
        "id": [str(1_000 + row) for row in range(ROWS)],
        "size": [f"{row * 1.5}" for row in range(ROWS)],
        "day": [f"2024-{1 + row // 28:02d}-{1 + row % 28:02d}" for row in range(ROWS)],
        "price": [f"{row * 3 + row % 7}" for row in range(ROWS)],
        **more,
    }
    for row, text in cells.items():
        columns[column][row - 1] = text
    pl.DataFrame(columns).write_csv(folder / "t.csv")
    return read_table(str(folder / "t.csv"), folder)


@pytest.mark.parametrize("column", ["price", "size", "day"])
@pytest.mark.parametrize("words", [("unknown", "tbd"), ("#N/A", "**")], ids=["words", "signs"])
def test_words_in_two_cells_are_missing_values_and_named(tmp_path: Path, column: str, words: tuple[str, str]) -> None:
    found = table(tmp_path, {17: words[0], 60: words[1]}, column)
    assert found.frame[column].dtype in (pl.Int64, pl.Float64, pl.Date) and found.frame[column].null_count() == 2
    assert found.source["missing"] == ["", *words]
    (note,) = [one for one in found.notes if repr(column) in one]
    assert f"{words[0]!r} (row 17), {words[1]!r} (row 60): taken for missing" in note


def test_cells_with_a_slip_of_the_pen_are_named_and_changed_into_nothing(tmp_path: Path) -> None:
    found = table(tmp_path, {17: "1O", 60: "12 or 13"})
    assert found.frame["price"].dtype == pl.String and "missing" not in found.source
    with pytest.raises(
        PlatformError, match=r"in all but 2 rows: '1O' \(row 17\), '12 or 13' \(row 60\); correct these"
    ):
        roles_of(found, Wishes("price"), Questions(None))
    assert "in all but 2 rows" in found.odd["price"]


def test_a_word_that_is_a_value_elsewhere_is_none(tmp_path: Path) -> None:
    found = table(tmp_path, {17: "none of it"}, kind=["none of it", "all of it"] * 50)
    assert "missing" not in found.source and found.frame["kind"].null_count() == 0
    assert "'none of it' (row 17)" in found.odd["price"]


@pytest.mark.parametrize(
    "values",
    [
        [f"{row:03d}" for row in range(99)] + ["X"],
        [str(row) if row % 10 else "A" for row in range(ROWS)],
        ["a", "b"] * 50,
    ],
    ids=["codes", "a tenth are words", "text"],
)
def test_a_column_of_text_stays_one(tmp_path: Path, values: list[str]) -> None:
    found = table(tmp_path, {}, code=values)
    assert found.frame["code"].dtype == pl.String and "missing" not in found.source and "code" not in found.odd
