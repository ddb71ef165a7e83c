"""Files as a source: divided by name or by time, picked up once by name and content, refused when unreadable."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform.sources.columns import conform
from ml_platform_tests.sources.example import Stamped, sales, spec

JANUARY, FEBRUARY, MARCH = "2024-01-01", "2024-02-01", "2024-03-01"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    return made


def by_name(folder: Path, **more: Any) -> Any:
    rule = {"kind": "folder", "path": str(folder), "by": "name", "date_format": "%Y-%m", **more}
    return spec(rule).load_source()


def by_time(folder: Path, **more: Any) -> Any:
    return spec({"kind": "folder", "path": str(folder), "by": "time", **more}).load_source()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_belongs_to_the_partition_in_its_name(folder: Path, ending: str) -> None:
    write = pl.DataFrame.write_csv if ending == "csv" else pl.DataFrame.write_parquet
    for name, frame in {"a-2024-01": sales(1), "a-2024-02": sales(2), "b-2024-02": sales(2, 2, 3)}.items():
        write(frame, folder / f"{name}.{ending}")
    source = by_name(folder)
    assert list(source.partitions()) == [JANUARY, FEBRUARY]
    assert_frame_equal(source.read(JANUARY), sales(1))
    assert_frame_equal(source.read(FEBRUARY), pl.concat([sales(2), sales(2, 2, 3)]))
    with pytest.raises(MissingReference, match=r"nothing for partition 2024-03-01"):
        source.read(MARCH)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_are_divided_by_their_time(folder: Path, ending: str) -> None:
    both = pl.concat([sales(1), sales(2)])
    both.write_csv(folder / "all.csv") if ending == "csv" else both.write_parquet(folder / "all.parquet")
    sales(2, 1, 7).write_parquet(folder / "late.parquet")
    source = by_time(folder)
    assert list(source.partitions()) == [JANUARY, FEBRUARY]
    assert_frame_equal(source.read(JANUARY), sales(1))
    assert_frame_equal(source.read(FEBRUARY), pl.concat([sales(2), sales(2, 1, 7)]))


def test_a_file_is_picked_up_once_by_name_and_content(folder: Path) -> None:
    sales(1).write_csv(folder / "2024-01.csv")
    first = by_name(folder).partitions()
    (folder / "2024-01.csv").touch()
    assert by_name(folder).partitions() == first, "delivered again, unchanged"
    sales(2).write_csv(folder / "2024-02.csv")
    second = by_name(folder).partitions()
    assert second[JANUARY] == first[JANUARY] and list(second) == [JANUARY, FEBRUARY]
    before = (folder / "2024-01.csv").stat()
    (folder / "2024-01.csv").write_text((folder / "2024-01.csv").read_text().replace("0.5", "9.5"))
    os.utime(folder / "2024-01.csv", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    third = by_name(folder).partitions()
    assert third[JANUARY] != first[JANUARY] and third[FEBRUARY] == second[FEBRUARY]
    (folder / "2024-02.csv").rename(folder / "again-2024-02.csv")
    assert by_name(folder).partitions()[FEBRUARY] != second[FEBRUARY], "another name is another file"


def test_what_is_not_delivered_yet_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sales(1).write_csv(folder / "2024-01.csv")
    for name in (".2024-02.csv", "_2024-02.csv", "2024-02.csv.part", "2024-02.csv.tmp"):
        sales(2).write_csv(folder / name)
    sales(12).write_csv(folder / "2023-12.csv")
    assert list(by_name(folder).partitions()) == [JANUARY], "2023 is before the first partition"
    monkeypatch.setenv("ML_PLATFORM_NOW", "2024-01-31T23:00:00")
    from ml_platform.foundation.settings import get_settings

    get_settings.cache_clear()
    assert by_name(folder).partitions() == {}, "January has not ended"


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sales(1).write_csv(folder / "2024-01.csv")
    source = by_name(folder)
    read = source._table

    def slow(name: str, columns: Any) -> pl.DataFrame:
        frame = read(name, columns)
        sales(1, 5).write_csv(folder / name)
        return frame

    monkeypatch.setattr(source, "_table", slow)
    with pytest.raises(PlatformError, match=r"2024-01\.csv changed while being read"):
        source.read(JANUARY)


def test_files_that_cannot_be_used_are_named(folder: Path) -> None:
    sales(1).write_parquet(folder / "2024-01.parquet")
    whole = (folder / "2024-01.parquet").read_bytes()
    (folder / "2024-01.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PlatformError, match=r"2024-01\.parquet in .* cannot be read"):
        by_name(folder).read(JANUARY)
    (folder / "2024-01.parquet").unlink()
    sales(1).write_csv(folder / "a-2024-01.csv")
    sales(1).drop("price").write_csv(folder / "b-2024-01.csv")
    with pytest.raises(PlatformError, match=r"b-2024-01\.csv does not fit a-2024-01\.csv .*price"):
        by_name(folder).read(JANUARY)
    (folder / "readme.csv").write_text("x\n")
    with pytest.raises(PlatformError, match=r"'readme\.csv' holds no date of the form %Y-%m"):
        by_name(folder).partitions()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(PlatformError, match=r"notes\.txt is neither CSV nor Parquet"):
        by_name(folder, pattern="*.txt").partitions()
    with pytest.raises(PlatformError, match="is no folder"):
        by_name(folder / "gone").partitions()


def test_rows_without_a_day_are_never_lost(folder: Path) -> None:
    sales(1).with_columns(day=pl.Series([date(2024, 1, 1), None, None])).write_csv(folder / "a.csv")
    with pytest.raises(PlatformError, match=r"a\.csv: 2 rows have no day and belong to no partition"):
        by_time(folder).partitions()
    (folder / "a.csv").write_text("day,number\n1.2.2024,1\n")
    with pytest.raises(PlatformError, match=r"column day \(String\) is no date"):
        by_time(folder).partitions()


def test_a_column_with_an_impossible_value_stays_as_it_came() -> None:
    text = pl.DataFrame({"number": ["1", "x"], "price": ["1.5", None], "paid": ["true", "False"], "other": ["1", "2"]})
    types = {"number": pl.Int64(), "price": pl.Float64(), "paid": pl.Boolean(), "day": pl.Date()}
    made = conform(text, types)
    assert made.schema == {"number": pl.String, "price": pl.Float64, "paid": pl.Boolean, "other": pl.String}
    assert made["number"].to_list() == ["1", "x"] and made["paid"].to_list() == [True, False]
    assert conform(pl.DataFrame({"number": [1.0, 2.5]}), types)["number"].dtype == pl.Float64
    assert conform(pl.DataFrame({"number": [1.0, None]}), types)["number"].to_list() == [1, None]
    day = {"day": pl.Date()}
    assert conform(pl.DataFrame({"day": ["2024-01-02 00:00:00", "2024-01-03"]}), day)["day"].dtype == pl.Date
    assert conform(pl.DataFrame({"day": ["2024-01-02 05:00:00"]}), day)["day"].dtype == pl.String
    assert conform(pl.DataFrame({"paid": ["yes"]}), types)["paid"].dtype == pl.String
    assert conform(pl.DataFrame({"paid": ["true", None]}), types)["paid"].to_list() == [True, None]


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_addresses_of_fsspec(folder: Path, scheme: str) -> None:
    base = f"memory://{folder}" if scheme == "memory" else folder.as_uri()
    filesystem = fsspec.filesystem(scheme)
    rule = {"kind": "fsspec", "url": f"{base}/*.csv", "by": "name", "date_format": "%Y%m"}
    source = spec(rule).load_source()
    assert source.partitions() == {}
    for month in (1, 2):
        with filesystem.open(f"{folder}/sales_2024{month:02}.csv", "wb") as stream:
            stream.write(sales(month).write_csv().encode())
    first = source.partitions()
    assert list(first) == [JANUARY, FEBRUARY]
    assert_frame_equal(source.read(FEBRUARY), sales(2))
    with filesystem.open(f"{folder}/sales_202401.csv", "wb") as stream:
        stream.write(sales(1).write_csv().encode())
    assert source.partitions() == first, "delivered again, unchanged"
    with filesystem.open(f"{folder}/sales_202401.csv", "wb") as stream:
        stream.write(sales(1, 4).write_csv().encode())
    assert source.partitions()[JANUARY] != first[JANUARY]
    assert source.read(JANUARY).height == 4


def test_secrets_stay_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"kind": "fsspec", "url": "s3://bucket/*.csv", "by": "time"}
    with pytest.raises(ValidationError, match="aws_secret_access_key may be a secret"):
        spec({**rule, "options": {"aws_secret_access_key": "x"}})
    with pytest.raises(ValidationError, match="holds a password"):
        spec({**rule, "url": "ftp://me:word@host/*.csv"})  # pragma: allowlist secret
    with pytest.raises(PlatformError, match="the environment variable DATA_KEY is not set"):
        spec({**rule, "options_env": {"key": "DATA_KEY"}}).load_source()
    with pytest.raises(PlatformError, match="the environment variable INCOMING is not set"):
        by_time(Path("$INCOMING")).partitions()
    sales(1).write_csv(folder / "a.csv")
    monkeypatch.setenv("INCOMING", str(folder))
    assert list(by_time(Path("$INCOMING")).partitions()) == [JANUARY]


def test_mistakes_in_a_declaration_are_named() -> None:
    with pytest.raises(ValidationError, match="a source is module:object or has a kind"):
        spec({"kind": "ftp"})
    with pytest.raises(ValidationError, match="date_format: by: name needs it"):
        spec({"kind": "folder", "path": "x", "by": "name"})
    with pytest.raises(ValidationError, match=r"source\.folder\.depth\s+Extra inputs"):
        spec({"kind": "folder", "path": "x", "by": "time", "depth": 1})


def test_the_day_of_a_timestamp_and_an_identity_are_added(folder: Path) -> None:
    def source(**days: str) -> Any:
        rule = {"kind": "folder", "path": str(folder), "by": "time", "days": days, "row_id": "row"}
        return spec(rule, schema=f"{Stamped.__module__}:Stamped").load_source()

    rows = sales(1).drop("day")
    rows.with_columns(at=pl.Series(["2024-01-30 23:59:59"] + ["2024-01-31T00:00:01"] * 2)).write_csv(folder / "a.csv")
    rows.with_columns(at=pl.lit("2024-02-01 00:00:00")).write_csv(folder / "b.csv")
    assert list(source(day="at").partitions()) == [JANUARY, FEBRUARY]
    read = source(day="at").read(JANUARY)
    assert read["day"].to_list() == [date(2024, 1, 30)] + [date(2024, 1, 31)] * 2
    assert read["row"].to_list() == ["a.csv:1", "a.csv:2", "a.csv:3"]
    assert source(day="at").read(FEBRUARY)["row"][0] == "b.csv:1"
    with pytest.raises(PlatformError, match=r"b.csv has a column 'number' already"):
        source(day="at", number="at").read(FEBRUARY)
    # What holds no times is no day, and never a missing one.
    (folder / "b.csv").write_text((folder / "b.csv").read_text().replace("2024-02-01 00:00:00", "soon"))
    with pytest.raises(PlatformError, match=r"column day \(String\) is no date"):
        source(day="at").partitions()


def test_dates_that_are_not_iso_are_read_by_their_format(folder: Path) -> None:
    sales(1).with_columns(pl.col("day").dt.strftime("%d/%m/%Y")).write_csv(folder / "a.csv")
    assert_frame_equal(by_time(folder, formats={"day": "%d/%m/%Y"}).read(JANUARY), sales(1))
    with pytest.raises(PlatformError, match=r"column day \(String\) is no date"):
        by_time(folder, formats={"day": "%d.%m.%Y"}).partitions()


def test_without_partitions_all_files_are_one_table(folder: Path) -> None:
    rule = {"kind": "folder", "path": str(folder)}
    sales(1).write_csv(folder / "one.csv")
    source: Any = spec(rule, partitions="none").load_source()
    first = source.partitions()
    assert list(first) == ["all"] and source.read("all").equals(sales(1))
    sales(2).write_parquet(folder / "two.parquet")
    assert source.partitions() != first
    assert source.read("all").equals(pl.concat([sales(1), sales(2)]))


def test_files_are_divided_by_time_exactly_where_there_are_partitions(folder: Path) -> None:
    rule = {"kind": "folder", "path": str(folder)}
    with pytest.raises(DeclarationError, match="source: by is missing: take `time`"):
        spec(rule).load_source()
    with pytest.raises(DeclarationError, match="by: time divides by time, and there are no partitions"):
        spec({**rule, "by": "time"}, partitions="none").load_source()
