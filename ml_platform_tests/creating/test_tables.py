"""A stranger's table is read as what it is: numbers, dates and truths in text, and what stands for a missing value."""

import gzip
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ml_platform.creating.tables import read_table
from ml_platform.foundation.errors import PlatformError

MIXED = """id;when;amount;code;open;note
1;31/01/2024;1.5;007;true;a
2;01/02/2024;NA;012;False;b
3;15/02/2024;-3;100;true;
"""


def test_columns_are_what_their_text_says(tmp_path: Path) -> None:
    (tmp_path / "mixed.csv").write_text(MIXED)
    table = read_table(str(tmp_path / "mixed.csv"), tmp_path)
    assert table.frame.schema == {
        "id": pl.Int64,
        "when": pl.Date,
        "amount": pl.Float64,
        "code": pl.String,
        "open": pl.Boolean,
        "note": pl.String,
    }
    assert table.frame["when"].to_list() == [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 15)]
    assert table.frame["amount"].to_list() == [1.5, None, -3.0]
    assert (table.name, table.source) == (
        "mixed",
        {
            "kind": "folder",
            "path": ".",
            "pattern": "mixed.csv",
            "separator": ";",
            "missing": ["", "NA"],
            "formats": {"when": "%d/%m/%Y"},
        },
    )
    assert any("'NA'" in note for note in table.notes)


def test_a_text_that_only_looks_missing_stays_one(tmp_path: Path) -> None:
    (tmp_path / "lands.csv").write_text("land,n\nNA,1\nDE,2\nFR,3\n")
    table = read_table(str(tmp_path / "lands.csv"), tmp_path)
    assert table.frame["land"].to_list() == ["NA", "DE", "FR"]
    assert "missing" not in table.source


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-01 00:00:00", "2024-01-02 00:00:00"], date(2024, 1, 2)),
        (["2024-01-01T10:00:00Z", "2024-01-02T10:30:00+02:00"], datetime(2024, 1, 2, 8, 30)),
        (["01/31/2024 10:00 PM", "02/01/2024 09:30 AM"], datetime(2024, 2, 1, 9, 30)),
        (["31.1.2024", "1.2.2024"], date(2024, 2, 1)),
        (["10:30", "11:00"], "11:00"),
        (["2024-13-45", "2024-01-01"], "2024-01-01"),
    ],
)
def test_dates_in_text(tmp_path: Path, texts: list[str], expected: object) -> None:
    pl.DataFrame({"at": texts, "n": [1, 2]}).write_csv(tmp_path / "t.csv")
    assert read_table(str(tmp_path / "t.csv"), tmp_path).frame["at"].to_list()[1] == expected


def test_dates_of_which_nobody_can_tell_the_month_are_kept_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at,n\n01/02/2024,1\n03/04/2024,2\n")
    table = read_table(str(tmp_path / "t.csv"), tmp_path)
    assert table.unclear == {"at": ("%d/%m/%Y", "%m/%d/%Y")}
    assert table.frame["at"].dtype == pl.String


def test_a_folder_is_one_table_and_gzip_and_parquet_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.csv.gz").write_bytes(gzip.compress(f"a,b\n{number},x\n{number},y\n".encode()))
    (folder / "_old.parquet").touch()
    table = read_table(str(folder), tmp_path)
    assert (table.frame["a"].to_list(), table.files) == ([1, 1, 2, 2], 2)
    assert table.source["pattern"] == "*.csv.gz"
    pl.DataFrame({"a": [1, 2], "b": ["x", None]}).write_parquet(tmp_path / "p.parquet")
    assert read_table(f"file://{tmp_path}/p.parquet", tmp_path).frame["b"].to_list() == ["x", None]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "there is no CSV or Parquet file here"),
        ({"a.csv": "x,y\n1,2\n2,3\n", "b.parquet": ""}, "files of several kinds"),
        ({"a.csv": "x,y\n1,2\n2,3\n", "b.csv": "x,z\n1,2\n2,3\n"}, "its columns differ from those of a.csv: y, z"),
        ({"a.csv": "x\n1\n2\n"}, "no table to learn from"),
        ({"a.csv": "x,\n1,2\n2,3\n"}, "a column has no name"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(PlatformError) as told:
        read_table(str(folder), tmp_path)
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,n\nMüller,1\nMeyer,2\n".encode("latin1"))
    with pytest.raises(PlatformError, match="cannot be read as a table in UTF-8"):
        read_table(str(tmp_path / "t.csv"), tmp_path)
