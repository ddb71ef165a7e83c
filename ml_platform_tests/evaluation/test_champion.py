from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from ml_platform.evaluation.bootstrap import draws, weighted
from ml_platform.evaluation.champion import compare, unseen
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.task import task_of
from ml_platform_tests.training.synthetic import month_frame, split_ref

BINARY, VALUE = task_of("binary", (), 0.5), task_of("regression")
NAIVE = {
    "auc": roc_auc_score,
    "pr_auc": average_precision_score,
    "brier": lambda y, p: np.mean((y - p) ** 2),
    "log_loss": log_loss,
    "mae": lambda y, p: np.mean(np.abs(y - p)),
    "rmse": lambda y, p: np.sqrt(np.mean((y - p) ** 2)),
    "r2": lambda y, p: 1 - np.mean((y - p) ** 2) / np.var(y),
}

TASKS = {name: VALUE if name in ("mae", "rmse", "r2") else BINARY for name in NAIVE}


def sample(rows: int, clusters: int, seed: int, decimals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    codes = np.r_[np.arange(clusters), random.integers(0, clusters, rows - clusters)]
    shock = random.normal(size=clusters)[codes]
    p = np.clip(np.round(1 / (1 + np.exp(-random.normal(size=rows) - shock)), decimals), 0.01, 0.99)
    return (random.random(rows) < p).astype(float), p, codes


@given(
    metric=st.sampled_from(sorted(NAIVE)),
    clusters=st.integers(1, 8),
    extra=st.integers(0, 80),
    decimals=st.integers(1, 6),
    seed=st.integers(0, 10_000),
)
@example(metric="r2", clusters=3, extra=0, decimals=1, seed=0)
@settings(deadline=None, max_examples=150)
def test_weighted_metrics_equal_those_of_the_repeated_rows(
    metric: str, clusters: int, extra: int, decimals: int, seed: int
) -> None:
    y, p, codes = sample(clusters + extra, clusters, seed, decimals)
    weights = draws(clusters, 4, seed)
    assert (weights.sum(axis=1) == clusters).all()
    found = weighted(metric, TASKS[metric], y, p, codes, clusters)(weights)
    for value, weight in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(len(y)), weight[codes].astype(int))
        undefined = {
            "auc": y[rows].all() or not y[rows].any(),
            "pr_auc": not y[rows].any(),
            "r2": len(set(y[rows])) == 1,
        }
        if undefined.get(metric, False):
            assert np.isnan(value)
        elif metric == "log_loss" and len(set(y[rows])) == 1:
            continue
        else:
            assert value == pytest.approx(NAIVE[metric](y[rows], p[rows]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", sorted(NAIVE))
def test_interval_equals_a_naive_paired_bootstrap(metric: str) -> None:
    y, p, codes = sample(600, 20, 1, 4)
    q = np.clip(p + np.random.default_rng(2).normal(scale=0.2, size=600), 0.01, 0.99)
    found = compare(TASKS[metric], y, p, q, codes, metric, replicates=200, seed=5)
    naive = []
    for weight in draws(20, 200, 5):
        rows = np.repeat(np.arange(600), weight[codes].astype(int))
        naive.append(NAIVE[metric](y[rows], p[rows]) - NAIVE[metric](y[rows], q[rows]))
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(naive, [0.025, 0.975])))
    assert found.difference == pytest.approx(NAIVE[metric](y, p) - NAIVE[metric](y, q))
    assert (found.replicates, found.clusters, found.rows) == (200, 20, 600)
    assert found.gain == (found.difference if metric in ("auc", "pr_auc", "r2") else -found.difference)
    assert found.gain_lower <= found.gain <= found.gain_upper
    assert found == compare(TASKS[metric], y, p, q, codes, metric, replicates=200, seed=5)


def test_swapping_the_models_turns_the_interval_over() -> None:
    y, p, codes = sample(500, 15, 3, 4)
    q = np.roll(p, 1)
    one, other = compare(BINARY, y, p, q, codes, "auc"), compare(BINARY, y, q, p, codes, "auc")
    turned = (-other.difference, -other.upper, -other.lower)
    assert (one.difference, one.lower, one.upper) == pytest.approx(turned)
    same = compare(BINARY, y, p, p, codes, "auc")
    assert (same.difference, same.lower, same.upper) == (0, 0, 0)


def test_clusters_that_move_together_widen_the_interval() -> None:
    random = np.random.default_rng(4)
    day = np.repeat(np.arange(30), 100)
    y = np.zeros(3000)
    # The champion errs by a whole day at a time.
    q = np.clip(0.3 + random.normal(scale=0.1, size=30)[day], 0, 1)
    p = np.full(3000, 0.3)
    by_day, by_row = compare(BINARY, y, p, q, day, "brier"), compare(BINARY, y, p, q, np.arange(3000), "brier")
    assert by_day.upper - by_day.lower > 5 * (by_row.upper - by_row.lower)


def test_what_cannot_be_compared_is_named() -> None:
    y, p, codes = sample(100, 10, 0, 3)
    with pytest.raises(PlatformError, match="metric 'accuracy' is not one of"):
        compare(BINARY, y, p, p, codes, "accuracy")
    with pytest.raises(PlatformError, match="no interval"):
        compare(BINARY, y, p, p, np.zeros(100), "auc")
    with pytest.raises(PlatformError, match="labels of one class"):
        compare(BINARY, np.zeros(100), p, p, codes, "auc")
    with pytest.raises(PlatformError, match="differ in length"):
        compare(BINARY, y, p[1:], p, codes, "auc")
    with pytest.raises(PlatformError, match="more than 5000"):
        compare(VALUE, np.zeros(5001), np.zeros(5001), np.zeros(5001), np.arange(5001), "mae")


def test_only_rows_after_both_cut_offs_are_compared() -> None:
    holdout = pl.concat([month_frame(5), month_frame(6)])
    candidate = split_ref(range(1, 7), holdout=2)
    fresh = unseen(holdout, "date", candidate, split_ref(range(1, 5)))
    assert (fresh.excluded, fresh.frame.height) == (0, holdout.height)
    # The champion was trained up to the end of May.
    partly = unseen(holdout, "date", candidate, split_ref(range(1, 7), holdout=1))
    assert partly.cutoff == date(2013, 5, 31)
    assert partly.frame["date"].min() == date(2013, 6, 1)
    assert partly.excluded == month_frame(5).height
    assert "champion was trained up to 2013-05-31" in partly.note
    nothing = unseen(holdout, "date", candidate, split_ref(range(1, 8), holdout=1))
    assert nothing.frame.is_empty() and "no fair comparison" in nothing.note
    swapped = unseen(holdout, "date", split_ref(range(1, 7), holdout=1), candidate)
    assert swapped.cutoff == partly.cutoff and "candidate was trained" in swapped.note
