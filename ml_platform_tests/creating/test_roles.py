"""What part each column plays, what is asked, and what cannot be."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.creating.plan import plan_of
from ml_platform.creating.questions import MOST, Questions
from ml_platform.creating.roles import Roles, Wishes, roles_of
from ml_platform.creating.tables import read_table
from ml_platform.foundation.errors import PlatformError
from ml_platform_tests.creating.tables import hourly, trips, visits, write


def roles(folder: Path, frame: pl.DataFrame, target: str, ask: Any = None, **wishes: Any) -> Roles:
    """The roles of a table that came as CSV."""
    table = read_table(str(write(frame, folder / "t.csv")), folder)
    return roles_of(table, Wishes(target, **wishes), Questions(ask))


def test_trips(tmp_path: Path) -> None:
    found = roles(tmp_path, trips(2_000), "tipped")
    assert (found.task, found.positive, found.label) == ("binary", "yes", "tipped")
    assert (found.time, found.timestamp) == ("day", "Picked up at")
    assert found.frame["day"].equals(found.frame["Picked up at"].dt.date().alias("day"))
    assert (found.key, found.row_id) == (("Trip ID",), "")
    assert found.later == ("tip",)
    assert {name for name, column in found.columns.items() if column.personal} == {"Rider e-mail"}
    assert found.columns["Trip Distance (km)"].field == "trip_distance_km"


def test_a_table_without_key_gets_an_identity_and_is_told_so(tmp_path: Path) -> None:
    found = roles(tmp_path, hourly(500).drop("number"), "sold")
    assert (found.key, found.row_id, found.task) == (("row",), "row", "regression")
    assert any("no column identifies a row: the source adds 'row'" in note for note in found.notes)


def test_rows_that_came_twice_keep_their_identity(tmp_path: Path) -> None:
    frame = hourly(500)
    stray = pl.concat([frame, frame.tail(3)])
    found = roles(tmp_path, stray, "sold")
    assert (found.key, found.row_id) == (("number",), "")
    assert any("the key is 'number'; 3 rows are copies of others" in note for note in found.notes)
    codes = stray.with_columns(number=pl.format("ORD-{}", "number")).rename({"number": "Order"})
    assert roles(tmp_path, codes, "sold").key == ("Order",)
    with pytest.raises(PlatformError, match=r"50 rows are copies of others, in every column \(number 450 is one\)"):
        roles(tmp_path, pl.concat([frame, frame.tail(50)]), "sold")


def test_an_identity_that_some_rows_share_is_told(tmp_path: Path) -> None:
    frame = hourly(500).rename({"number": "order_id"})
    found = roles(tmp_path, pl.concat([frame, frame.tail(3).with_columns(pl.col("sold") + 1)]), "sold")
    assert found.row_id == "row"
    assert any("'order_id' nearly identifies a row, but 3 rows repeat one" in note for note in found.notes)


def test_a_target_that_is_called_as_python_calls_something_has_a_label_of_its_own(tmp_path: Path) -> None:
    for name, label in (("class", "class_"), ("Lambda", "lambda_"), ("index", "index"), ("type", "type")):
        found = roles(tmp_path, visits(60).rename({"plan": name}), name)
        assert (found.target, found.label) == (name, label)


def test_without_time(tmp_path: Path) -> None:
    found = roles(tmp_path, visits(60), "plan")
    assert (found.time, found.task, found.classes) == ("", "multiclass", ("basic", "gold", "silver"))
    assert any(note.startswith("there is no time") for note in found.notes)


def test_two_columns_are_a_key_and_what_lies_after_the_event_is_known_later(tmp_path: Path) -> None:
    frame = hourly(600).select("day", "hour", "temperature", "sold").unique(["day", "hour"], maintain_order=True)
    frame = frame.with_columns(store_id=pl.lit(7), shipped=pl.col("day") + pl.duration(days=pl.col("hour") % 3 + 1))
    more = pl.concat([frame, frame.with_columns(store_id=pl.lit(8))])
    found = roles(tmp_path, more.unique(["day", "store_id"], maintain_order=True), "sold")
    assert found.time == "day"
    assert found.key == ("store_id", "day")
    assert found.later == ("shipped",)
    assert any("'shipped' lies after 'day'" in note for note in found.notes)


def test_what_was_filled_in_afterwards_is_known_later_and_gaps_by_chance_are_not(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    survived = random.integers(0, 2, 800)
    frame = pl.DataFrame(
        {
            "_id": range(800),
            "passenger": range(1, 801),
            "age": [None if random.random() < 0.3 else int(one) for one in random.integers(1, 80, 800)],
            "boat": [str(random.integers(1, 16)) if one and random.random() < 0.97 else None for one in survived],
            "survived": survived.astype(float),
        }
    )
    found = roles(tmp_path, frame, "survived")
    assert (found.task, found.later, found.key) == ("binary", ("boat",), ("passenger",))
    assert any("'boat' (whether it is there: AUC" in note for note in found.notes)


def test_at_most_three_questions_and_their_answers_count(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str, guess: str) -> str:
        asked.append(question)
        return "n" if "Known only later" in question else guess

    frame = trips(1_000).with_columns(booked=pl.col("Picked up at").dt.offset_by("-2d"))
    found = roles(tmp_path, frame, "tipped", ask)
    assert len(asked) == 2 <= MOST
    assert "'tip' (AUC" in asked[1] and found.later == ("Picked up at",)
    assert found.timestamp == "booked", "what comes first"
    assert roles(tmp_path, frame, "tipped", lambda *_: "Picked up at").timestamp == "Picked up at"


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"target": "tips"}, "there is no column 'tips'; the table has Trip ID"),
        ({"target": "tipped", "time": "Zone"}, "--time: 'Zone' holds no dates in a form that is known"),
        ({"target": "tipped", "key": ("payment",)}, "--key: rows have no 'payment'"),
        ({"target": "tipped", "key": ("Zone",)}, "rows have a 'Zone' that another one has too"),
        ({"target": "tipped", "key": ("tip",), "known_later": ("tip",)}, "neither the target nor known later"),
        ({"target": "Zone"}, "is text with 120 values, and more than 20 classes"),
        ({"target": "Picked up at"}, "is a date"),
        ({"target": "same"}, "has one value only"),
        ({"target": "tipped", "key": ("_id",)}, "'_id' is a name that a request cannot carry"),
    ],
)
def test_wishes_that_cannot_be_fulfilled(tmp_path: Path, wishes: dict[str, Any], reason: str) -> None:
    target = wishes.pop("target")
    with pytest.raises(PlatformError) as told:
        roles(tmp_path, trips(800).with_columns(same=pl.lit(1), _id=pl.int_range(800)), target, **wishes)
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_too_few_rows_are_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="30 rows with a value of 'sold' are too few to learn from"):
        roles(tmp_path, hourly(30), "sold")


def grid(**columns: list[Any]) -> pl.DataFrame:
    """A row for each combination, with two measures and a number to predict."""
    frame = pl.DataFrame({"": [0]})
    for name, values in columns.items():
        frame = frame.join(pl.DataFrame({name: values}), how="cross")
    random = np.random.default_rng(8)
    return frame.drop("").with_columns(
        age=pl.Series(random.integers(18, 80, frame.height)),
        price=pl.Series(random.normal(30, 9, frame.height).round(1)),
        sold=pl.Series(random.normal(20, 5, frame.height).round(1)),
    )


DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
SHOPS = ["north", "south", "west", "east"]


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"day": DAYS, "store": SHOPS}, ("day", "store")),
        ({"store": SHOPS, "item": [f"item {n}" for n in range(8)], "day": DAYS}, ("store", "item", "day")),
        ({"store": SHOPS, "day": DAYS[:20], "hour": list(range(24))}, ("store", "day", "hour")),
        ({"customer": [f"c{n}" for n in range(40)], "product": [f"p{n}" for n in range(20)]}, ("customer", "product")),
        ({"Patient ID": list(range(900, 960)), "visit": list(range(1, 7))}, ("Patient ID", "visit")),
        # One row a day, and one an hour.
        ({"day": [DAYS[0] + timedelta(days=n) for n in range(120)]}, ("day",)),
        ({"at": [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(900)]}, ("at",)),
    ],
)
def test_columns_that_are_unique_together_beyond_chance_are_the_key(
    tmp_path: Path, columns: dict[str, list[Any]], key: tuple[str, ...]
) -> None:
    found = roles(tmp_path, grid(**columns), "sold")
    assert (found.key, found.row_id) == (key, "")
    shuffled = grid(**columns).sample(fraction=0.9, shuffle=True, seed=3)
    assert roles(tmp_path, shuffled, "sold").key == key, "rows may be missing, and stand in any order"


def test_columns_that_are_unique_together_by_chance_are_none(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    many = [f"v{n}" for n in range(3_000)]
    frame = pl.DataFrame(
        {
            "first": random.choice(many, 400),
            "second": random.choice(many, 400),
            "at": [datetime(2024, 1, 1) + timedelta(seconds=int(n)) for n in random.integers(0, 10**8, 400)],
            "sold": random.normal(size=400).round(3),
        }
    )
    assert frame.select("first", "second").n_unique() == frame.height == frame["at"].n_unique()
    assert roles(tmp_path, frame, "sold").row_id == "row"


def test_a_number_of_people_is_a_key_and_personal(tmp_path: Path) -> None:
    frame = hourly(400).rename({"number": "Patient ID"})
    found = roles(tmp_path, frame, "sold")
    assert found.key == ("Patient ID",) and found.columns["Patient ID"].personal == "its name"
    assert any("'Patient ID' is personal, by its name: marked pii" in note for note in found.notes)
    both = frame.with_columns(record=pl.format("R-{}", pl.int_range(pl.len())))
    assert roles(tmp_path, both, "sold").key == ("record",), "what names no person comes first"
    mails = hourly(400).with_columns(pl.format("m{}@example.org", "number").alias("e-mail")).drop("number")
    assert roles(tmp_path, mails, "sold").row_id == "row"


def test_of_many_wide_texts_fewer_values_get_a_feature_and_one_line_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    names = [f"t{number:02}" for number in range(40)]
    frame = pl.DataFrame({"id": range(600), "x": random.normal(size=600).round(3), "won": random.integers(0, 2, 600)})
    wide = frame.with_columns(pl.Series(name, random.choice([f"v{n}" for n in range(30)], 600)) for name in names)

    def planned(table: pl.DataFrame) -> tuple[dict[str, int], list[str]]:
        found = plan_of("t", roles(tmp_path, table, "won"), None, datetime(2030, 1, 1, tzinfo=UTC))
        return {one.column: len(one.values) for one in found.categories}, found.roles.notes

    sizes, notes = planned(wide)
    assert set(sizes) == set(names) and set(sizes.values()) == {5}
    (told,) = [note for note in notes if "most frequent of more than 12 values get a feature" in note]
    assert told.startswith("'t00', 't01',") and "and 30 more: the 5 most frequent" in told
    sizes, notes = planned(wide.select("id", "x", "won", "t00", "t01"))
    assert set(sizes.values()) == {12} and any("'t00', 't01': the 12 most frequent" in note for note in notes)
