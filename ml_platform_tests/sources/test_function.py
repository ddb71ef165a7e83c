"""A Python function as a source."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.mistakes import problems
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform_tests.sources.example import sales, spec

WINDOW = {"every": "month", "start": "2024-01-01", "end": "2024-03-01"}


def declared(**rule: str) -> Any:
    named = {name: f"ml_platform_tests.sources.example:{item}" for name, item in rule.items()}
    return spec({"kind": "function", **named}, partitions=WINDOW).load_source()


def test_every_partition_is_asked_from_the_function() -> None:
    source = declared(function="between")
    offered = source.partitions()
    assert list(offered) == ["2024-01-01", "2024-02-01"] and len(set(offered.values())) == 2
    assert_frame_equal(source.read("2024-02-01"), sales(2))
    with pytest.raises(MissingReference, match="2024-03-01 has not ended or does not exist"):
        source.read("2024-03-01")
    assert declared(function="between", fingerprint="revision").partitions() != offered


def test_another_result_than_a_frame_is_refused() -> None:
    with pytest.raises(PlatformError, match="returned str, not a polars DataFrame"):
        declared(function="broken").read("2024-01-01")


def whole() -> pl.DataFrame:
    """A source of data without partitions."""
    return sales(1)


def test_without_partitions_it_is_called_without_days() -> None:
    source: Any = spec({"kind": "function", "function": f"{__name__}:whole"}, partitions="none").load_source()
    assert list(source.partitions()) == ["all"] and source.read("all").equals(sales(1))


def taken(start: date) -> pl.DataFrame:
    """A function that cannot be called with two days."""
    return sales(start.month)


#: Named like a source, and no function.
TABLE = 3


@pytest.mark.parametrize(
    ("rule", "partitions", "reason"),
    [
        ({"function": "betwen"}, WINDOW, "did you mean 'between'"),
        (
            {"function": "taken"},
            WINDOW,
            r"taken is called with start and end, and takes others .*; def taken\(start, end\)",
        ),
        ({"function": "between"}, "none", "called without arguments, since there are no partitions"),
        ({"function": "TABLE"}, WINDOW, "TABLE is a int; name a function"),
        ({"function": "between", "fingerprint": "whole"}, WINDOW, "source.fingerprint: .*whole is called with"),
    ],
)
def test_a_function_that_cannot_be_called_is_a_mistake(rule: dict[str, str], partitions: Any, reason: str) -> None:
    here = {"taken": __name__, "TABLE": __name__, "whole": __name__}
    named = {key: f"{here.get(name, 'ml_platform_tests.sources.example')}:{name}" for key, name in rule.items()}
    catalogue = Catalogue.of([spec({"kind": "function", **named}, partitions=partitions)])
    ((_, _key, said),) = [one for one in problems(catalogue) if one[1] == "source"]
    assert re.search(reason, said), said


def test_code_that_the_function_imports_counts_and_comments_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "orders_of_mine"
    package.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    (package / "__init__.py").write_text("")
    code = "from orders_of_mine.helper import RATE\n\n\ndef read(start, end):\n    return RATE\n"
    for name, text in (("batches", code), ("helper", "RATE = 1\n")):
        (package / f"{name}.py").write_text(text)
    source = spec({"kind": "function", "function": "orders_of_mine.batches:read"}, partitions=WINDOW).load_source()
    first = source.partitions()
    (package / "batches.py").write_text(f"# a comment\n{code}")
    assert source.partitions() == first
    (package / "helper.py").write_text("RATE = 22\n")
    changed = source.partitions()
    assert changed.keys() == first.keys() and not set(changed.values()) & set(first.values())
