"""Models that were trained on their holdout, with a manifest that says otherwise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ml_platform.pipeline import training
from ml_platform_tests.project import Project, declared, gates
from ml_platform_tests.sabotage.models import (
    EVALUATION,
    EVALUATION_GATES,
    MODEL,
    SPLIT,
    as_it_is,
    refuses_registration,
    rounds,
    up_to_registration,
)
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_stopped


def with_the_holdout(fit: Callable[..., Any]) -> Callable[..., Any]:
    """The step that reads the rows goes on to those that are held out; split and manifest are honest."""

    def silently(workspace: Any, context: Any, manifest: Any, run: Any) -> Any:
        honest = workspace.steps
        steps = replace(
            honest, training_frames=lambda store, train: honest.training_frames(store, (*train, *manifest.holdout))
        )
        return fit(workspace.with_(steps=steps), context, manifest, run)

    return silently


PROOFS = {"trained_on": Proof(with_the_holdout, as_it_is), "jump": Proof(with_the_holdout, as_it_is)}
DECLARED = {"trained_on": {"gate": "trained_on"}, "jump": {"gate": "jump", "metric": "auc", "max": 0.04}}
NAMES = {"trained_on": "trained_on", "jump": "jump_auc"}
#: Enough trees to remember something of three thousand rows.
TREES = {"max_depth": 6, "min_child_weight": 5}
#: The alarm on what is too good to be true is above what so few rows allow.
LENIENT = gates(leak_alarm={"max": 0.97})
#: All of them at once, for the walk over every kind.
JUDGED = declared(models={"judged": {"gates": [*LENIENT, *DECLARED.values()]}})


@pytest.fixture(scope="module")
def champion(shop: Project) -> str:
    """A model with an honest champion, beside which both candidates are judged; the broken one leaves nothing."""
    name = "beside_a_champion"
    first = shop.variant(declared(models={name: declaration("jump", seed=8)}))
    assert up_to_registration(first, name).success
    with first.active() as workspace:
        workspace.registry.set_alias(name, "champion", 1)
    return name


def declaration(kind: str, **parameters: Any) -> dict[str, Any]:
    """A model that the kind judges."""
    return {"parameters": rounds(60, **TREES, **parameters), "gates": [*LENIENT, DECLARED[kind]]}


def candidate(shop: Project, kind: str, prefix: str, request: pytest.FixtureRequest) -> tuple[Project, str]:
    """A project with one candidate and its name: that of the champion where the gate compares with one."""
    name = request.getfixturevalue("champion") if kind == "jump" else f"{prefix}_{kind}"
    # An equal training is adopted: the honest model is not the one that was made of the holdout.
    seed = {"seed": 9} if prefix == "clean" else {}
    return shop.variant(declared(models={name: declaration(kind, **seed)})), name


@pytest.mark.parametrize("kind", PROOFS)
def test_a_model_that_has_seen_its_holdout_is_refused_by_its_gate_alone(
    kind: str, shop: Project, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    project, name = candidate(shop, kind, "broken", request)
    monkeypatch.setattr(training, "fit", PROOFS[kind].broken(training.fit))
    outcome = up_to_registration(project, name)
    assert_stopped(outcome, NAMES[kind], f"{name}/{EVALUATION}", allowed=(f"{name}/{SPLIT}", f"{name}/{MODEL}"))
    refuses_registration(project, name, NAMES[kind])


@pytest.mark.parametrize("kind", PROOFS)
def test_an_honest_model_is_registered(kind: str, shop: Project, request: pytest.FixtureRequest) -> None:
    project, name = candidate(shop, kind, "clean", request)
    outcome = up_to_registration(project, name)
    assert_passed(outcome, f"{name}/{EVALUATION}", None, EVALUATION_GATES + 1)
