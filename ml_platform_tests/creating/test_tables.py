"""A stranger's table is read as what it is: numbers, dates and truths in text, and what stands for a missing value."""

import gzip
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import fsspec
import polars as pl
import pytest

from ml_platform.creating.tables import read_table
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources import opening
from ml_platform.sources.columns import conform
from ml_platform.sources.context import SourceContext
from ml_platform.sources.kinds import SOURCES
from ml_platform.sources.partitions import WHOLE
from ml_platform.sources.source_rule import Found, SourceRule
from ml_platform_tests.creating.tables import hourly, write

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
        ({"a.csv": "x,\n1,2\n2,3\n"}, "the last column has no name, as a separator at the end of each line makes one"),
        (
            {"a.csv": ",x\n0,2\n1,3\n"},
            "the first column has no name, as pandas writes an index; write it with index=Fa",
        ),
        ({"a.csv": "x,,y\n0,2,4\n1,3,4\n"}, "a column has no name (found ''); give every column one in the first"),
        ({"a.csv": "a,b,c\n1,2,3\n2,3,3\nTotal,,6\n"}, "its last row, 'Total', holds sums of the others and is no row"),
        ({"a.csv": "a,b,c\nx,2,3\ny,3,3\nGrand total:,5,\n"}, "its last row, 'Grand total:', holds sums of the others"),
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


ROWS = "größe;preis\n1,5;1.234,5\n12;7\n;0,25\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (ROWS.encode("cp1252"), "t.csv: line 1 is not UTF-8 ('größe;prei' if it is Windows-1252 or Latin-1); save"),
        (b"name,n\n" + "Müller,1\nMeyer,2\n".encode("latin1"), "t.csv: line 2 is not UTF-8"),
        (ROWS.encode("utf-16"), "t.csv: is UTF-16, as Excel writes 'Unicode text', and not UTF-8"),
        (b"", "t.csv: is empty; deliver it"),
        (b"PK\x03\x04\x14\x00\x06\x00", "t.csv: is an Excel workbook or a zip archive; save the sheet as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "t.csv: is an old Excel workbook"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "t.csv: is a gzip file; name it t.csv.gz"),
        (b"PAR1\x15\x04", "t.csv: is a Parquet file; give its name the ending"),
        (b"SQLite format 3\x00", "t.csv: is a SQLite database; put sqlite:///t.csv into a variable"),
        (b'[{"a": 1}, {"a": 2}]', "t.csv: is JSON; deliver it as CSV or Parquet"),
        (b"a,b\n1,2\n3,4,5\n", "t.csv: line 3 has 3 fields, the first has 2; quote values that hold ','"),
        (b"a,b,a\n1,2,3\n1,2,3\n", "t.csv: 2 columns are called 'a'; give each its own name"),
    ],
)
def test_a_text_that_would_be_misread_is_told_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(PlatformError) as told:
        read_table(str(tmp_path / "t.csv"), tmp_path)
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_decimal_commas_are_read_by_the_source_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS, encoding="utf-8-sig")
    table = read_table(str(tmp_path / "t.csv"), tmp_path)
    assert table.frame.to_dict(as_series=False) == {"größe": [1.5, 12.0, None], "preis": [1234.5, 7.0, 0.25]}
    assert (table.source["decimal"], table.source["separator"]) == (",", ";")
    wrong = pl.DataFrame({"preis": ["1,5", "1.5"]})
    assert conform(wrong, {"preis": pl.Float64()}, decimal=",").equals(wrong), "a point is no comma: for the gates"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1,234", "2,500", "999"], "nobody can tell whether '1,234' has a decimal comma or thousands"),
        (["1,5", "2,25", "3"], "'x' have decimal commas and 'y' decimal points"),
        (["1,234.50", "999", "12,000"], "numbers with separated thousands such as '1,234.50'; deliver plain numbers"),
        (["12 kg", "7.5 kg", "100 kg"], "numbers with a unit such as '12 kg'; deliver plain numbers and put the unit"),
        (["12 kg", "7 lb", "3 kg"], "deliver plain numbers, all in one unit, and put"),
        (["$12", "$7.50", "$0.99"], "numbers with a unit such as '$12'"),
        (["15%", "7%", "99%"], "numbers with a unit such as '15%'"),
        (["A12", "B7", "C003"], ""),
        (["007", "012", "100"], ""),
        (["one", "two", "three"], ""),
    ],
)
def test_numbers_that_are_not_read_are_told(tmp_path: Path, values: list[str], told: str) -> None:
    pl.DataFrame({"x": values, "y": [1.5, 2.5, 3.5]}).write_csv(tmp_path / "t.csv")
    table = read_table(str(tmp_path / "t.csv"), tmp_path)
    assert table.frame["x"].to_list() == values
    said = " ".join([*table.notes, *table.odd.values()])
    assert told in said if told else not said


