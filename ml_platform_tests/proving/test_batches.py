"""Generated breaks of a batch: each changes what it says, and nothing that is no change is tried."""

import polars as pl
import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.proving import batches
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, MAY, MODEL, declared, new_project

KINDS = {
    "rows come twice",
    "the batch breaks off in the middle",
    "every second row is lost",
    "no rows",
    "the batch before arrives again (stale)",
    "rows of the batch before are mixed in",
    "outcomes belong to other rows",
    "a column is missing",
    "a column is empty",
    *(f"other unit: {unit}" for unit in batches.UNITS),
    "NaN values",
    "infinite values",
    "texts in another spelling",
    "two columns change places",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """April and May as they are."""
    return new_project(tmp_path_factory.mktemp("batches"))


@pytest.fixture
def context() -> ModelContext:
    """The shop."""
    return ModelContext.of(declared(), MODEL)


def test_every_kind_of_break_is_made_for_every_column_that_matters(source: Project, context: ModelContext) -> None:
    frame, before = source.batches.original(MAY), source.batches.original(APRIL)
    found = list(batches.batch_breaks(context, frame, before))
    assert {one.name for one in found} == KINDS
    missing = {one.case for one in found if one.name == "a column is missing"}
    outcomes = {"returned", "delivery_days"}
    assert missing == {*context.function.inputs} | outcomes
    keys = [(one.name, one.case) for one in found]
    assert len(keys) == len(set(keys))


def test_every_break_changes_the_batch_and_leaves_the_original(source: Project, context: ModelContext) -> None:
    frame, before = source.batches.original(MAY), source.batches.original(APRIL)
    untouched = frame.clone()
    for one in batches.batch_breaks(context, frame, before):
        changed = one.change(frame)
        assert changed.columns != frame.columns or not changed.equals(frame, null_equal=True), one
    assert frame.equals(untouched, null_equal=True)


def test_what_changes_nothing_is_no_break(source: Project, context: ModelContext) -> None:
    empty = batches.nulled(source.batches.original(MAY), "weight")
    found = batches.batch_breaks(context, empty, empty)
    cases = {(one.name, one.case) for one in found}
    assert ("a column is missing", "weight") in cases
    assert not {("a column is empty", "weight"), ("other unit: times 1000", "weight")} & cases
    assert "the batch before arrives again (stale)" not in {name for name, _ in cases}


def test_single_breaks_do_what_they_say() -> None:
    frame = pl.DataFrame(
        {"day": [3, 1, 2, 4], "a": [1, 2, None, 4], "b": [0.5, 1.5, 2.5, 3.5], "s": ["x", "Y", None, "z"]}
    )
    assert batches.sent_twice(frame, 2)["day"].to_list() == [3, 1, 2, 4, 3, 2]
    assert batches.first_half(frame, "day")["day"].to_list() == [1, 2]
    assert batches.every_second(frame)["day"].to_list() == [3, 2]
    assert batches.rescaled(frame, "a", 2.54, 0)["a"].to_list() == [3, 5, None, 10]
    assert batches.rescaled(frame, "b", 5 / 9, -160 / 9)["b"][0] == pytest.approx(-17.5)
    assert batches.swapped(frame, "day", "a")["a"].to_list() == [3, 1, 2, 4]
    assert batches.respelt(frame, "s")["s"].to_list() == ["x", "y", None, "z"]
    assert batches.respelt(batches.respelt(frame, "s"), "s")["s"].to_list() == ["X", "Y", None, "Z"]
    assert batches.nulled(frame, "a")["a"].null_count() == 4
    moved = batches.shuffled(frame, ["a", "b"])
    pairs = list(zip(frame["a"], frame["b"], strict=True))
    assert sorted(zip(moved["a"], moved["b"], strict=True), key=str) == sorted(pairs, key=str)
    assert moved["day"].equals(frame["day"])
    poisoned = batches.poisoned(frame, "b", float("nan"), 3)
    assert poisoned["b"].is_nan().to_list() == [True, False, False, True]
