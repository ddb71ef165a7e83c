"""The source with a second table, on the page about own data, does what is said of it."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from ml_platform.sources.source import Source
from ml_platform.testing.source import SourceContract
from ml_platform_tests.conftest import ROOT

PAGE = (ROOT / "docs" / "own.md").read_text()
PROJECT = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "own"\n'
ORDERS = "order_id,ordered,customer\n2,2024-01-20,7\n1,2024-01-03,7\n3,2024-01-30,8\n"


@pytest.fixture(name="orders")
def _orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As the page has it, in a project with orders of a month and customers."""
    (code,) = re.findall(r"<!-- second-table -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "own" / "defs").mkdir(parents=True)
    (tmp_path / "second_table.py").write_text(code)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "orders_2024-01-01.csv").write_text(ORDERS)
    (tmp_path / "incoming" / "customers.csv").write_text("customer,changed,city\n7,2023-05-01,Ulm\n7,2024-01-10,Bonn\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("second_table").source
    del sys.modules["second_table"]


class TestSecondTable(SourceContract):
    partitions: ClassVar[Any] = {"every": "month", "start": "2024-01-01"}

    @pytest.fixture
    def source(self, orders: Source) -> Source:
        return orders

    @pytest.fixture
    def change(self, tmp_path: Path) -> Callable[[], str] | None:
        """A customer is corrected."""

        def corrected() -> str:
            file = tmp_path / "incoming" / "customers.csv"
            file.write_text(file.read_text().replace("Ulm", "Mainz"))
            return "2024-01-01"

        return corrected


def test_a_row_has_what_was_known_then_and_stays_where_nothing_was(orders: Source) -> None:
    rows = orders.read("2024-01-01")
    assert rows["order_id"].to_list() == [1, 2, 3] and rows["ordered"][0] == date(2024, 1, 3)
    assert rows["city"].to_list() == ["Ulm", "Bonn", None]
    assert rows.schema["ordered"] == pl.Date
