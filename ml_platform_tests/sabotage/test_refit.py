"""Refits that learned something else than the model that was judged."""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

from ml_platform_tests.project import GATES, MAY, Outcome, Project, declared
from ml_platform_tests.sabotage.models import EVALUATION, MODEL, REGISTERED, SPLIT, as_it_is, refuses_registration
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_stopped
from ml_platform_tests.sabotage.steps import exchange

REFIT = "refit"


def other_labels(frames: Callable[..., Any]) -> Callable[..., Any]:
    """Rows and labels get out of step once the held out month is among them: a join that went wrong. The judged model
    does not read that month for its training."""

    def out_of_step(store: Any, entries: Any) -> Iterator[pl.DataFrame]:
        target = "late"
        for frame in frames(store, entries):
            newest = any(entry.partition == MAY for entry in entries)
            yield frame.with_columns(pl.col(target).shuffle(7)) if newest else frame

    return out_of_step


PROOFS = {"agreement": Proof(other_labels, as_it_is)}
AGREEMENT = {"gate": "agreement", "metric": "correlation", "min": 0.6}
DECLARED = {"split": {"holdout": 1, "refit": True}, "gates": [*GATES, AGREEMENT]}
#: For the walk over every kind.
JUDGED = declared(models={"judged": DECLARED})


def up_to_registration(project: Project, name: str) -> Outcome:
    steps = (SPLIT, MODEL, EVALUATION, REFIT, REGISTERED)
    return project.materialize(*(f"{name}/{step}" for step in steps), checks=None)


def test_a_refit_on_other_labels_is_refused_by_its_gate_alone(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "broken_refit"
    project = shop.variant(declared(models={name: DECLARED}))
    exchange(monkeypatch, "training_frames", PROOFS["agreement"].broken)
    outcome = up_to_registration(project, name)
    before = tuple(f"{name}/{step}" for step in (SPLIT, MODEL, EVALUATION))
    assert_stopped(outcome, "agreement_correlation", f"{name}/{REFIT}", allowed=before)
    refuses_registration(project, name, "agreement_correlation")


def test_an_honest_refit_is_registered(shop: Project) -> None:
    name = "honest_refit"
    project = shop.variant(declared(models={name: DECLARED}))
    outcome = up_to_registration(project, name)
    assert_passed(outcome, f"{name}/{REFIT}", None, 1)
    assert outcome.assets() == {f"{name}/{step}" for step in (SPLIT, MODEL, EVALUATION, REFIT, REGISTERED)}
