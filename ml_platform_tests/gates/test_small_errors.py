"""Measures of the gates that look at days, slices and rows one by one, on small evidence."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from ml_platform.gates.gate import Verdict
from ml_platform.gates.verdict import uncompared
from ml_platform_tests.gates.batches import batch

MARCH = (date(2013, 3, 1), date(2013, 4, 1))


def month(first: date, end: date, rows: int = 200) -> pl.DataFrame:
    """So many rows each day of two slices; a quarter of them is positive, and each tenth is not known yet."""
    days = pl.DataFrame({"day": pl.date_range(first, end, "1d", closed="left", eager=True)})
    row = pl.int_range(rows, eager=True).alias("row").to_frame()
    return days.join(row, how="cross").with_columns(
        place=pl.when(pl.col("row") % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b")),
        label=pl.when(pl.col("row") % 10 != 9).then((pl.col("row") // 2 % 4 == 0).cast(pl.Int64)),
        length=pl.when(pl.col("row") % 2 == 0).then(100.0).otherwise(300.0),
    )


BEFORE, NOW = month(date(2013, 2, 1), date(2013, 3, 1)), month(*MARCH)


def judged(gate: dict[str, Any], frame: pl.DataFrame = NOW, **evidence: Any) -> Verdict:
    return batch(gate, frame, **{"earlier": lambda _, columns: BEFORE.select(columns), "window": MARCH, **evidence})


COVERAGE = {"gate": "coverage", "every": "day", "max": 0.5}


@pytest.mark.parametrize(
    ("frame", "deviation"),
    [
        (NOW, 0.0),
        (NOW.filter(pl.col("day") != date(2013, 3, 31)), 1.0),
        (pl.concat([NOW, NOW.filter(pl.col("day") == date(2013, 3, 5))]), 1.0),
        (NOW.filter((pl.col("day") != date(2013, 3, 5)) | (pl.col("row") >= 50)), 0.25),
    ],
    ids=["whole", "a day is missing", "a day came twice", "a quarter of a day is missing"],
)
def test_gaps_and_surplus_of_days(frame: pl.DataFrame, deviation: float) -> None:
    assert judged(COVERAGE, frame).observed == pytest.approx(deviation)


def test_days_that_have_not_come_are_no_gap() -> None:
    half = NOW.filter(pl.col("day") < date(2013, 3, 16))
    assert judged(COVERAGE, half, now=datetime(2013, 3, 16, 12, tzinfo=UTC)).observed == 0
    assert judged(COVERAGE, half).observed == 1


def test_the_first_batch_is_compared_with_itself() -> None:
    gap = NOW.filter(pl.col("day") != date(2013, 3, 5))
    assert judged(COVERAGE, gap, earlier_rows={}).observed == 1
    assert judged(COVERAGE, earlier_rows={}).observed == 0


def test_few_rows_a_day_are_not_judged_but_for_their_surplus() -> None:
    few = NOW.filter(pl.col("row") < 3)
    assert judged(COVERAGE, few, earlier_rows={}).status == "not_enough_support"
    flood = pl.concat([few, NOW.filter(pl.col("day") == date(2013, 3, 5))])
    assert judged(COVERAGE, flood, earlier_rows={}).status == "failed"


def test_hours_need_a_time_of_day() -> None:
    hourly = {"gate": "coverage", "every": "hour", "columns": ["at"], "max": 0.5}
    assert judged({**hourly, "columns": ["day"]}).status == "errored"

    def timed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(at=pl.col("day").cast(pl.Datetime) + pl.duration(hours=pl.col("row") % 4))

    past = {"earlier": lambda _, columns: timed(BEFORE).select(columns)}
    assert judged(hourly, timed(NOW), **past).observed == 0
    lost = timed(NOW).filter(pl.col("at") != datetime(2013, 3, 5, 2))
    found = judged(hourly, lost, **past)
    assert found.observed == 1 and "2013-03-05 2:00 has 0 rows" in found.reason


def label(metric: str, **keys: Any) -> dict[str, Any]:
    limit = {"min": 0.1} if metric in ("known", "lowest_rate") else {"max": 1.0}
    return {"gate": "labels", "metric": metric, "columns": ["label"], **limit, **keys}


def test_shares_and_rates_of_labels_by_day_and_slice() -> None:
    last = pl.col("day") == date(2013, 3, 31)
    lost = NOW.with_columns(pl.when(~last).then("label"))
    zero = NOW.with_columns(pl.when(last).then(pl.col("label") * 0).otherwise("label"))
    assert judged(label("known", every="day")).observed == pytest.approx(0.9)
    assert judged(label("known", every="day"), lost).observed == 0
    assert judged(label("lowest_rate", every="day"), zero).observed == 0
    assert judged(label("lowest_rate", by=["place"]), zero).passed
    assert judged(label("highest_rate", by=["place"], above=-1)).observed == 1


def test_a_slice_that_turned_round_is_seen_and_a_month_that_is_bad_for_all_is_not() -> None:
    turned = NOW.with_columns(
        pl.when(pl.col("place") == "a").then(1 - pl.col("label")).otherwise("label").alias("label")
    )
    bad = NOW.with_columns(pl.when(pl.col("row") // 2 % 4 == 1).then(pl.col("label") * 0 + 1).otherwise("label"))
    change = label("change", by=["place"])
    assert judged(change).observed == pytest.approx(0, abs=1e-2)
    assert judged(change, bad).passed
    assert judged(change, turned).status == "failed"
    assert judged(change, turned, earlier_rows={}).passed, "there is nothing to compare with"


@pytest.mark.parametrize(
    "gate",
    [
        {**label("lowest_rate", every="day"), "columns": ["length"]},
        {**label("known", every="day"), "columns": ["nothing"]},
    ],
)
def test_labels_that_cannot_be_measured_are_errors(gate: dict[str, Any]) -> None:
    assert judged(gate).status == "errored"


def test_a_slice_in_another_unit_moves() -> None:
    gate = {"gate": "distribution", "metric": "psi", "columns": ["row"], "by": ["place"], "max": 0.25}
    assert judged(gate).observed == 0
    other = NOW.with_columns(row=pl.when(pl.col("place") == "a").then(pl.col("row") * 1.6).otherwise("row"))
    found = judged(gate, other)
    assert found.status == "failed" and "row where a has moved most" in found.reason


def test_a_profile_knows_the_hour_and_not_the_season() -> None:
    gate = {"gate": "distribution", "metric": "profile", "columns": ["heat"], "by": ["hour"], "max": 0.1}

    def heated(frame: pl.DataFrame, season: float, late: int = 0) -> pl.DataFrame:
        hour = pl.col("row") % 8
        return frame.with_columns(hour=hour, heat=season - (((hour - late) % 8) - 4.0) ** 2)

    past = {"earlier": lambda _, columns: heated(BEFORE, 10).select(columns)}
    assert judged(gate, heated(NOW, 60), **past).observed == pytest.approx(0)
    assert judged(gate, heated(NOW, 10, late=2), **past).status == "failed"


def test_a_dependency_holds_over_earlier_batches_too() -> None:
    gate = {"gate": "dependency", "by": ["place"], "columns": ["length"], "max": 0.01}
    assert judged(gate).observed == 0
    assert judged(gate, NOW.with_columns(pl.col("length") * 1.005)).passed
    assert judged(gate, NOW.with_columns(pl.col("length") * 1.6)).status == "failed"
    words = {**gate, "columns": ["place"], "by": ["length"]}
    assert judged(words).observed == 0
    assert judged(words, NOW.with_columns(place=pl.lit("c"))).status == "failed"


def test_a_dependency_around_zero_is_a_number_too() -> None:
    gate = {"gate": "dependency", "by": ["place"], "columns": ["length"], "max": 0.01}
    dry = NOW.with_columns(length=pl.lit(0.0))
    past = {"earlier": lambda _, columns: BEFORE.with_columns(length=pl.lit(0.0)).select(columns)}
    assert judged(gate, dry, **past).observed == 0
    wet = dry.with_columns(length=pl.when(pl.int_range(pl.len()) == 0).then(0.3).otherwise(0.0))
    found = judged(gate, wet, **past)
    assert found.status == "failed" and found.observed == 1 and "length is 0.0 to 0.3" in found.reason


def test_the_age_of_observations() -> None:
    gate = {"gate": "observation_age", "columns": ["at", "seen"], "max": 3}
    at = pl.col("day").cast(pl.Datetime)

    def seen(hours: float) -> pl.DataFrame:
        return NOW.with_columns(at=at, seen=at - timedelta(hours=hours))

    assert judged(gate, seen(2)).observed == 2
    assert judged(gate, seen(4)).status == "failed"
    ahead = judged(gate, seen(-1))
    assert ahead.status == "failed" and "from after the event" in ahead.reason
    assert judged({**gate, "columns": ["at", "day"]}, seen(2)).status == "errored"


def third(frame: pl.DataFrame) -> pl.DataFrame:
    """With a third slice, as large as the others."""
    return pl.concat([frame, frame.filter(pl.col("place") == "a").with_columns(place=pl.lit("c"))])


THREE = third(NOW)
OF_SLICES = {"gate": "coverage", "by": ["place"], "max": 0.5}
#: As many batches as tell what is usual.
FOUR = {f"2012-{month}-01": BEFORE.height for month in (9, 10, 11, 12)}


@pytest.mark.parametrize(
    ("frame", "deviation", "reason"),
    [
        (THREE, 0.0, ""),
        (
            THREE.filter((pl.col("place") != "a") | (pl.col("row") % 4 == 0)),
            0.5,
            "place a has 1550 rows, 3100 are usual",
        ),
        (THREE.filter(pl.col("place") != "b"), 1.0, "usual"),
        (pl.concat([THREE, THREE.filter(pl.col("place") == "a")]), 1.0, "place a has 6200 rows, 3100 are usual"),
        (THREE.with_columns(pl.col("place").replace("b", "d")), 31.0, "place d has 3100 rows, 0 are usual"),
    ],
    ids=["whole", "half of a slice is missing", "a slice is missing", "a slice came twice", "another slice"],
)
def test_slices_that_vanish_come_twice_or_are_new(frame: pl.DataFrame, deviation: float, reason: str) -> None:
    found = judged(OF_SLICES, frame, earlier_rows=FOUR, earlier=lambda _, columns: third(BEFORE).select(columns))
    assert found.observed == pytest.approx(deviation) and reason in found.reason
    assert found.passed == (deviation <= 0.5)


def test_few_rows_more_are_no_surplus_and_a_slice_of_every_other_month_is_usual() -> None:
    few = pl.concat([NOW, NOW.head(10).with_columns(place=pl.lit("c"))])
    assert judged(OF_SLICES, few, earlier_rows=FOUR).observed == pytest.approx(0.1)
    assert (
        judged(
            {**OF_SLICES, "by": ["row"]},
            few.with_columns(row=1),
            earlier=lambda _, columns: BEFORE.with_columns(row=1).select(columns),
        ).observed
        == 0
    )
    months = {
        "2013-01-01": BEFORE,
        "2013-02-01": pl.concat([BEFORE, BEFORE.with_columns(place=pl.lit("c"))]),
        "2013-03-01": BEFORE,
    }
    past = {
        "earlier_rows": {name: frame.height for name, frame in months.items()},
        "earlier": lambda names, columns: pl.concat(months[name].select(columns) for name in names),
    }
    assert judged(OF_SLICES, pl.concat([NOW, NOW.with_columns(place=pl.lit("c"))]), **past).status == "failed"
    assert judged(OF_SLICES, **past).passed


@pytest.mark.parametrize(("batches", "held"), [(1, False), (2, False), (3, True), (4, True)])
def test_few_batches_do_not_tell_what_is_usual_of_a_small_slice(batches: int, held: bool) -> None:
    """One with 30 rows may be gone behind one batch or two; one with thousands never."""
    small = pl.concat([BEFORE, BEFORE.head(30).with_columns(place=pl.lit("c"))])
    past = {
        "earlier_rows": dict(list(FOUR.items())[:batches]),
        "earlier": lambda _, columns: small.select(columns),
    }
    assert (judged(OF_SLICES, NOW, **past).status == "failed") == held
    assert judged(OF_SLICES, NOW.filter(pl.col("place") != "a"), **past).status == "failed"


def test_the_slices_of_a_short_first_batch_have_nothing_to_compare_with() -> None:
    found = judged(OF_SLICES, NOW.filter(pl.col("day") < date(2013, 3, 14)), earlier_rows={})
    assert found.passed and found.uncompared
    assert uncompared([found, judged(COVERAGE)]) == "1 of 2 gates had nothing to compare with: coverage"
    assert uncompared([judged(OF_SLICES)]) == ""


def test_one_aeroplane_at_one_instant_whatever_else_differs() -> None:
    gate = {"gate": "near_duplicates", "columns": ["day", "row"], "max": 0.0}
    assert judged(gate).observed == 0
    again = pl.concat([NOW, NOW.head(62).with_columns(length=pl.col("length") + 1)])
    assert judged(gate, again).observed == pytest.approx(62 / again.height)
    assert judged(gate, again.with_columns(row=pl.lit(None, pl.Int64))).passed, "nobody knows which they are"


def test_a_relation_of_outcomes_is_gone() -> None:
    gate = {"gate": "distribution", "metric": "correlation", "columns": ["row", "late"], "max": 0.05}

    def related(frame: pl.DataFrame, season: int = 0) -> pl.DataFrame:
        return frame.with_columns(late=pl.col("row") * 2 + season + pl.col("row") % 7 * 10)

    past = {"earlier": lambda _, columns: related(BEFORE).select(columns)}
    assert judged(gate, related(NOW, 50), **past).observed == pytest.approx(0)
    turned = related(NOW).with_columns(
        late=pl.when(pl.col("row") % 5 == 0).then(400 - pl.col("late")).otherwise("late")
    )
    found = judged(gate, turned, **past)
    assert found.status == "failed" and "the correlation of row and late is" in found.reason
    assert judged(gate, related(NOW).with_columns(late=pl.lit(1)), **past).status == "errored"
    assert judged(gate, related(NOW), earlier_rows={}).uncompared


def test_a_tail_that_is_cut_lies_beyond_every_month_before() -> None:
    gate = {"gate": "distribution", "metric": "tails", "columns": ["late"], "max": 0.5}

    def tailed(frame: pl.DataFrame, factor: float = 1.0) -> pl.DataFrame:
        return frame.with_columns(late=(pl.col("row") / 200) ** 4 * 300 * factor)

    months = {name: tailed(BEFORE, factor) for name, factor in (("2013-01-01", 1.0), ("2013-02-01", 1.5))}
    past = {
        "earlier_rows": dict.fromkeys(months, BEFORE.height),
        "earlier": lambda names, columns: pl.concat(months[name].select(columns) for name in names),
    }
    for factor in (1.0, 1.25, 1.5):
        assert judged(gate, tailed(NOW, factor), **past).observed == 0, "between what was there before"
    assert judged(gate, tailed(NOW).with_columns(pl.col("late").clip(upper_bound=120)), **past).status == "failed"
    assert judged(gate, tailed(NOW, 3.0), **past).status == "failed"
    assert judged({**gate, "columns": ["place"]}, **past).status == "errored"


def test_few_batches_do_not_tell_how_far_a_tail_reaches() -> None:
    gate = {"gate": "distribution", "metric": "tails", "columns": ["row"], "max": 0.5}
    found = [
        judged(gate, NOW.with_columns(pl.col("row") * 1.5), earlier_rows=dict(list(FOUR.items())[:batches]))
        for batches in (1, 2, 4)
    ]
    assert [one.observed for one in found[:2]] == pytest.approx([found[2].observed / 4, found[2].observed / 2])  # type: ignore[operator]
    assert "1 earlier batches, so few that it counts by 25%" in found[0].reason and found[2].reason.endswith("batches")


CORRECTION = {"gate": "correction", "max": 0.05}


TENTH = pl.col("row") % 10 == 0


def replacing(frame: pl.DataFrame, gate: dict[str, Any] = CORRECTION) -> Verdict:
    rows = ("day", "row")
    return judged(gate, frame, key=rows, replaced=lambda: ("b" * 64, NOW))


@pytest.mark.parametrize(
    ("frame", "share", "reason"),
    [
        (NOW, 0.0, ""),
        (NOW.with_columns(pl.col("label").fill_null(1)), 0.0, ""),
        (NOW.with_columns(label=pl.when(TENTH).then(1 - pl.col("label")).otherwise("label")), 0.1, "label 10.00%"),
        (NOW.with_columns(label=pl.when(~TENTH).then("label")), 0.1, "label 10.00%"),
        (NOW.filter(pl.col("row") >= 20), 0.1, "rows that are gone 10.00%"),
        (pl.concat([NOW, NOW.with_columns(pl.col("row") + 200)]), 0.5, "rows that are new 50.00%"),
        (NOW.drop("length"), 1.0, "length float"),
    ],
    ids=["the same", "what was not known", "other labels", "labels that are lost", "rows gone", "rows new", "a column"],
)  # fmt: skip
def test_a_correction_is_compared_with_what_it_replaces(frame: pl.DataFrame, share: float, reason: str) -> None:
    found = replacing(frame)
    assert found.observed == pytest.approx(share, abs=1e-3) and reason.lower() in found.reason.lower()
    assert found.passed == (share <= 0.05) and found.compared["replaced"] == "b" * 64


def test_a_correction_of_some_columns() -> None:
    longer = NOW.with_columns(pl.col("length") + 1)
    assert replacing(longer).observed == 1
    assert replacing(longer, {**CORRECTION, "columns": ["label"]}).observed == 0
    assert replacing(longer, {**CORRECTION, "columns": ["nothing"]}).status == "errored"


def test_the_first_delivery_replaces_nothing() -> None:
    found = judged(CORRECTION)
    assert found.observed == 0 and "replaced" not in found.compared


def test_personal_values_are_in_no_verdict() -> None:
    """``row`` is not in the schema: nobody has said that it may be shown."""
    past = {"earlier": lambda _, columns: BEFORE.select(columns)}
    for gate in (
        {"gate": "dependency", "by": ["row"], "columns": ["length"], "max": 0},
        {"gate": "coverage", "by": ["row"], "max": 0},
        {"gate": "labels", "metric": "highest_rate", "by": ["row"], "columns": ["label"], "max": 1},
        {"gate": "near_duplicates", "columns": ["row"], "max": 0},
    ):
        found = judged(gate, pl.concat([NOW, *[NOW] * 4]), **past)
        assert found.status in ("passed", "failed") and "***" in f"{found.reason} {found.details}", found
        assert not any(isinstance(row.get("row"), int) for rows in found.details.values() for row in rows), found
