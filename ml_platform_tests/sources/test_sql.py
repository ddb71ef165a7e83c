"""A SQL query as a source: chunked, in a fixed order, with its address in the environment only."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform_tests.sources.example import sales, spec

QUERY = "select * from sales where day >= :start and day < :end"
RULE = {"kind": "sql", "url_env": "SALES_URL", "query": QUERY, "fingerprint": "content"}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sales.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table sales (day text, number integer, price real, paid integer, shop text)")
        rows = [*sales(1, 5).rows(), *sales(3, 40).rows()]
        random.Random(1).shuffle(rows)
        connection.executemany("insert into sales values (?, ?, ?, ?, ?)", [(str(row[0]), *row[1:]) for row in rows])
        connection.commit()
    monkeypatch.setenv("SALES_URL", f"sqlite:///{path}")
    return path


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("chunk", [1, 7, 50_000])
def test_rows_come_in_chunks_and_in_the_order_of_the_key(database: Path, chunk: int) -> None:
    source: Any = spec({**RULE, "chunk_rows": chunk}).load_source()
    assert list(source.partitions()) == ["2024-01-01", "2024-03-01"]
    assert_frame_equal(source.read("2024-01-01"), sales(1, 5))
    assert_frame_equal(source.read("2024-03-01"), sales(3, 40).sort("day", "number"))
    with pytest.raises(MissingReference, match="no row for partition 2024-02-01"):
        source.read("2024-02-01")


@pytest.mark.parametrize("fingerprint", ["content", "count(*), sum(number), total(price)"])
def test_a_changed_row_changes_the_fingerprint_of_its_partition(database: Path, fingerprint: str) -> None:
    source: Any = spec({**RULE, "fingerprint": fingerprint}).load_source()
    before = source.partitions()
    assert source.partitions() == before
    execute(database, "update sales set price = 99 where day like '2024-03%' and number = 1")
    after = source.partitions()
    assert after["2024-01-01"] == before["2024-01-01"] and after["2024-03-01"] != before["2024-03-01"]


def test_an_expression_only_sees_what_it_says(database: Path) -> None:
    source: Any = spec({**RULE, "fingerprint": "max(number)"}).load_source()
    before = source.partitions()
    execute(database, "update sales set price = 99 where day like '2024-03%'")
    assert source.partitions() == before


def test_failures_are_one_line_without_the_address(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source: Any = spec({**RULE, "query": QUERY.replace("sales", "gone")}).load_source()
    with pytest.raises(PlatformError, match=r"database of SALES_URL refused .no such table: gone"):
        source.partitions()
    monkeypatch.setenv("SALES_URL", "nonsense://me:geheim@host/db")  # pragma: allowlist secret
    with pytest.raises(PlatformError, match="SALES_URL is no usable address") as error:
        source.partitions()
    assert "geheim" not in str(error.value)
    monkeypatch.delenv("SALES_URL")
    with pytest.raises(PlatformError, match="environment variable SALES_URL is not set"):
        source.partitions()


def test_a_query_without_bounds_is_refused() -> None:
    with pytest.raises(DeclarationError, match="needs the parameter :end"):
        spec({**RULE, "query": "select * from sales where day >= :start"}).load_source()


def test_without_partitions_it_is_one_query(database: Path) -> None:
    source: Any = spec({**RULE, "query": "select * from sales"}, partitions="none").load_source()
    before = source.partitions()
    assert list(before) == ["all"]
    assert_frame_equal(source.read("all"), pl.concat([sales(1, 5), sales(3, 40)]).sort("day", "number"))
    execute(database, "update sales set price = 99 where number = 1")
    assert source.partitions() != before
