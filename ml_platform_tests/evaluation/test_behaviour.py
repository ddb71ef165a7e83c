"""Intervals, slices by two columns, disturbed features, explanations: on models of synthetic months."""

from typing import Literal

import numpy as np
import polars as pl
import pytest
import xgboost

from ml_platform.documents import summaries
from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.evaluation.explanation import beeswarm, contributions, stability
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.robustness import Unseen, _Comparison, robustness
from ml_platform.evaluation.search import directions, worst_case
from ml_platform.evaluation.slices import BY, two_way
from ml_platform.evaluation.tables import feature_drift
from ml_platform.features.build import matrix
from ml_platform.models import outputs
from ml_platform.models.predictor import Predictor
from ml_platform.models.task import task_of
from ml_platform.models.xgboost import XGBoost
from ml_platform_tests.evaluation.fitted import OLDER, OPTIONS, PARAMETERS, SPLIT, fitted, measured
from ml_platform_tests.training.synthetic import NAMES, fit, frames

BINARY = task_of("binary", (), 0.3)


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
    booster = fitted(SPLIT).predictor
    assert isinstance(booster, XGBoost) and found.model_bytes == len(booster.booster.save_raw("ubj"))
    later = {"intervals", "slice_pairs", "fairness", "robustness", "contributions", "stability", "model_bytes"}
    older = Evaluation.model_validate(found.model_dump(exclude=later))
    assert older.fairness == {} and older.model_bytes is None and older.metrics == found.metrics


def test_a_regression_has_no_decisions() -> None:
    found, _ = measured(SPLIT, OLDER, "regression", OPTIONS.model_copy(update={"threshold": None}))
    assert found.fairness == {}
    assert found.intervals["mae"].worse > found.metrics["mae"]
    assert all(one.flipped is None for one in found.robustness)
    assert all(one.loss is not None for one in found.robustness if one.kind != "worst_case")


def test_slices_by_two_columns_are_the_metrics_of_their_rows() -> None:
    _, predictions = measured(SPLIT)
    frame = predictions.with_columns(half=pl.when(pl.col("flight") % 2 == 0).then(pl.lit("even")))
    (name,), (rows,) = zip(*two_way(frame, ("carrier", "half"), BINARY, 100, 20).items(), strict=True)
    assert name == f"carrier{BY}half"
    found = {row["group"]: row for row in rows}
    assert set(found) == {f"{carrier}{BY}{half}" for carrier in ("AA", "UA") for half in ("even", "(missing)")}
    part = frame.filter((pl.col("carrier") == "UA") & pl.col("half").is_null())
    row = found[f"UA{BY}(missing)"]
    assert row["rows"] == part.height and row["base_rate"] == pytest.approx(part["label"].mean())


def test_the_feature_that_matters_is_the_one_whose_loss_hurts() -> None:
    x, y = holdout()
    booster = fitted(SPLIT).predictor
    options = EvaluationOptions(feature_groups={"both": ("signal", "weak")})
    found = robustness(booster, x, y, NAMES, BINARY, options)
    missing = {one.name: one for one in found if one.kind == "missing"}
    assert set(missing) == {*NAMES, "both"}
    losses = {name: one.loss or 0 for name, one in missing.items()}
    assert losses["both"] > losses["signal"] > 0.1 > abs(losses["noise"])
    (noisy,) = (one for one in found if one.kind == "noise")
    assert noisy.flipped is not None and 0 < noisy.flipped < 0.2
    assert {one.name for one in found if one.kind == "extreme"} == set(NAMES)
    assert found == robustness(booster, x, y, NAMES, BINARY, options)
    assert np.isfinite(x[:, 0]).all(), "the rows themselves stay as they are"


