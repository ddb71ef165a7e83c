"""Sources keep the contract: files by name, and one of one's own."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.sources.source import Source
from ml_platform.testing.source import SourceContract
from ml_platform_tests.sources.example import sales, spec


class TestFolder(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        for month in (1, 2):
            sales(month).write_parquet(tmp_path / f"2024-0{month}.parquet")
        return spec({"kind": "folder", "path": str(tmp_path), "by": "name", "date_format": "%Y-%m"}).load_source()


class Till:
    def partitions(self) -> dict[str, str]:
        return {"2024-01-01": "1"}

    def read(self, partition: str) -> pl.DataFrame:
        return pl.DataFrame({"day": [partition], "amount": [3.0]})


class TestOneOfItsOwn(SourceContract):
    @pytest.fixture
    def source(self) -> Source:
        return Till()
