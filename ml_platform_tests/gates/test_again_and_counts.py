"""Measures of the gates that hold a batch against its own counts, other days and outcomes, on small evidence."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.gates.verdict import Verdict
from ml_platform_tests.gates.batches import batch

RANDOM = np.random.default_rng(5)
PLACES, DAYS = 30, 20


def days(first: date) -> pl.DataFrame:
    """Each day the same thirty places, with values that no two days share; how many places there are comes along."""
    rows = PLACES * DAYS
    frame = pl.DataFrame(
        {
            "day": [first + timedelta(days=number // PLACES) for number in range(rows)],
            "place": [f"p{number % PLACES:02d}" for number in range(rows)],
            "input": RANDOM.normal(size=rows),
            "other": RANDOM.normal(size=rows).round(3),
        }
    )
    outcome = pl.col("other") * 10 + pl.Series(RANDOM.normal(size=rows))
    return frame.with_columns(outcome=outcome, there=pl.len().over("day").cast(pl.Int64))


BEFORE, NOW = days(date(2013, 2, 9)), days(date(2013, 3, 1))
#: From the same source, but long before: what came then may come again.
OLD = NOW.with_columns(pl.col("day") - timedelta(days=59))


def judged(gate: dict[str, Any], frame: pl.DataFrame = NOW, **evidence: Any) -> Verdict:
    months = {"2013-01-01": OLD, "2013-02-01": BEFORE}
    past = {
        "earlier_rows": {name: rows.height for name, rows in months.items()},
        "earlier": lambda names, columns: pl.concat(months[name].select(columns) for name in names),
    }
    return batch(gate, frame, **{**past, **evidence})


AGAIN = {"gate": "near_duplicates", "every": "day", "columns": ["place", "outcome"], "max": 0.1}


def moved(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    """Outcomes of the row that is so many days before, of the month before where there is none."""
    past = pl.concat([BEFORE, frame]).sort("place", "day").with_columns(pl.col("outcome").shift(number).over("place"))
    return past.filter(pl.col("day") >= date(2013, 3, 1))


@pytest.mark.parametrize("number", [1, 7])
def test_outcomes_of_days_before_give_themselves_away_on_the_first_days(number: int) -> None:
    assert judged(AGAIN).observed == 0, "what is older than a month does not count"
    found = judged(AGAIN, moved(NOW, number))
    assert (found.status, found.observed) == ("failed", 1.0)
    assert "30 of 30 rows of 2013-03-0" in found.reason and set(found.compared) == set()
    rows = {row["day"]: row["again"] for row in found.details["days"]}
    assert [day for day, again in rows.items() if again] == [f"2013-03-{day:02d}" for day in range(1, number + 1)]


def test_days_that_repeat_within_the_first_batch() -> None:
    tenth = pl.col("day") == date(2013, 3, 10)
    stuck = NOW.with_columns(outcome=pl.when(tenth).then(pl.col("outcome").shift(PLACES)).otherwise("outcome"))
    assert judged(AGAIN, earlier_rows={}).observed == 0
    assert judged(AGAIN, stuck, earlier_rows={}).observed == 1
    # The same with all but some columns.
    but_for = {"gate": "near_duplicates", "every": "day", "but_for": ["input", "other", "there"], "max": 0.1}
    assert judged(but_for, stuck, earlier_rows={}).observed == 1
    unknown = stuck.with_columns(outcome=pl.lit(None, pl.Float64))
    assert judged(AGAIN, unknown, earlier_rows={}).status == "not_enough_support"


def test_days_are_not_compared_otherwise() -> None:
    found = judged({**AGAIN, "columns": ["nothing"]})
    assert found.status == "errored" and "no column nothing" in found.reason
    assert judged(AGAIN, window=None).status == "errored"


COUNTS = {"gate": "counts", "by": ["day"], "columns": ["there"], "max": 0}


def test_a_row_that_is_lost_or_comes_again_is_missed_by_the_others() -> None:
    assert judged(COUNTS).observed == 0
    lost = judged(COUNTS, NOW[1:])
    assert lost.status == "failed" and lost.observed == pytest.approx(29 / 599)
    assert lost.details["groups"] == [{"day": "2013-03-01", "there": "***", "rows": 29}], "the schema knows no `there`"
    assert judged(COUNTS, pl.concat([NOW, NOW[:1]])).observed == pytest.approx(31 / 601)
    # What was set aside was delivered.
    assert judged(COUNTS, NOW[1:], set_aside=lambda: NOW[:1]).observed == 0
    assert judged(COUNTS, NOW.with_columns(there=pl.lit(None, pl.Int64))).observed == 1
    assert judged({**COUNTS, "by": ["nothing"]}).status == "errored"


ASSOCIATION = {"gate": "association", "columns": ["input"], "against": "outcome", "above": 0, "max": 0.3}


def test_an_outcome_inside_an_input_gives_itself_away() -> None:
    known = judged(ASSOCIATION)
    assert known.passed and known.observed is not None and abs(known.observed) < 0.3
    inside = NOW.with_columns(pl.col("input") + pl.col("outcome") / 10)
    found = judged(ASSOCIATION, inside)
    assert found.status == "failed" and "input has an information value of" in found.reason, found
    # What it always said is no news.
    assert judged({**ASSOCIATION, "columns": ["other"]}).passed
    assert judged({**ASSOCIATION, "reference": None}, earlier_rows={}).uncompared
    few = NOW.with_columns(outcome=pl.when(pl.col("outcome") < 0).then("outcome"))
    assert "100 of each are needed" in judged(ASSOCIATION, few).reason


def test_an_outcome_where_another_one_is_the_same_moves_with_its_meaning() -> None:
    """Of 5,000 rows each, so that a twentieth has enough."""
    months = {
        name: pl.DataFrame({"other": level + random.normal(size=20_000)}).with_columns(
            outcome=pl.col("other") * 10 + pl.Series(random.normal(size=20_000))
        )
        for name, level, random in (
            ("2013-02-01", 0.0, np.random.default_rng(1)), ("2013-03-01", 0.5, np.random.default_rng(2)),
        )
    }  # fmt: skip
    past = {
        "earlier_rows": {"2013-02-01": 20_000},
        "earlier": lambda _, columns: months["2013-02-01"].select(columns),
    }
    now = months["2013-03-01"]
    gate = {"gate": "distribution", "metric": "psi", "columns": ["outcome"], "max": 0.2}
    among = {**gate, "by": ["other"]}
    assert judged(gate, now, **past).status == "failed", "a season moves all of them"
    assert judged(among, now, **past).passed
    other = now.with_columns(outcome=pl.when(pl.col("outcome").is_between(5, 10)).then(5.0).otherwise("outcome"))
    found = judged(among, other, **past)
    assert found.status == "failed" and found.observed is not None and found.observed > 1, found


def test_an_outcome_of_text_counts_above_another_text() -> None:
    said = {"outcome": pl.when(pl.col("outcome") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))}
    past = {
        "earlier_rows": {"2013-02-01": BEFORE.height},
        "earlier": lambda _, columns: BEFORE.with_columns(**said).select(columns),
    }
    inside = NOW.with_columns(pl.col("input") + pl.col("outcome") / 10)
    gate = {**ASSOCIATION, "above": "no"}
    now, number = judged(gate, inside.with_columns(**said), **past), judged(ASSOCIATION, inside)
    assert now.status == number.status == "failed"
    assert judged(gate, NOW.with_columns(**said), **past).passed
    assert (
        "say a number" in judged(gate).reason and "not a number" in judged(ASSOCIATION, NOW.with_columns(**said)).reason
    )


OF_PLACES = {"gate": "coverage", "by": ["place"], "max": 0.5}


def test_slices_of_the_first_batch_are_held_against_its_first_half() -> None:
    many = pl.concat([NOW.with_columns(number=pl.lit(number)) for number in range(4)])
    late = pl.col("day") >= date(2013, 3, 12)
    place = pl.col("place") == "p07"
    gone = judged(OF_PLACES, many.filter(~late | ~place), earlier_rows={})
    assert gone.status == "failed" and gone.reason.endswith("by the first half of this first batch"), gone
    assert judged(OF_PLACES, many, earlier_rows={}).observed == 0
    # A half that has other days only is no slice.
    assert judged(OF_PLACES, many.filter(pl.col("day") < date(2013, 3, 14)), earlier_rows={}).uncompared

    change = {"gate": "labels", "metric": "change", "by": ["half"], "columns": ["late"], "max": 1}
    labelled = many.with_columns(half=pl.col("place") < "p15", late=(pl.col("number") == 0).cast(pl.Int64))
    turned = pl.when(late & pl.col("half")).then(1 - pl.col("late")).otherwise("late")
    assert judged(change, labelled, earlier_rows={}).passed
    found = judged(change, labelled.with_columns(late=turned), earlier_rows={})
    assert found.status == "failed" and "first half of this first batch" in found.reason, found
    all_turned = pl.when(pl.col("half")).then(1 - pl.col("late")).otherwise("late")
    assert judged(change, labelled.with_columns(late=all_turned), earlier_rows={}).passed, "nobody can tell"