def test_the_worst_case_stays_in_its_box_and_is_worse_than_noise() -> None:
    x, y = holdout()
    booster = fitted(SPLIT).predictor
    rows, worst = worst_case(booster, x, NAMES, 0.3, 0.1, {"noise": 0.0, "weak": 0.05})
    spread = np.subtract(*np.nanquantile(x, [0.75, 0.25], axis=0))
    moved = np.abs(np.nan_to_num(worst - rows)).max(axis=0)
    assert (moved <= np.array([0.1 * spread[0], 0.05, 0, 0.1 * spread[3]]) + 1e-6).all()
    assert moved[2] == 0 < moved[0]
    np.testing.assert_array_equal(np.isnan(worst), np.isnan(rows))
    before, after = booster.predict(rows), booster.predict(worst)
    # Nothing moves away from the other decision.
    assert (np.where(before >= 0.3, after - before, before - after) <= 0).all()
    found = {one.kind: one for one in robustness(booster, x, y, NAMES, BINARY, EvaluationOptions())}
    assert (found["worst_case"].flipped or 0) > 2 * (found["noise"].flipped or 0)
    assert found["worst_case"].loss is None and found["worst_case"].rows == len(rows)


def test_a_model_that_hangs_on_details_is_flipped_more_often() -> None:
    x, _ = holdout()
    overgrown = fit(frames(SPLIT.train), "late", rounds=80, max_depth=10, min_child_weight=0, eta=0.5)

    def flips(booster: Predictor) -> float:
        rows, worst = worst_case(booster, x, NAMES, 0.3, 0.1, {})
        return outputs.flipped(booster.predict(rows), booster.predict(worst), 0.3) or 0.0

    assert flips(overgrown.predictor) > 2 * flips(fitted(SPLIT).predictor)


def test_unknown_values_are_compared_on_their_own_rows() -> None:
    x, y = holdout()
    lost = x[:200].copy()
    lost[:, 0] = np.nan
    unseen = Unseen(x[:200], y[:200], {"carrier": lost, "dest": x[:200]})
    found = robustness(fitted(SPLIT).predictor, x, y, NAMES, BINARY, EvaluationOptions(), unseen)
    carrier, dest = (one for one in found if one.kind == "unseen")
    assert (carrier.name, carrier.rows) == ("carrier", 200) and (carrier.loss or 0) > 0.1
    assert (dest.loss, dest.flipped, dest.mean_absolute_difference) == (0, 0, 0)


def test_directions_are_those_that_the_data_were_made_with() -> None:
    x, _ = holdout()
    found = directions(fitted(SPLIT).predictor, x, NAMES)
    assert found["signal"].falls < 0.05 < 0.95 < found["signal"].rises
    against = x.copy()
    against[:, 0] *= -1
    months = [frame.with_columns(-pl.col("signal")) for frame in frames(SPLIT.train)]
    turned = fit(months, "late", **PARAMETERS.model_dump())
    found = directions(turned.predictor, against, NAMES)
    assert found["signal"].rises < 0.05 < 0.95 < found["signal"].falls


def test_contributions_are_those_of_treeshap() -> None:
    x, _ = holdout()
    booster = fitted(SPLIT).predictor
    assert isinstance(booster, XGBoost)
    found = contributions(booster, x[:500], NAMES).by_feature
    assert next(iter(found)) == "signal" and list(found.values()) == sorted(found.values(), reverse=True)
    # SHAP values of a row add up to its distance from the bias, so that their sizes cannot add up to less.
    margin = booster.booster.inplace_predict(x[:500], predict_type="margin")
    bias = booster.booster.predict(xgboost.DMatrix(x[:1], feature_names=list(NAMES)), pred_contribs=True)[0, -1]
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


def test_influence_is_shared_as_far_as_it_lies_on_the_same_features() -> None:
    ours = {"a": 3.0, "b": 1.0}
    assert stability(ours, {"a": 30.0, "b": 10.0}).influence == pytest.approx(1), "models of another scale"
    assert stability(ours, {"a": 1.0, "b": 3.0}).influence == pytest.approx(0.5)
    assert stability(ours, {"c": 1.0}).influence == 0
    assert stability(ours, {"a": 0.0}).influence == 1


