"""What lies beside a file, or above the names of its columns, is told and not passed over."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from ml_platform.creating.tables import read_table
from ml_platform.foundation.errors import PlatformError

FRAME = pl.DataFrame({"id": [1, 2, 3], "price": [1.5, 2.5, 3.5]})


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_a_second_file_of_the_same_columns_is_told(tmp_path: Path, ending: str) -> None:
    def put(name: str, frame: pl.DataFrame) -> None:
        path = tmp_path / f"{name}{ending}"
        if ending == ".parquet":
            frame.write_parquet(path)
        else:
            text = frame.write_csv().encode()
            path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)

    put("january", FRAME)
    put("towns", pl.DataFrame({"town": ["a"]}))
    where = str(tmp_path / f"january{ending}")
    assert not [note for note in read_table(where, tmp_path).notes if "beside" in note]
    put("february", FRAME)
    (note,) = [note for note in read_table(where, tmp_path).notes if "beside" in note]
    assert f"'february{ending}' beside 'january{ending}' has the same columns" in note and str(tmp_path) in note
    put("march", FRAME)
    (note,) = [note for note in read_table(where, tmp_path).notes if "beside" in note]
    assert "and 1 more beside" in note


def test_a_folder_has_nothing_beside_it(tmp_path: Path) -> None:
    for name in ("january", "february"):
        FRAME.write_csv(tmp_path / f"{name}.csv")
    table = read_table(str(tmp_path), tmp_path)
    assert table.files == 2 and not [note for note in table.notes if "beside" in note]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("above", "told"), [("Prices 2024\n", "1 line lies"), ("Prices 2024\nall shops\n\n", "3 lines lie")]
)
def test_a_title_above_the_names_is_told(tmp_path: Path, separator: str, above: str, told: str) -> None:
    (tmp_path / "t.csv").write_text(above + FRAME.write_csv(separator=separator))
    with pytest.raises(PlatformError, match=f"t.csv: {told} above the names of the columns, 'Prices 2024' first; take"):
        read_table(str(tmp_path / "t.csv"), tmp_path)


def test_a_title_of_a_sheet_has_as_many_separators_as_every_line(tmp_path: Path) -> None:
    text = "id;price;town\n1;2;a\n2;3;b\n3;;\n"
    (tmp_path / "t.csv").write_text(f"Prices 2024;;\n;;\n{text}")
    with pytest.raises(PlatformError, match=r"t\.csv: 2 lines lie above the names of the columns, 'Prices 2024' first"):
        read_table(str(tmp_path / "t.csv"), tmp_path)
    (tmp_path / "t.csv").write_text(text)
    assert read_table(str(tmp_path / "t.csv"), tmp_path).frame.height == 3


def test_a_table_without_a_title_is_read(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    assert read_table(str(tmp_path / "t.csv"), tmp_path).frame.equals(FRAME)
