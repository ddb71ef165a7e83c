"""Thresholds of a new model: its honest first model keeps them, one that knows nothing does not."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.creating.declarations_text import parameters
from ml_platform.creating.quick import QuickFit, best_fit, folds, quick_fit
from ml_platform.creating.thresholds import between, gates_of, not_nearer, threshold
from ml_platform.declarations.model import ModelSpec
from ml_platform.gates.gate import Gate
from ml_platform.proving.suggest import Suggestion

NAMES = ("a", "b", "c", "d", "e")
MORE: dict[str, dict[str, Any]] = {
    "binary": {"decision_threshold": 0.5},
    "multiclass": {"classes": ("high", "low", "middle")},
    "regression": {},
}


def table(task: str, rows: int, seed: int) -> pl.DataFrame:
    """A signal that is worth learning and far from certain, in two of five columns."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, len(NAMES))).astype(np.float32)
    score = x[:, 0] + 0.5 * x[:, 1] * (x[:, 2] > 0)
    value = score + random.normal(size=rows)
    y: dict[str, Any] = {
        "binary": (random.random(rows) < 1 / (1 + np.exp(0.8 - 1.4 * score))).astype(np.int8),
        "multiclass": np.where(value > 0.8, "high", np.where(value > -0.3, "middle", "low")),
        "regression": value.astype(np.float32),
    }
    return pl.DataFrame(x, schema=[*NAMES]).with_columns(y=pl.Series(y[task]))


def spec(task: str, rows: int) -> ModelSpec:
    """As `ml-platform new` declares it."""
    return ModelSpec.model_validate(
        {
            **{"name": "m", "description": "What is y?", "features": "d/features", "target": "y", "task": task},
            **{"purpose": "Predict y of a row.", "limits": "Rows of a test.", "split": {"holdout": 1}},
            **{"parameters": parameters(rows), "gates": [{"gate": "disjoint"}]},
            **MORE[task],
        }
    )


def refused(gates: list[tuple[dict[str, Any], str]], fit: QuickFit) -> list[str]:
    """The gates that a model which did so on the holdout would not pass."""
    seen = {"baseline": lambda gate: fit.gain(gate["metric"]), "calibration": lambda _: fit.calibration}
    measured = {**{name: lambda gate: fit.metrics[gate["metric"]] for name in ("performance", "leak_alarm")}, **seen}
    return [
        one["gate"] for one, _ in gates
        if one["gate"] in measured and not Gate.model_validate(one).accepts(measured[one["gate"]](one))
    ]  # fmt: skip


def refusals(task: str, rows: int, seed: int, timed: bool) -> tuple[list[str], list[str], list[str]] | None:
    """What the first model, one of shuffled labels and the trivial one are refused by; ``None`` of what is noise."""
    frame, model = table(task, rows, seed), spec(task, rows)
    held = (np.arange(rows) >= 0.8 * rows).astype(int)
    parts = held if timed else folds(frame, ())
    fit, rounds = best_fit(frame, NAMES, model, parts, once=timed, rows=int(held.sum()))
    first = fit if timed else quick_fit(frame, NAMES, model, held, once=True, rounds=rounds)
    if fit.noise or first.worthless:
        return None
    gates = gates_of(fit, first, timed=timed)
    learnt = frame["y"].to_numpy().copy()
    learnt[held == 0] = np.random.default_rng(seed).permutation(learnt[held == 0])
    shuffled = frame.with_columns(y=pl.Series(learnt))
    knows_nothing = quick_fit(shuffled, NAMES, model, held, once=True, rounds=rounds)
    trivial = QuickFit(first.task, first.y, next(iter(first.trivial.values())), first.trivial, len(first.y))
    return refused(gates, first), refused(gates, knows_nothing), refused(gates, trivial)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("task", [*MORE])