def test_a_swarm_shows_the_values_that_raise_a_prediction() -> None:
    x, _ = holdout()
    booster = fitted(SPLIT).predictor
    (first, *_) = beeswarm(booster, x, NAMES, contributions(booster, x, NAMES))
    assert first["feature"] == "signal"
    shap, value = np.array(first["shap"]), np.array(first["value"])
    # The outcome was made to rise with it.
    assert np.corrcoef(shap, value)[0, 1] > 0.9 and shap[value.argmin()] < 0 < shap[value.argmax()]
    gaps = next(
        row for row in beeswarm(booster, x, NAMES, contributions(booster, x, NAMES)) if row["feature"] == "gaps"
    )
    assert None in gaps["value"]


def test_shift_is_that_of_the_feature_that_moved() -> None:
    x, _ = holdout()
    moved = x.copy()
    moved[:, 1] += 1
    found = feature_drift(x, moved, NAMES)
    assert next(iter(found)) == "weak" and found["weak"] > 0.25
    assert all(value == 0 for name, value in found.items() if name != "weak")


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_every_plot_is_drawn_where_it_makes_sense(task: Literal["binary", "regression"]) -> None:
    found, _ = measured(SPLIT, None, task, OPTIONS)
    drawn = {name: getattr(summaries, name)(found) for name in ("beeswarm", "slices", "disparities", "shift")}
    assert {name for name, plot in drawn.items() if not plot} == ({"disparities"} if task == "regression" else set())
    assert all(plot.startswith("<svg") for plot in drawn.values() if plot)
    assert "signal" in drawn["beeswarm"] and "signal" in drawn["shift"] and "UA" in drawn["slices"]
    nothing = {"beeswarm": [], "slices": {}, "fairness": {}, "drift": {}}
    older = found.model_copy(update=nothing)
    assert not any(getattr(summaries, name)(older) for name in drawn)


class Noting:
    """A predictor that notes how many rows it was asked for."""

    def __init__(self, sound: Predictor) -> None:
        self.sound, self.asked, self.explained = sound, 0, 0
        self.width = sound.width

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        self.asked += len(matrix)
        return self.sound.predict(matrix)

    def contributions(self, matrix: np.ndarray) -> np.ndarray | None:
        self.explained += len(matrix)
        return self.sound.contributions(matrix)


def test_rows_that_stay_as_they_are_are_not_predicted_again() -> None:
    x, y = holdout()
    noting = Noting(fitted(SPLIT).predictor)
    same = _Comparison(noting, BINARY, x, y)  # type: ignore[arg-type]
    assert noting.asked == len(x)
    untouched = same("nothing", "noise", x.copy())
    assert noting.asked == len(x)
    assert (untouched.loss, untouched.flipped, untouched.mean_absolute_difference) == (0, 0, 0)
    moved = x.copy()
    moved[::7, 0] += 1
    found = same("a few", "noise", moved)
    assert noting.asked == len(x) + len(x[::7])
    after = noting.sound.predict(moved).astype(np.float64)
    assert found.mean_absolute_difference == np.abs(after - noting.sound.predict(x).astype(np.float64)).mean()


def test_shap_values_of_rows_that_were_explained_are_not_made_twice() -> None:
    x, _ = holdout()
    noting = Noting(fitted(SPLIT).predictor)
    strongest = contributions(noting, x, NAMES)  # type: ignore[arg-type]
    once = noting.explained
    drawn = beeswarm(noting, x, NAMES, strongest)  # type: ignore[arg-type]
    anew = beeswarm(noting, x, NAMES, strongest._replace(explained=None))  # type: ignore[arg-type]
    assert drawn == anew and once < noting.explained
    places = strongest.explained[0] if strongest.explained else ()
    swarm = np.arange(0, len(x), max(1, len(x) // 250))[:250]
    assert noting.explained == once + len(swarm) * (1 if np.isin(swarm, places).all() else 2)
