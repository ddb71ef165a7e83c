"""Outcomes beside what a model leads one to expect: told where they differ, and by no storm, chance or old habit."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml_platform.evaluation.calibration import Calibration
from ml_platform.evaluation.expectation import Expectation, Gap, Rows, table
from ml_platform.evaluation.student import quantile
from ml_platform.models.task import task_of

BINARY = task_of("binary", (), 0.5)
DAYS = 30


def rows(seed: int, *, days: int = DAYS, each: int = 200, shift: float = 0.0, storm: float = 0.0) -> Rows:
    """Rows whose outcomes come as predicted, but for days that are all a bit better or worse; a storm is on one day."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), each)
    p = random.beta(2, 5, len(day))
    weather = random.normal(0, 0.03, days) + storm * (np.arange(days) == 7)
    y = (random.random(len(day)) < p + weather[day] + shift).astype(float)
    place = random.choice(["north", "south", "east"], len(day), p=(0.45, 0.45, 0.1))
    start = date(2024, 1, 1) + timedelta(days=seed * 40)
    return Rows(pl.DataFrame({"place": place}), y, p, pl.Series([start + timedelta(days=int(one)) for one in day]))


def whole(found: Sequence[Gap]) -> Gap:
    (gap,) = [one for one in found if not one.column]
    return gap


EXPECTATION = Expectation(BINARY, rows(1, days=90), ("place",))


def test_outcomes_as_expected_are_within_their_interval() -> None:
    beyond = [whole(EXPECTATION.gaps(rows(seed))).beyond for seed in range(2, 42)]
    assert sum(one > 0 for one in beyond) <= 5, "an interval of 95 % leaves out few"
    assert max(beyond) < 0.05


def test_a_shift_of_all_is_beyond_it() -> None:
    gap = whole(EXPECTATION.gaps(rows(2, shift=0.1)))
    assert gap.lower > 0.05 and gap.outcome == pytest.approx(gap.expected + 0.1, abs=0.03)
    assert gap.beyond > 0.1 and gap.exceeds(0.1)
    assert "on average where" in gap.said


def test_a_storm_is_one_day_however_many_rows_it_has() -> None:
    assert not whole(EXPECTATION.gaps(rows(2, storm=0.7))).exceeds(0.0)
    by_rows = rows(2, storm=0.7)
    independent = by_rows._replace(clusters=pl.Series(range(len(by_rows.y))))
    alone = Expectation(BINARY, rows(1, days=90)._replace(clusters=pl.Series(range(90 * 200))))
    assert whole(alone.gaps(independent)).exceeds(0.0), "rows taken for independent raise the alarm"


def test_a_slice_is_compared_with_what_it_was_like_before() -> None:
    def biased(seed: int, shift: float = 0.0) -> Rows:
        found = rows(seed, each=400)
        north = (found.frame["place"] == "north").to_numpy()
        happened = np.random.default_rng(seed).random(len(north)) < 0.25 + shift
        return found._replace(y=np.where(north & happened, 1.0, found.y))

    expectation = Expectation(BINARY, biased(1), ("place",))
    same, other = expectation.gaps(biased(2)), expectation.gaps(biased(2, shift=0.6))
    assert {gap.value for gap in same if gap.column} == {"north", "south", "east"}
    assert not any(gap.exceeds(0.05) for gap in same), "the model never knew better of the north"
    assert [gap.value for gap in other if gap.exceeds(0.1) and gap.column] == ["north"]
    assert table("2024-02", other)[0]["of"] == "all rows" and table("2024-02", other)[1]["of"] == "place north"


def test_few_rows_and_unknown_slices_are_not_judged() -> None:
    few = rows(2, each=10)
    assert [gap.column for gap in EXPECTATION.gaps(few)] == [""]
    assert EXPECTATION.gaps(rows(2, days=1, each=50)) == []
    strange = few._replace(frame=few.frame.with_columns(place=pl.lit("west")))
    assert not [gap for gap in EXPECTATION.gaps(strange) if gap.column]


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (0.25, True)])
def test_a_partition_of_one_day_is_as_wide_as_days_were_on_the_reference(shift: float, told: bool) -> None:
    found = [whole(EXPECTATION.gaps(rows(seed, days=1, each=2000, shift=shift))) for seed in range(2, 12)]
    assert sum(gap.beyond > 0 for gap in found) >= 9 if told else sum(gap.beyond > 0 for gap in found) <= 1


def test_without_days_to_compare_nothing_is_said() -> None:
    one_day = Expectation(BINARY, rows(1, days=1, each=500))
    assert one_day.gaps(rows(2)) == []


def test_outputs_that_are_no_probabilities_are_calibrated_first() -> None:
    squared = rows(1, days=90)
    squared = squared._replace(p=squared.p**2)
    expectation = Expectation(BINARY, squared)
    again = rows(2)
    assert not whole(expectation.gaps(again._replace(p=again.p**2))).exceeds(0.05)
    calibration = Calibration(BINARY, squared.y, squared.p)
    assert calibration.of(squared.p).mean() == pytest.approx(squared.y.mean())


def test_of_several_classes_each_has_its_share() -> None:
    task = task_of("multiclass", ("a", "b", "c"))

    def classes(seed: int, more: float = 0.0) -> Rows:
        random = np.random.default_rng(seed)
        p = random.dirichlet((3, 2, 1), DAYS * 200)
        y = np.array([random.choice(3, p=one) for one in p], float)
        y = np.where(random.random(len(y)) < more, 2.0, y)
        return Rows(pl.DataFrame({"n": y}), y, p, pl.Series(np.repeat(np.arange(DAYS), 200)))

    expectation = Expectation(task, classes(1))
    assert not any(gap.exceeds(0.05) for gap in expectation.gaps(classes(2)))
    assert {gap.of for gap in expectation.gaps(classes(2, 0.3)) if gap.exceeds(0.1)} == {"a", "b", "c"}
    assert np.allclose(Calibration(task, classes(1).y, classes(1).p).of(classes(2).p).sum(axis=1), 1)


def test_of_values_the_mean_is_compared_in_the_unit_of_the_target() -> None:
    task = task_of("regression")

    def values(seed: int, minutes: float = 0.0) -> Rows:
        random = np.random.default_rng(seed)
        p = random.normal(0, 10, DAYS * 200)
        # The model has the right order and half the range.
        y = 2 * p + random.exponential(30, len(p)) + minutes
        return Rows(pl.DataFrame({"n": y}), y, p, pl.Series(np.repeat(np.arange(DAYS), 200)))

    expectation = Expectation(task, values(1))
    assert not whole(expectation.gaps(values(2))).exceeds(0.02)
    gap = whole(expectation.gaps(values(2, 10)))
    assert gap.exceeds(0.1) and gap.outcome - gap.expected == pytest.approx(10, abs=2)


@pytest.mark.parametrize(
    ("freedom", "share", "known"),
    [(1, 0.975, 12.706), (6, 0.95, 1.943), (6, 0.9995, 5.959), (19, 0.975, 2.093), (120, 0.9995, 3.373)],
)
def test_quantiles_are_those_of_the_tables(freedom: int, share: float, known: float) -> None:
    assert quantile(freedom, share) == pytest.approx(known, abs=0.0006)
