"""Sources keep the contract: files by name, and one of one's own."""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.opening import OwnSource
from ml_platform.sources.partitions import Partitions
from ml_platform.sources.source import Source
from ml_platform.testing.source import SourceContract
from ml_platform_tests.sources.example import sales, spec


def _two_months(folder: Path) -> None:
    for month in (1, 2):
        sales(month).write_parquet(folder / f"2024-0{month}.parquet")


class TestFolder(SourceContract):
    partitions = {"every": "month", "start": "2024-01-01"}  # noqa: RUF012
    time = "day"

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        _two_months(tmp_path)
        return spec({"kind": "folder", "path": str(tmp_path), "by": "name", "date_format": "%Y-%m"}).load_source()

    @pytest.fixture
    def change(self, tmp_path: Path) -> list[Callable[[], str]]:
        def put(rows: pl.DataFrame) -> str:
            rows.write_parquet(tmp_path / "2024-02.parquet")
            return "2024-02-01"

        return [lambda: put(sales(2)[1:]), lambda: put(sales(2)[1:].reverse()), lambda: put(sales(2, 4))]

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[], str]:
        def cut() -> str:
            file = tmp_path / "2024-02.parquet"
            file.write_bytes(file.read_bytes()[:-20])
            return "2024-02-01"

        return cut

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: shutil.rmtree(tmp_path)


class TestFiles(SourceContract):
    """By an address."""

    partitions = {"every": "month", "start": "2024-01-01"}  # noqa: RUF012
    time = "day"

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        _two_months(tmp_path)
        rule = {"kind": "fsspec", "url": f"{tmp_path.as_uri()}/*.parquet", "by": "name", "date_format": "%Y-%m"}
        return spec(rule).load_source()

    @pytest.fixture
    def change(self, tmp_path: Path) -> Callable[[], str]:
        def put() -> str:
            sales(2, 4).write_parquet(tmp_path / "2024-02.parquet")
            return "2024-02-01"

        return put

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[], str]:
        def cut() -> str:
            file = tmp_path / "2024-02.parquet"
            file.write_bytes(file.read_bytes()[:-20])
            return "2024-02-01"

        return cut


class TestQuery(SourceContract):
    """Of a database."""

    partitions = {"every": "month", "start": "2024-01-01"}  # noqa: RUF012
    time = "day"

    @pytest.fixture
    def database(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "sales.db"
        monkeypatch.setenv("SALES_URL", f"sqlite:///{path}")
        rows = [(str(row[0]), *row[1:]) for month in (1, 2) for row in sales(month).rows()]
        executed(path, "create table sales (day text, number integer, price real, paid integer, shop text)")
        executed(path, "insert into sales values (?, ?, ?, ?, ?)", rows)
        return path

    @pytest.fixture
    def source(self, database: Path) -> Source:
        query = "select * from sales where day >= :start and day < :end"
        return spec({"kind": "sql", "url_env": "SALES_URL", "query": query, "fingerprint": "content"}).load_source()

    @pytest.fixture
    def change(self, database: Path) -> Callable[[], str]:
        def update() -> str:
            executed(database, "update sales set price = 99 where day like '2024-02%' and number = 1")
            return "2024-02-01"

        return update

    @pytest.fixture
    def unreachable(self, database: Path) -> Callable[[], object]:
        return lambda: executed(database, "drop table sales")


def executed(path: Path, statement: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(statement, rows) if rows != ((),) else connection.execute(statement)
        connection.commit()


class TestFunction(SourceContract):
    """Asked for the rows of each partition."""

    partitions = {"every": "month", "start": "2024-01-01", "end": "2024-03-01"}  # noqa: RUF012
    time = "day"

    @pytest.fixture
    def source(self) -> Source:
        rule = {"kind": "function", "function": "ml_platform_tests.sources.example:between"}
        return spec(rule, partitions=self.partitions).load_source()


class Till:
    def partitions(self) -> dict[str, str]:
        return {"2024-01-01": "1"}

    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame({"day": [partition] * 2, "amount": {"2024-01-01": [3.0, 4.5]}[partition]})


class TestOneOfItsOwn(SourceContract):
    @pytest.fixture
    def source(self) -> Source:
        return Till()


class Odd(Till):
    """A source that returns what it likes."""

    def __init__(self, offered: Any, rows: Any = None) -> None:
        self.offered, self.rows = offered, rows

    def partitions(self) -> Any:
        return self.offered

    def read(self, partition: str) -> Any:
        return self.rows


@pytest.mark.parametrize(
    ("offered", "what"), [(None, "NoneType"), (["2024-01-01"], "list"), ({"2024-01-01": 1}, "a dict of other things")]
)
def test_a_source_of_ones_own_that_offers_no_partitions_is_told(offered: Any, what: str) -> None:
    source = OwnSource(
        "shop.source:source", Odd(offered), Partitions.model_validate({"every": "day", "start": "2024-01-01"})
    )
    with pytest.raises(PlatformError) as told:
        source.partitions()
    assert str(told.value).startswith(f"source: shop.source:source: partitions() returned {what}")
    assert str(told.value).endswith("both texts, and {} where there is none")
    with pytest.raises(PlatformError, match=r"read\('2024-01-01'\) returned NoneType, not a polars DataFrame"):
        source.read("2024-01-01")