@pytest.mark.parametrize(
    ("rows", "seeds"),
    [(300, range(3)), *(pytest.param(*one, marks=pytest.mark.slow) for one in [(1_000, range(15)), (6_000, range(4))])],
)
def test_the_first_model_is_never_refused_and_one_that_knows_nothing_always(
    task: str, rows: int, seeds: range, timed: bool
) -> None:
    found = [one for seed in seeds if (one := refusals(task, rows, seed, timed)) is not None]
    assert len(found) >= len(seeds) / 2
    assert [one[0] for one in found] == [[]] * len(found)
    assert all(one[1] and one[2] for one in found)


def test_the_error_is_that_of_clusters_and_of_the_holdout() -> None:
    """Rows of a day that share their luck say less than so many rows; fewer rows are less well calibrated."""
    frame, model = table("binary", 1_200, 1), spec("binary", 1_200)
    copied = pl.concat([frame.with_row_index("day")] * 5)
    held = (copied["day"].to_numpy() >= 900).astype(int)
    alone, together = (
        quick_fit(copied, NAMES, model, held, once=True, rows=300, cluster=cluster) for cluster in ("", "day")
    )
    assert together.spread["auc"] > 1.6 * alone.spread["auc"]
    many = quick_fit(frame, NAMES, model, folds(frame, ()), once=False, rows=1_200)
    few = quick_fit(frame, NAMES, model, folds(frame, ()), once=False, rows=120)
    assert few.spread["auc"] > 2 * many.spread["auc"]
    assert few.expected_calibration > 1.5 * many.expected_calibration


def test_rounds_that_learn_a_small_table_by_heart_are_not_declared() -> None:
    frame, model = table("binary", 300, 3), spec("binary", 300)
    fit, rounds = best_fit(frame, NAMES, model, folds(frame, ()), once=False, rows=60)
    usual = quick_fit(frame, NAMES, model, folds(frame, ()), once=False, rows=60)
    assert (rounds, fit.loss < usual.loss) == (25, True)


@pytest.mark.parametrize(
    ("worst", "trivial", "error", "expected"),
    [
        (0.8, 0.5, 0.01, 0.65),
        (0.8, 0.5, 0.06, 0.62),
        (0.6, 0.5, 0.06, 0.52),
        (0.504, 0.5, 0.06, 0.501),
        (2.0, 10.0, 0.5, 6.0),
        (0.02, 0.0, 0.05, 0.005),
    ],
)
def test_a_threshold_refuses_the_trivial_model(worst: float, trivial: float, error: float, expected: float) -> None:
    found = threshold(worst, trivial, error)
    assert found == pytest.approx(expected)
    assert (found - trivial) * (worst - trivial) > 0


def test_rounding_keeps_the_side() -> None:
    assert (between(0.5049, 0.5), between(0.6789, 0.5), between(9.87, 12.0)) == (0.504, 0.67, 9.9)


def test_a_proposal_of_windows_leaves_room_for_the_first_model() -> None:
    frame, model = table("binary", 1_000, 2), spec("binary", 1_000)
    held = (np.arange(1_000) >= 800).astype(int)
    fit = quick_fit(frame, NAMES, model, held, once=True)

    def moved(gate: Gate, seen: float) -> Gate:
        before = {"2024-01-01": seen, "2024-02-01": seen, "2024-03-01": seen}
        found = not_nearer(Suggestion("m", gate, gate, "", before, {}), fit)
        assert found is not None
        return found.proposed

    # Windows that happened to be well calibrated, and better than the first model is.
    calibration = moved(Gate(gate="calibration", max=fit.calibration - 0.01), fit.calibration - 0.02)
    assert calibration.accepts(fit.calibration + 2 * fit.spread["calibration"])
    auc = moved(Gate(gate="performance", metric="auc", min=0.99), 0.99)
    assert auc.accepts(fit.metrics["auc"] - 2 * fit.spread["auc"]) and not auc.accepts(0.5)
    gain = moved(Gate(gate="baseline", metric="brier", min=0.9), 0.95)
    assert gain.accepts(fit.gain("brier")) and not gain.accepts(0.0)
