"""Parquet files: equal bytes for equal frames, every value back, every damage found."""

import random
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from ml_platform.foundation import parquet
from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.parquet import read_frame, write_frame

DTYPES = [
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
    pl.Float32, pl.Float64, pl.String, pl.Binary, pl.Date, pl.Time, pl.Datetime, pl.Duration, pl.List,
    pl.Struct,
]  # fmt: skip


@pytest.fixture
def frame() -> pl.DataFrame:
    """Every type of column that a dataset may have, with nulls, NaN and infinity."""
    rows = 600
    return pl.DataFrame(
        {
            "integer": list(range(rows)),
            "real": [None if n % 7 == 0 else [n / 3, float("nan"), float("inf")][n % 3] for n in range(rows)],
            "text": [None if n % 5 == 0 else f"flight {n % 13} ü" for n in range(rows)],
            "day": [date(2013, 1, 1) + timedelta(days=n % 31) for n in range(rows)],
            "at": [datetime(2013, 1, 1, 5, n % 60) for n in range(rows)],
            "zoned": pl.Series([datetime(2013, 1, 1)] * rows).dt.replace_time_zone("America/New_York"),
            "flag": [n % 2 == 0 for n in range(rows)],
            "enum": pl.Series(["EWR", "JFK"] * (rows // 2), dtype=pl.Enum(["JFK", "EWR", "LGA"])),
            "list": [[n, None] for n in range(rows)],
            "struct": [{"a": n, "b": str(n)} for n in range(rows)],
            "time": [time(1, 2, 3)] * rows,
            "nothing": pl.Series([None] * rows, dtype=pl.Null),
        }
    )


def test_every_type_comes_back(frame: pl.DataFrame, tmp_path: Path) -> None:
    assert write_frame(frame, tmp_path / "a.parquet") == sha256_file(tmp_path / "a.parquet")
    back = read_frame(tmp_path / "a.parquet")
    assert back.schema == frame.schema
    assert_frame_equal(back, frame)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frame=dataframes(min_cols=1, max_cols=4, max_size=30, allowed_dtypes=DTYPES))
def test_round_trip_and_bytes_do_not_depend_on_chunks(frame: pl.DataFrame, tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    chunked = pl.concat([frame.head(3), frame.tail(max(frame.height - 3, 0))], rechunk=False)
    assert write_frame(frame, one) == write_frame(chunked, two) == sha256_file(two)
    back = read_frame(one)
    assert back.schema == frame.schema
    assert_frame_equal(back, frame)


def test_row_groups_join(frame: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 250)
    path = tmp_path / "a.parquet"
    write_frame(frame, path)
    assert pq.ParquetFile(path).metadata.num_row_groups == 3
    assert_frame_equal(read_frame(path), frame)


def test_different_frames_differ(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    others = [frame, frame.reverse(), frame.head(599), frame.rename({"day": "d"})]
    others.append(frame.select(sorted(frame.columns)))
    assert len({write_frame(other, path) for other in others}) == len(others)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_keep_the_schema(frame: pl.DataFrame, tmp_path: Path, rows: int) -> None:
    write_frame(frame.head(rows), tmp_path / "a.parquet")
    assert_frame_equal(read_frame(tmp_path / "a.parquet"), frame.head(rows))


def test_columns_in_the_order_named(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_frame(frame, path)
    assert_frame_equal(read_frame(path, ["text", "integer"]), frame.select("text", "integer"))
    with pytest.raises(PlatformError, match="no column nope"):
        read_frame(path, ["text", "nope"])


def test_only_the_arrow_schema_is_in_the_metadata(frame: pl.DataFrame, tmp_path: Path) -> None:
    write_frame(frame, tmp_path / "a.parquet")
    assert set(pq.ParquetFile(tmp_path / "a.parquet").metadata.metadata) == {b"ARROW:schema"}


@pytest.mark.parametrize("kind", [pl.Categorical, pl.List(pl.Categorical), pl.Struct({"x": pl.Categorical})])
def test_types_without_reproducible_bytes_are_refused(tmp_path: Path, kind: pl.DataType) -> None:
    frame = pl.DataFrame({"fine": [], "bad": pl.Series([], dtype=kind)})
    with pytest.raises(PlatformError, match=r"columns bad .*Enum"):
        write_frame(frame, tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def flipped(data: bytes, rng: random.Random, start: int, stop: int) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def test_three_hundred_flipped_bits_are_all_found(frame: pl.DataFrame, tmp_path: Path) -> None:
    """With the sha256, a flip anywhere in the file is found before a byte of it is parsed."""
    path, rng = tmp_path / "a.parquet", random.Random(1)
    sha256 = write_frame(frame, path)
    data = path.read_bytes()
    for _ in range(300):
        path.write_bytes(flipped(data, rng, 0, len(data)))
        with pytest.raises(Corrupt, match=str(path)):
            read_frame(path, sha256=sha256)
    path.write_bytes(data)
    assert_frame_equal(read_frame(path, sha256=sha256), frame)


def test_page_checksums_alone_let_no_wrong_value_through(tmp_path: Path) -> None:
    """Without the sha256: a flip in the pages is found, or (in a page's statistics) changes no value."""
    path, rng = tmp_path / "a.parquet", random.Random(2)
    numbers = range(5000)
    frame = pl.DataFrame({"x": [rng.random() for _ in numbers], "n": [rng.randrange(9) for _ in numbers]})
    write_frame(frame, path)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    found = 0
    for _ in range(300):
        path.write_bytes(flipped(data, rng, 4, footer))
        try:
            assert_frame_equal(read_frame(path), frame)
        except Corrupt:
            found += 1
    assert found >= 295


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\x00" * 100 + b"PAR1"])
def test_what_is_no_parquet_file_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(Corrupt, match=r"a\.parquet"):
        read_frame(tmp_path / "a.parquet")


def test_a_truncated_file_is_corrupt(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_frame(frame, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        read_frame(path)
