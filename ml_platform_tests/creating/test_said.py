"""What ``ml-platform new`` says of names, places and time."""

from pathlib import Path
from time import sleep

import polars as pl
import pytest

from ml_platform.cli.new import _lines
from ml_platform.creating.columns import plain
from ml_platform.creating.progress import telling
from ml_platform.creating.tables import read_table
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.project import NoProject, Project
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import visits


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Energy (kWh) used", "energy_kwh_used"),
        ("kWhUsed", "kwh_used"),
        ("Power MW", "power_mw"),
        ("fareAmount", "fare_amount"),
        ("customerID", "customer_id"),
        ("GDPGrowth", "gdp_growth"),
        ("distanceKm", "distance_km"),
        ("pH", "ph"),
        ("Fare Amount ($)", "fare_amount"),
        ("Zurück", "zuruck"),
    ],
)
def test_units_and_runs_of_capitals_are_words(name: str, field: str) -> None:
    assert plain(name) == field


def test_a_path_is_that_below_the_project_and_one_outside_is_told(mine: Mine, tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": [1.5, 2.5, 3.5]})
    inside = mine.table(frame, "data/some.csv")
    assert Path(inside).is_absolute()
    table = read_table(inside, mine.root)
    assert (table.source["path"], table.notes) == ("data", [])
    (outside := tmp_path / "elsewhere").mkdir()
    frame.write_csv(outside / "my sales.csv")
    table = read_table(str(outside / "my sales.csv"), mine.root)
    (note,) = table.notes
    assert table.source["path"] == str(outside)
    assert "outside of the project" in note and "path: $MY_SALES_FOLDER into the source in defs.yaml" in note


def test_what_is_empty_says_what_to_do(mine: Mine, tmp_path: Path) -> None:
    (mine.root / "data").mkdir()
    with pytest.raises(PlatformError, match="put one there, and run ml-platform new again"):
        read_table(str(mine.root / "data"), mine.root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoProject, match="`uvx create-dagster@latest project NAME` makes a new one"):
        Project.find(tmp_path / "empty")


def test_a_step_that_takes_long_is_told_as_long_as_it_does() -> None:
    said: list[str] = []
    with telling(said.append, "looking at 300 columns", pause=0.02) as at:
        sleep(0.1)
        assert said[0].endswith(" s so far")
        at("month 2 of 12")
        sleep(0.1)
    assert said[-1].endswith(" s so far, month 2 of 12")
    count = len(said)
    assert count >= 2 and all(line.startswith("looking at 300 columns: ") for line in said)
    sleep(0.1)
    assert len(said) == count


def test_what_was_added_to_files_that_were_there_is_told(mine: Mine) -> None:
    made = mine.new(mine.table(visits()), "plan")
    lines = _lines(made)
    assert "added to pyproject.toml: [tool.pytest.ini_options] with pythonpath, so that pytest finds the code" in lines
    assert not [line for line in lines if line.startswith("wrote pyproject.toml")]
