import numpy as np
import polars as pl
import pytest

from ml_platform.evaluation.fairness import DISPARITIES, fairness


def rows(group: str, positives: tuple[int, int], negatives: tuple[int, int]) -> pl.DataFrame:
    """Rows of a group: selected and other ones of each class."""
    hits, misses = positives
    alarms, rest = negatives
    count = hits + misses + alarms + rest
    return pl.DataFrame(
        {
            "group": [group] * count,
            "label": [1.0] * (hits + misses) + [0.0] * (alarms + rest),
            "prediction": [0.9] * hits + [0.1] * misses + [0.9] * alarms + [0.1] * rest,
        }
    )


#: Selection rates .5 and .4, true positive rates .8 and .5, false positive rates .3 and .35.
FRAME = pl.concat([rows("a", (80, 20), (45, 105)), rows("b", (50, 50), (70, 130))])
DAYS = pl.Series(np.arange(FRAME.height) % 20)


def test_disparities_are_those_computed_by_hand() -> None:
    found = fairness(FRAME, "group", 0.5, DAYS, 10, 5, replicates=200)
    assert found.groups == ("a", "b") and found.too_small == () and found.support == 250
    expected = {
        "demographic_parity_difference": 0.1,
        "demographic_parity_ratio": 0.8,
        "equalized_odds_difference": 0.3,
        "equalized_odds_ratio": 0.5 / 0.8,
    }
    assert {name: one.value for name, one in found.disparities.items()} == pytest.approx(expected)
    for one in found.disparities.values():
        assert one.lower < one.value < one.upper


def test_they_are_those_of_every_group_by_its_rates() -> None:
    random = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "group": pl.Series(random.choice(["a", "b", "c", "d"], 4000)).replace("d", None),
            "label": (random.random(4000) < 0.3).astype(float),
            "prediction": random.random(4000),
        }
    )
    found = fairness(frame, "group", 0.4, pl.Series(np.arange(4000) % 30), 100, 20, replicates=100)
    chosen = frame.with_columns(pl.col("group").fill_null("(missing)"), selected=pl.col("prediction") >= 0.4)
    selection = [part["selected"].mean() for _, part in chosen.group_by("group")]
    true = [part.filter(pl.col("label") == 1)["selected"].mean() for _, part in chosen.group_by("group")]
    false = [part.filter(pl.col("label") == 0)["selected"].mean() for _, part in chosen.group_by("group")]

    def spread(values: list) -> tuple[float, float]:
        return max(values) - min(values), min(values) / max(values)

    values = {name: found.disparities[name].value for name in DISPARITIES}
    assert values["demographic_parity_difference"] == pytest.approx(spread(selection)[0])
    assert values["demographic_parity_ratio"] == pytest.approx(spread(selection)[1])
    assert values["equalized_odds_difference"] == pytest.approx(max(spread(true)[0], spread(false)[0]))
    assert values["equalized_odds_ratio"] == pytest.approx(min(spread(true)[1], spread(false)[1]))
    assert set(found.groups) == {"a", "b", "c", "(missing)"}


def test_small_groups_are_named_and_do_not_count() -> None:
    odd = rows("c", (4, 0), (0, 300))
    frame = pl.concat([FRAME, odd])
    days = pl.Series(np.arange(frame.height) % 20)
    found = fairness(frame, "group", 0.5, days, 10, 5, replicates=100)
    assert found.too_small == ("c",)
    assert found.disparities["demographic_parity_difference"].value == pytest.approx(0.1)
    alone = fairness(pl.concat([rows("a", (80, 20), (45, 105)), odd]), "group", 0.5, days[:554], 10, 5)
    assert alone.disparities == {} and alone.groups == ("a",)


def test_nobody_selected_is_parity() -> None:
    found = fairness(FRAME, "group", 0.95, DAYS, 10, 5, replicates=100)
    assert found.disparities["demographic_parity_difference"].value == 0
    assert found.disparities["demographic_parity_ratio"].value == 1
    assert found.disparities["equalized_odds_ratio"].value == 1


def test_days_that_differ_give_a_wider_interval_than_days_that_do_not() -> None:
    selected_days = pl.Series((FRAME["prediction"].to_numpy() > 0.5).astype(int) * 10 + np.arange(FRAME.height) % 10)

    def width(days: pl.Series) -> float:
        one = fairness(FRAME, "group", 0.5, days, 10, 5, replicates=500).disparities["demographic_parity_difference"]
        return one.upper - one.lower

    assert width(selected_days) != pytest.approx(width(DAYS), rel=0.05)
