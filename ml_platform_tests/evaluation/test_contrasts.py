"""Groups held against each other: what differs between groups is no weakness, what differs within one is."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml_platform.evaluation.contrasts import Contrast, Drawing, contrasts
from ml_platform.evaluation.options import MONTH, EvaluationOptions
from ml_platform.evaluation.slices import BY
from ml_platform.models.task import task_of
from ml_platform_tests.evaluation.fitted import SPLIT, measured

BINARY, VALUE = task_of("binary", (), 0.3), task_of("regression")
RATES = {"morning": -2.2, "noon": -1.0, "evening": 0.2}


def flights(rows: int = 9_000, days: int = 60, seed: int = 0) -> pl.DataFrame:
    """Labels and good predictions in three parts of the day, of very different rates, at two airports."""
    random = np.random.default_rng(seed)
    part = random.choice(list(RATES), rows)
    logit = np.array([RATES[name] for name in part]) + random.normal(0, 1, rows)
    p = 1 / (1 + np.exp(-logit))
    return pl.DataFrame(
        {
            "day": [date(2024, 1, 1) + timedelta(int(day)) for day in random.integers(0, days, rows)],
            "part": part,
            "origin": random.choice(["east", "west"], rows),
            "label": (random.random(rows) < p).astype(float),
            "prediction": p,
        }
    )


def spoilt(frame: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """The predictions of other rows, where the condition holds."""
    hit = frame.select(where.alias("hit"))["hit"].to_numpy()
    predictions = frame["prediction"].to_numpy().copy()
    predictions[hit] = np.random.default_rng(1).permutation(predictions[hit])
    return frame.with_columns(prediction=pl.Series(predictions))


def of(
    frame: pl.DataFrame, *columns: str, min_support: int = 100, metric: str = "auc"
) -> dict[str, dict[str, Contrast]]:
    """Table and group to the contrast."""
    by = {name: pl.col(name) for name in columns}
    found = contrasts(frame, by, BINARY, Drawing(frame["day"], min_support, 20, 200, 0))
    return {table: {one.group: one for one in metrics[metric]} for table, metrics in found.items()}


def test_groups_of_different_rates_are_no_worse_than_each_other() -> None:
    frame = flights()
    whole = BINARY.measure(frame["label"].to_numpy(), frame["prediction"].to_numpy())["auc"]
    found = of(frame, "part")["part"]
    # Against the whole every one of them looks weak, though none is.
    assert all(whole - one.value > 0.04 for one in found.values())
    assert all(one.lower < 0 < one.upper for one in found.values())
    assert set(found) == set(RATES) and sum(one.rows for one in found.values()) == frame.height


def test_a_group_with_the_predictions_of_other_rows_is_worse_beyond_chance() -> None:
    broken = spoilt(flights(), pl.col("part") == "noon")
    found = of(broken, "part")["part"]
    assert found["noon"].lower > 0.1 and found["noon"].value == pytest.approx(0.5, abs=0.05)
    assert found["noon"].worse == pytest.approx(found["noon"].others - found["noon"].value)
    assert found["morning"].upper < 0 and found["evening"].upper < 0


def test_a_weakness_in_two_columns_together_is_seen_there() -> None:
    broken = spoilt(flights(), (pl.col("part") == "noon") & (pl.col("origin") == "east"))
    found = of(broken, "part", "origin")
    pairs = found[f"part{BY}origin"]
    assert len(pairs) == 6 and max(pairs, key=lambda name: pairs[name].lower) == f"noon{BY}east"
    assert pairs[f"noon{BY}east"].lower > max(one.lower for one in found["origin"].values())


def test_few_rows_have_a_wide_interval_and_too_few_none() -> None:
    many, few = (of(flights(rows), "origin")["origin"]["east"] for rows in (9_000, 900))
    assert few.upper - few.lower > 2 * (many.upper - many.lower)
    assert of(flights(900), "origin", min_support=800) == {}
    assert of(flights(days=1), "origin") == {}


def test_the_others_are_a_mean_by_rows_and_a_loss_runs_the_other_way() -> None:
    frame = spoilt(flights(), pl.col("part") == "evening")
    found = of(frame, "part", metric="brier")["part"]
    rows, value = ({name: getattr(one, key) for name, one in found.items()} for key in ("rows", "value"))
    others = [name for name in RATES if name != "evening"]
    mean = sum(rows[name] * value[name] for name in others) / sum(rows[name] for name in others)
    assert found["evening"].others == pytest.approx(mean)
    assert found["evening"].worse == pytest.approx(value["evening"] - mean) and found["evening"].worse > 0


def test_an_evaluation_holds_those_that_are_asked_for() -> None:
    options = EvaluationOptions(
        threshold=0.3, slices=("carrier",), contrasts=("carrier", MONTH), min_support=100, min_positives=20
    )
    found, _ = measured(SPLIT, None, "binary", options)
    assert set(found.contrasts) == {"carrier", MONTH, f"carrier{BY}{MONTH}"}
    months = {row["group"]: row["auc"] for row in found.months}
    assert {one.group: one.value for one in found.contrasts[MONTH]["auc"]} == pytest.approx(months)
    regression, _ = measured(SPLIT, None, "regression", options.model_copy(update={"threshold": None}))
    assert set(regression.contrasts["carrier"]) == {"mae", "rmse"}
    assert measured(SPLIT)[0].contrasts == {}