def test_files_of_the_project_are_declared_below_it_by_whatever_way_one_gets_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "t.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "link").symlink_to(root)
    for where in (root / "data" / "t.csv", tmp_path / "link" / "data" / "t.csv", f"file://{root}/data/t.csv"):
        source = read_table(str(where), root).source
        assert (source["kind"], source["path"], source["pattern"]) == ("folder", "data", "t.csv"), where


class Till(SourceRule):
    """A kind that knows tables of its own by their names."""

    kind: Literal["till"]

    @classmethod
    def find(cls, where: str, root: Path, url_env: str = "") -> Found | None:
        if not where.startswith("till:"):
            return None
        return Found(cls(kind="till"), where[5:], {"kind": "till"}, f"till {where[5:]}", lambda time: {"at": time})

    def open(self, context: SourceContext) -> "Till":
        return self

    def partitions(self) -> dict[str, str]:
        return {WHOLE: "1"}

    def read(self, partition: str) -> pl.DataFrame:
        assert partition == WHOLE
        return pl.DataFrame({"sold": [1, 2], "on": ["2024-01-31", "2024-02-01"], "seen": ["31/01/2024", "01/02/2024"]})


def test_a_further_kind_of_source_is_asked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module and a line in SOURCES: nothing else names the kinds."""
    monkeypatch.setattr(opening, "SOURCES", {"till": f"{__name__}:Till", **SOURCES})
    table = read_table("till:bar", tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    assert read_table(str(tmp_path / "t.csv"), tmp_path).source["kind"] == "folder"
    assert (table.name, table.source, table.found.said) == ("bar", {"kind": "till"}, "till bar")
    assert table.frame.schema == {"sold": pl.Int64, "on": pl.Date, "seen": pl.String}
    assert table.notes == ["'seen' holds dates that are not ISO: it is kept as text; convert it in a query"]
    assert table.found.partitioned("on") == {"at": "on"} and not table.found.adds_row_id


def test_an_address_that_nothing_reads_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"^gopher://a/b: nothing here reads what is at such an address; give a fi"):
        read_table("gopher://a/b", tmp_path)


def test_a_table_at_an_address_is_declared_with_it() -> None:
    memory = fsspec.filesystem("memory")
    for day in (1, 2):
        memory.pipe(f"/shop/sales_{day}.csv", b"a,b\n1,2\n3,4\n")
    for where, url, name in (
        ("memory://shop/sales_1.csv", "memory://shop/sales_1.csv", "sales_1"),
        ("memory://shop/sales_*.csv", "memory://shop/sales_*.csv", "shop"),
        ("memory://shop/", "memory://shop/*", "shop"),
    ):
        table = read_table(where, Path())
        assert (table.source, table.name, table.found.said) == ({"kind": "fsspec", "url": url}, name, url)
        assert table.found.partitioned("a") == {"by": "time"} and table.found.adds_row_id


@pytest.mark.parametrize(
    "address",
    ["sqlite:///shop.db", "postgresql+psycopg://me:secret@db/shop"],  # pragma: allowlist secret
)
def test_the_address_of_a_database_is_named_by_a_variable(tmp_path: Path, address: str) -> None:
    with pytest.raises(PlatformError, match=r"is the address of a database; .* TABLE --url-env SALES_URL$") as told:
        read_table(address, tmp_path)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("titanik.csv", "'titanic.csv'"),
        ("Titanic.CSV", "'titanic.csv'"),
        ("titanic", "'titanic.csv'"),
        ("titanic.parquet", "'titanic.csv'"),
        ("date/sales.csv", "'data'"),
        ("data/sale.csv", "'data/sales.csv'"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("titanic.csv", "titanic_notes.txt", "data/sales.csv"):
        write(hourly(5), tmp_path / name)
    with pytest.raises(PlatformError) as told:
        read_table(typed, tmp_path)
    assert str(told.value) == f"{typed}: there is no such file or folder; did you mean {meant}?"


def test_a_last_row_that_only_begins_like_one_of_sums_is_a_row(tmp_path: Path) -> None:
    rows = "".join(f"shop {number},{number},{'' if number % 2 else number}\n" for number in range(60))
    for last in ("Total Wine,7,8\n", "Sumatra,7,\n", "shop 9,,\n", "Total Wine,7,\n"):
        (tmp_path / "a.csv").write_text(f"name,a,often missing\n{rows}{last}")
        assert read_table(str(tmp_path / "a.csv"), tmp_path).frame.height == 61


def test_where_nothing_is_near_the_tables_that_are_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlatformError, match=r"^q\.csv: there is no such file or folder$"):
        read_table("q.csv", tmp_path)
    write(hourly(5), tmp_path / "titanic.csv")
    with pytest.raises(PlatformError, match=r"^q\.csv: there is no such file or folder; there is titanic\.csv$"):
        read_table("q.csv", tmp_path)
