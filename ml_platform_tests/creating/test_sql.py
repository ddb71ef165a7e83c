"""A table in a database becomes a declared query, tried as one of files is."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ml_platform.declarations.loading import find_mistakes
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.project import Project
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import hourly, trips


def put(mine: Mine, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = mine.root / "shop.db"
    text = frame.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S"), pl.col(pl.Date).cast(pl.String))
    text.write_database("sales", f"sqlite:///{path}", engine="sqlalchemy")
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{path}")
    return path


def test_a_table_becomes_a_query_of_one_partition(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    put(mine, hourly().filter(pl.col("day") < date(2024, 1, 22)), monkeypatch)
    made = mine.new("sales", "sold", url_env="SHOP_URL", every="week")
    assert not made.noise
    dataset, _ = mine.declared("sales")
    assert dataset["source"] == {
        "kind": "sql",
        "url_env": "SHOP_URL",
        "query": "select * from sales where day >= :start and day < :end",
        "fingerprint": "content",
    }
    assert (dataset["key"], dataset["time"]) == (["number"], "day")
    assert find_mistakes(Project.find())[0] == []


def test_of_a_timestamp_the_source_adds_the_day(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = trips(3_000).filter(pl.col("Picked up at").dt.month() <= 3)
    put(mine, frame, monkeypatch)
    mine.new('select * from sales where "Zone" is not null;', "tipped", url_env="SHOP_URL", name="taxi", every="month")
    source = mine.declared("taxi")[0]["source"]
    assert source["query"] == (
        'select * from (select * from sales where "Zone" is not null) as given '
        'where "Picked up at" >= :start and "Picked up at" < :end'
    )
    assert source["days"] == {"day": "Picked up at"}
    assert find_mistakes(Project.find())[0] == []


@pytest.mark.parametrize(
    ("where", "variable", "reason"),
    [
        ("sales", "NO_URL", "--url-env: the environment variable NO_URL is not set"),
        ("sale", "SHOP_URL", "the database of SHOP_URL refused (no such table: sale)"),
        ("sales; drop table sales", "SHOP_URL", "give the name of a table, or a query that begins with select"),
        ("select day, sold from sales", "SHOP_URL", "no column identifies a row; name those that do with --key"),
    ],
)
def test_what_cannot_be_is_one_line(
    mine: Mine, monkeypatch: pytest.MonkeyPatch, where: str, variable: str, reason: str
) -> None:
    put(mine, hourly(200), monkeypatch)
    with pytest.raises(PlatformError) as told:
        mine.new(where, "sold", url_env=variable)
    assert reason in str(told.value) and "\n" not in str(told.value)
