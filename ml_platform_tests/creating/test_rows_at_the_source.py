"""``validate`` looks at a few rows of a folder: what does not fit them is told before a run, in seconds."""

import sys
import time
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest
import yaml

from ml_platform.declarations.loading import find_mistakes, find_weak
from ml_platform.foundation.project import Project
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import hourly, write


@pytest.fixture
def sales(mine: Mine) -> Mine:
    """A project with a dataset of one's own, which has nothing to warn of."""
    mine.new(mine.table(hourly().filter(pl.col("day") < date(2024, 1, 22)), "sales.csv"), "sold", every="week")
    assert (find_mistakes(Project.find())[0], find_weak(Project.find())) == ([], [])
    return mine


def table(mine: Mine) -> pl.DataFrame:
    return pl.read_csv(mine.root / "sales.csv", infer_schema=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.rename({"store_id": "storeid"}), "has no column 'store_id'; did you mean 'storeid'?"),
        (lambda frame: frame.with_columns(new=pl.lit("x")), "has a column 'new', which "),
        (
            lambda frame: frame.with_columns(
                temperature=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("mild")).otherwise("temperature")
            ),
            "column 'temperature' of its newest file holds 'mild' where ",
        ),
    ],
)
def test_a_file_that_is_not_as_declared_is_warned_of(
    sales: Mine, change: Callable[[pl.DataFrame], pl.DataFrame], reason: str
) -> None:
    write(change(table(sales)), sales.root / "sales.csv")
    assert find_mistakes(Project.find())[0] == [], "the declarations are right, wherever the data is"
    (line,) = find_weak(Project.find())
    assert "sales/defs.yaml:5: attributes.source: " in line and reason in line


def test_a_file_or_folder_that_is_not_there_is_warned_of(sales: Mine) -> None:
    (sales.root / "sales.csv").unlink()
    (line,) = find_weak(Project.find())
    assert line.endswith("attributes.source: there is no file sales.csv in . yet")
    declared = sales.defs / "sales" / "defs.yaml"
    declared.write_text(declared.read_text().replace("path: .", "path: nowhere"))
    (line,) = find_weak(Project.find())
    assert "attributes.source.path: " in line and "nowhere is no folder; create it or correct source.path" in line
    assert find_mistakes(Project.find())[0] == []


def test_a_column_of_another_kind_throughout_is_a_mistake_of_the_declaration(sales: Mine) -> None:
    write(table(sales).with_columns(pl.col("temperature") + " C"), sales.root / "sales.csv")
    (line,) = find_mistakes(Project.find())[0]
    assert "sales/schema.py:" in line and "column 'temperature' of its newest file holds" in line
    assert line.endswith("; correct the schema, or the file") and find_weak(Project.find()) == []


def test_code_that_fails_on_the_rows_alone_is_a_mistake_with_its_place(sales: Mine) -> None:
    code = sales.defs / "sales" / "features.py"
    # The schema allows hours up to 500, and made-up rows have others than the file.
    failing = """
        if (raw["hour"] == 7).any():
            raise ValueError("seven")
        return raw.with_columns"""
    code.write_text(code.read_text().replace("\n        return raw.with_columns", failing))
    del sys.modules[f"{sales.package}.defs.sales.features"]
    began = time.monotonic()
    (line,) = find_mistakes(Project.find())[0]
    assert time.monotonic() - began < 5
    assert "sales/features.py:" in line and line.endswith("rows() fails on rows of the source: ValueError: seven")


def test_outcomes_that_no_gate_looks_at_are_warned_of(sales: Mine) -> None:
    declared = sales.defs / "sales" / "defs.yaml"
    documents = [*yaml.safe_load_all(declared.read_text())]
    gates = documents[0]["attributes"]["gates"]
    looking = [gate for gate in gates if "sold" in (*gate.get("columns", ()), gate.get("against"))]
    assert any(gate["gate"] == "missing" for gate in looking)
    documents[0]["attributes"]["gates"] = [gate for gate in gates if gate not in looking]
    declared.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    (line,) = find_weak(Project.find())
    assert (
        "sales_sold/defs.yaml:" in line and "attributes.target: no gate looks at the outcomes of sales (sold)" in line
    )
    documents[0]["attributes"]["gates"] += [{"gate": "missing", "columns": ["sold"], "max": 0.5}]
    declared.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    assert find_weak(Project.find()) == []
