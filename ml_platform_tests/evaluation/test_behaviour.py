"""Intervals, slices by two columns, disturbed features, explanations: on models of synthetic months."""

import numpy as np
import polars as pl
import pytest
import xgboost

from ml_platform.evaluation.evaluate import Evaluation
from ml_platform.evaluation.explanation import contributions, stability
from ml_platform.evaluation.robustness import robustness
from ml_platform.evaluation.slices import BY, two_way
from ml_platform.training.train import load_booster, matrix
from ml_platform_tests.evaluation.test_evaluate import OLDER, OPTIONS, SPLIT, fitted, measured
from ml_platform_tests.training.synthetic import NAMES, frames


def holdout() -> tuple[np.ndarray, np.ndarray]:
    known = pl.concat(frames(SPLIT.holdout)).drop_nulls("late")
    return matrix(known, NAMES), known["late"].cast(pl.Float64).to_numpy()


def test_an_evaluation_holds_them_and_one_without_still_loads() -> None:
    found, _ = measured(SPLIT, OLDER)
    interval = found.intervals["auc"]
    assert interval.lower < interval.value < interval.upper
    assert interval.value == pytest.approx(found.metrics["auc"]) and interval.worse == interval.lower
    assert found.intervals["brier"].worse == found.intervals["brier"].upper
    assert found.fairness["carrier"].groups == ("AA", "UA") and found.fairness["carrier"].too_small == ("ZZ",)
    assert found.stability is not None and found.stability.candidate[:2] == ("signal", "weak")
    assert found.model_bytes == len(load_booster(fitted(SPLIT)[1]).save_raw("ubj"))
    later = {"intervals", "slice_pairs", "fairness", "robustness", "contributions", "stability", "model_bytes"}
    older = Evaluation.model_validate(found.model_dump(exclude=later))
    assert older.fairness == {} and older.model_bytes is None and older.metrics == found.metrics


def test_a_regression_has_no_decisions() -> None:
    found, _ = measured(SPLIT, OLDER, "regression", OPTIONS.model_copy(update={"threshold": None}))
    assert found.fairness == {}
    assert found.intervals["mae"].worse > found.metrics["mae"]
    assert all(one.flipped is None and one.loss is not None for one in found.robustness)


def test_slices_by_two_columns_are_the_metrics_of_their_rows() -> None:
    _, predictions = measured(SPLIT)
    frame = predictions.with_columns(half=pl.when(pl.col("flight") % 2 == 0).then(pl.lit("even")))
    (name,), (rows,) = zip(*two_way(frame, ("carrier", "half"), "binary", 0.3, 100, 20).items(), strict=True)
    assert name == f"carrier{BY}half"
    found = {row["group"]: row for row in rows}
    assert set(found) == {f"{carrier}{BY}{half}" for carrier in ("AA", "UA") for half in ("even", "(missing)")}
    part = frame.filter((pl.col("carrier") == "UA") & pl.col("half").is_null())
    row = found[f"UA{BY}(missing)"]
    assert row["rows"] == part.height and row["base_rate"] == pytest.approx(part["label"].mean())


def test_the_feature_that_matters_is_the_one_whose_loss_hurts() -> None:
    x, y = holdout()
    booster = load_booster(fitted(SPLIT)[1])
    groups = {"both": ("signal", "weak")}
    found = robustness(booster, x, y, NAMES, groups, "binary", 0.3)
    missing = {one.name: one for one in found if one.kind == "missing"}
    assert set(missing) == {*NAMES, "both"}
    losses = {name: one.loss or 0 for name, one in missing.items()}
    assert losses["both"] > losses["signal"] > 0.1 > abs(losses["noise"])
    (noisy,) = (one for one in found if one.kind == "noise")
    assert noisy.flipped is not None and 0 < noisy.flipped < 0.2
    assert {one.name for one in found if one.kind == "extreme"} == set(NAMES)
    assert found == robustness(booster, x, y, NAMES, groups, "binary", 0.3)
    assert np.isfinite(x[:, 0]).all(), "the rows themselves stay as they are"


def test_contributions_are_those_of_treeshap() -> None:
    x, _ = holdout()
    booster = load_booster(fitted(SPLIT)[1])
    found = contributions(booster, x[:500], NAMES)
    assert next(iter(found)) == "signal" and list(found.values()) == sorted(found.values(), reverse=True)
    # SHAP values of a row add up to its distance from the bias, so that their sizes cannot add up to less.
    margin = booster.inplace_predict(x[:500], predict_type="margin")
    bias = booster.predict(xgboost.DMatrix(x[:1], feature_names=list(NAMES)), pred_contribs=True)[0, -1]
    assert float(np.abs(margin - bias).mean()) <= sum(found.values()) < 3 * float(np.abs(margin - bias).mean())


def test_stability_counts_the_champions_strongest_features() -> None:
    ours, theirs = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}, {"c": 3.0, "a": 2.0, "d": 1.0, "b": 0.0}
    assert stability(ours, theirs, top=2).overlap == 0.5
    assert stability(ours, theirs, top=2).candidate == ("a", "b")
    # A feature without any influence is not among the strongest.
    assert stability(ours, theirs).champion == ("c", "a", "d") and stability(ours, theirs).overlap == pytest.approx(
        2 / 3
    )
    assert stability(ours, {"a": 0.0}).overlap == 1
