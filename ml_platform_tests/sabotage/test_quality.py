"""Models whose metrics are in order and which are broken all the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.datasets import batches
from ml_platform.gates.gate import Gate
from ml_platform.models.xgboost import XGBoost
from ml_platform_tests.project import Project, declared, gates
from ml_platform_tests.sabotage.models import (
    EVALUATION,
    MODEL,
    SPLIT,
    refuses_registration,
    rounds,
    up_to_registration,
)
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_stopped
from ml_platform_tests.sabotage.steps import exchange

pytestmark = pytest.mark.slow

Frames = Callable[..., Iterator[pl.DataFrame]]


def of_rows(where: pl.Expr, change: Callable[[pl.Expr], pl.Expr], prefix: str) -> Callable[[Frames], Frames]:
    """Features whose names begin so are changed in some rows, as by a wrong join for one airport."""

    def breaks(frames: Frames) -> Frames:
        def changed(*arguments: Any) -> Iterator[pl.DataFrame]:
            for frame in frames(*arguments):
                names = [name for name in frame.columns if name.startswith(prefix) and frame[name].dtype.is_float()]
                yield frame.with_columns(pl.when(where).then(change(pl.col(name))).otherwise(name) for name in names)

        return changed

    return breaks


def turned(prefix: str) -> Callable[[Callable[..., pl.DataFrame]], Callable[..., pl.DataFrame]]:
    """Stored features whose names begin so have the other sign: minutes early in place of minutes late."""

    def breaks(read_at: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
        def changed(*arguments: Any, **options: Any) -> pl.DataFrame:
            frame = read_at(*arguments, **options)
            return frame.with_columns(-pl.col(name) for name in frame.columns if name.startswith(prefix))

        return changed

    return breaks


def by_frame(_: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Features arrive as a pandas frame with their names."""

    def changed(model: XGBoost, features: np.ndarray) -> np.ndarray:
        return model.booster.inplace_predict(pl.DataFrame(features, schema=model.booster.feature_names).to_pandas())

    return changed


def shuffled(column: pl.Expr) -> pl.Expr:
    """The values of other rows."""
    return column.shuffle(seed=7)


@dataclass(frozen=True)
class Candidate:
    """A model that is trained and evaluated: with other parameters, or with a step that somebody has broken."""

    parameters: dict[str, Any] = field(default_factory=lambda: rounds(40))
    #: Module (``None``: the steps of the loop), attribute, and what breaks it.
    breaks: tuple[Any, str, Callable[..., Any]] | None = None


