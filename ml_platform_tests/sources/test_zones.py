"""Times with and without a zone: divided by instants or by local days, on days of 23 and 25 hours too."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pandera.polars as pa
import polars as pl
import pytest
import sqlalchemy as sa

from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import conform, with_days
from ml_platform_tests.sources.example import spec

BERLIN = ZoneInfo("Europe/Berlin")
#: Clocks went from 2 to 3 and, in autumn, from 3 to 2.
SPRING, AUTUMN = date(2024, 3, 31), date(2024, 10, 27)


class Local(pa.DataFrameModel):
    """Rows with the time in Berlin."""

    at: Annotated[pl.Datetime, "us", "Europe/Berlin"]
    number: int


class Universal(pa.DataFrameModel):
    """Rows with the time in UTC."""

    at: Annotated[pl.Datetime, "us", "UTC"]
    number: int


class Plain(pa.DataFrameModel):
    """Rows with a time that names no zone."""

    at: Annotated[pl.Datetime, "us", None]
    number: int


def every_half_hour(day: date) -> pl.DataFrame:
    """Two rows of each hour of a day in Berlin, in UTC."""
    first, after = (
        datetime(one.year, one.month, one.day, tzinfo=BERLIN).astimezone(UTC) for one in (day, day + timedelta(days=1))
    )
    at = pl.datetime_range(first, after, "30m", closed="left", eager=True, time_zone="UTC", time_unit="us")
    return pl.DataFrame({"at": at, "number": range(len(at))})


def opened(folder: Path, schema: Any, every: str, start: str, **more: Any) -> Any:
    rule = {"kind": "folder", "path": str(folder), "by": "time", **more}
    partitions = {"every": every, "start": start}
    named = f"{__name__}:{schema.__name__}"
    return spec(rule, schema=named, partitions=partitions, key=["number"], time="at").load_source()


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), (date(2024, 6, 1), 24)])
@pytest.mark.parametrize("schema", [Local, Universal, Plain])
@pytest.mark.parametrize("form", ["zone", "offset", "utc"])
def test_a_day_has_as_many_hours_as_it_has(tmp_path: Path, day: date, hours: int, schema: Any, form: str) -> None:
    rows = every_half_hour(day)
    local = rows.with_columns(pl.col("at").dt.convert_time_zone("Europe/Berlin"))
    if form == "zone":
        local.write_parquet(tmp_path / "a.parquet")
    else:
        (local if form == "offset" else rows).with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%:z")).write_csv(
            tmp_path / "a.csv"
        )
    source = opened(tmp_path, schema, "hour", str(day - timedelta(days=2)))
    keys = list(source.partitions())
    assert len(keys) == hours and keys[0] == f"{rows['at'][0]:%Y-%m-%dT%H}"
    assert [source.read(key)["number"].to_list() for key in keys] == [[2 * one, 2 * one + 1] for one in range(hours)]
    read = source.read(keys[0])["at"]
    assert read.dtype == {Local: local, Universal: rows, Plain: rows}[schema]["at"].dtype or schema is Plain
    assert read.dt.epoch("us").to_list() == rows["at"].dt.epoch("us").to_list()[:2], "the same instants"


def test_days_are_those_of_the_zone(tmp_path: Path) -> None:
    for day in (SPRING, AUTUMN):
        every_half_hour(day).write_parquet(tmp_path / f"{day}.parquet")
    source = opened(tmp_path, Local, "day", "2024-01-01")
    assert list(source.partitions()) == [str(SPRING), str(AUTUMN)]
    assert [source.read(str(day)).height for day in (SPRING, AUTUMN)] == [46, 50]
    universal = opened(tmp_path, Universal, "day", "2024-01-01")
    assert list(universal.partitions()) == ["2024-03-30", str(SPRING), "2024-10-26", str(AUTUMN)]
    added = with_days(every_half_hour(SPRING).select(pl.col("at").dt.convert_time_zone("Europe/Berlin")), {"day": "at"})
    assert added["day"].unique().to_list() == [SPRING]


def test_what_clocks_show_is_local_where_the_schema_says_so(tmp_path: Path) -> None:
    types: Any = {"at": pl.Datetime("us", "Europe/Berlin")}
    noon = datetime(2024, 3, 31, 12)
    for column in (pl.Series("at", [noon]), pl.Series("at", [noon.isoformat()])):
        made = conform(column.to_frame(), types)["at"]
        assert made.to_list() == [noon.replace(tzinfo=BERLIN)]
    assert conform(pl.DataFrame({"at": [noon]}), {"at": pl.Datetime("us", "UTC")})["at"].to_list() == [
        noon.replace(tzinfo=UTC)
    ]
    # An hour that was skipped, and one that came twice: nobody can tell, and nothing is guessed.
    for odd in (datetime(2024, 3, 31, 2, 30), datetime(2024, 10, 27, 2, 30)):
        assert conform(pl.DataFrame({"at": [odd]}), types)["at"].dtype == pl.Datetime("us")
        (tmp_path / "a.csv").write_text(f"at,number\n{odd.isoformat()},1\n")
        source = opened(tmp_path, Local, "day", "2024-01-01")
        with pytest.raises(PlatformError, match=r"at \(String\) is no date, or is no hour in Europe/Berlin: .* offset"):
            source.partitions()


def test_a_name_holds_the_hour(tmp_path: Path) -> None:
    every_half_hour(SPRING)[:2].write_parquet(tmp_path / "rows_20240330-23.parquet")
    source = opened(tmp_path, Universal, "hour", "2024-03-01", by="name", date_format="%Y%m%d-%H")
    assert list(source.partitions()) == ["2024-03-30T23"]
    assert source.read("2024-03-30T23").height == 2


def test_functions_and_queries_get_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("create table rows (at text, number integer)"))
        for number, at in enumerate(("04:59:59", "05:00:00", "05:59:59", "06:00:00")):
            row = {"at": f"2024-03-01 {at}", "number": number}
            connection.execute(sa.text("insert into rows values (:at, :number)"), row)
    monkeypatch.setenv("ROWS_URL", url)
    hours = {"every": "hour", "start": "2024-03-01T05", "end": "2024-03-01T07"}
    rule = {
        "kind": "sql", "url_env": "ROWS_URL", "fingerprint": "count(*)",
        "query": "select * from rows where at >= strftime('%Y-%m-%d %H:%M:%S', :start) "
        "and at < strftime('%Y-%m-%d %H:%M:%S', :end)",
    }  # fmt: skip
    more: Any = {"schema": f"{__name__}:Universal", "partitions": hours, "key": ["number"], "time": "at"}
    source = spec(rule, **more).load_source()
    assert list(source.partitions()) == ["2024-03-01T05", "2024-03-01T06"]
    assert source.read("2024-03-01T05")["number"].to_list() == [1, 2]
    called: Any = spec({"kind": "function", "function": f"{__name__}:between"}, **more).load_source()
    assert called.read("2024-03-01T06")["at"].to_list() == [datetime(2024, 3, 1, 6, tzinfo=UTC)]


def between(start: datetime, end: datetime) -> pl.DataFrame:
    """A source as a plain function: the first instant of the hour."""
    assert end - start == timedelta(hours=1)
    return pl.DataFrame({"at": [start], "number": [1]})