LAGUARDIA = pl.col("origin") == "LGA"
GOOD = Candidate(rounds(44, seed=8))
PROOFS = {
    "confidence": Proof(Candidate(rounds(4)), GOOD),
    # Right in order, useless as probabilities; and decisions change with them.
    "calibration": Proof(Candidate(rounds(40, eta=0.01)), GOOD),
    "churn": Proof(Candidate(rounds(40, eta=0.01)), GOOD),
    # The newest features of one airport come from other flights.
    "slices": Proof(Candidate(breaks=(None, "evaluation_frames", of_rows(LAGUARDIA, shuffled, ""))), GOOD),
    # The delays of one airport are filled with an hour.
    "fairness": Proof(
        Candidate(breaks=(None, "evaluation_frames", of_rows(LAGUARDIA, lambda delay: delay * 0 + 60, "delay_"))), GOOD
    ),
    # Grown until every leaf is a handful of rows.
    "robustness": Proof(Candidate(rounds(60, max_depth=10, min_child_weight=1, eta=0.3)), GOOD),
    # The model is as good as ever, and says that delays make flights punctual.
    "monotonic": Proof(Candidate(breaks=(batches, "read_at", turned("delay_origin_hour"))), GOOD),
    # A single tree, left over from trying something out: it stands on what it happened to draw.
    "explanation": Proof(Candidate(rounds(1)), GOOD),
    "model_size": Proof(Candidate(rounds(150)), GOOD),
    # Every prediction makes a data frame first, so that somebody may see names: not seen in large batches.
    "model_latency": Proof(Candidate(breaks=(XGBoost, "predict", by_frame)), GOOD),
}
#: Kinds that compare with something else where `against` names it.
AGAINST = {
    "slices_against_others": Proof(
        Candidate(breaks=(None, "evaluation_frames", of_rows(LAGUARDIA, shuffled, ""))), GOOD
    ),
    # Right in order, and hardly surer of anything than one who always says the rate.
    "baseline_against_rate": Proof(Candidate(rounds(10, eta=0.01)), GOOD),
}
#: The gate of each proof; the other gates are those of the example, lenient enough to let the broken model pass.
DECLARED = {
    "confidence": {"gate": "confidence", "metric": "auc", "min": 0.68},
    "calibration": {"gate": "calibration", "max": 0.08},
    "churn": {"gate": "churn", "metric": "flipped", "max": 0.08},
    "slices": {"gate": "slices", "metric": "auc", "columns": ["origin"], "max": 0.06},
    "fairness": {
        "gate": "fairness",
        "metric": "demographic_parity_difference",
        "columns": ["origin"],
        "max": 0.3,
    },
    "robustness": {"gate": "robustness", "metric": "noise_flipped", "max": 0.08},
    "monotonic": {"gate": "monotonic", "increasing": ["delay_origin_hour_recent"], "max": 0.25},
    "explanation": {"gate": "explanation", "metric": "top_features", "min": 0.6},
    "model_size": {"gate": "model_size", "max": 150_000},
    "model_latency": {"gate": "model_latency", "max": 0.6},
    "slices_against_others": {
        "gate": "slices",
        "name": "slices_against_others",
        "metric": "auc",
        "columns": ["origin"],
        "against": "others",
        "max": 0.05,
    },
    "baseline_against_rate": {
        "gate": "baseline",
        "name": "baseline_against_rate",
        "metric": "brier",
        "against": "base_rate",
        "min": 0.03,
    },
}
LENIENT = gates(performance={"min": 0.55}, baseline={"min": -0.3}, champion={"min": -0.3})
GATES_OF_EVALUATION = 4
WITH_CHAMPION = ("churn", "explanation")


def gates_with(kind: str) -> list[dict[str, Any]]:
    """The lenient gates and the one to prove."""
    return [*LENIENT, DECLARED[kind]]


#: All of them at once, for the walk over every kind.
JUDGED = declared(models={"judged": {"gates": [*LENIENT, *DECLARED.values()]}})


def candidate(shop: Project, kind: str, name: str, which: Candidate, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with one candidate; beside a champion where the gate compares with one."""
    project = shop.variant(declared(models={name: {"parameters": which.parameters, "gates": gates_with(kind)}}))
    if kind in WITH_CHAMPION:
        first = shop.variant(declared(models={name: {"parameters": rounds(40, seed=8), "gates": LENIENT}}))
        assert up_to_registration(first, name).success
        with first.active() as workspace:
            workspace.registry.set_alias(name, "champion", 1)
    if which.breaks is not None:
        module, attribute, breaks = which.breaks
        if module is None:
            exchange(monkeypatch, attribute, breaks)
        else:
            monkeypatch.setattr(module, attribute, breaks(getattr(module, attribute)))
    return project


@pytest.mark.parametrize("kind", [*PROOFS, *AGAINST])
def test_a_broken_model_is_refused_by_its_gate_alone(kind: str, shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"broken_{kind}"
    project = candidate(shop, kind, name, {**PROOFS, **AGAINST}[kind].broken, monkeypatch)
    gate = Gate.model_validate(DECLARED[kind]).name
    outcome = up_to_registration(project, name)
    assert_stopped(outcome, gate, f"{name}/{EVALUATION}", allowed=(f"{name}/{SPLIT}", f"{name}/{MODEL}"))
    refuses_registration(project, name, gate)


@pytest.mark.parametrize("kind", [*PROOFS, *AGAINST])
def test_a_clean_model_is_registered(kind: str, shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"clean_{kind}"
    project = candidate(shop, kind, name, {**PROOFS, **AGAINST}[kind].clean, monkeypatch)
    assert_passed(up_to_registration(project, name), f"{name}/{EVALUATION}", None, GATES_OF_EVALUATION + 1)
