"""Broken splits and broken models: what is trained must not be registered, what is divided wrongly not trained."""

from collections.abc import Callable
from typing import Any

import pytest

from ml_platform.pipeline import training
from ml_platform.references.refs import DatasetRef, ManifestEntry
from ml_platform.training import split as splitting
from ml_platform_tests.project import JANUARY, MAY, MONTHS, Project, declared, gates
from ml_platform_tests.sabotage import variants
from ml_platform_tests.sabotage.models import (
    EVALUATION,
    EVALUATION_GATES,
    MODEL,
    REGISTERED,
    SPLIT,
    SPLIT_GATES,
    as_it_is,
    refuses_registration,
    rounds,
    up_to_registration,
)
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_refuses, assert_stopped
from ml_platform_tests.sabotage.steps import exchange


def of_the_month_before(entry: Callable[..., ManifestEntry]) -> Callable[..., ManifestEntry]:
    """A cache that hands out the file of the month before."""
    known: list[ManifestEntry] = []

    def cached(context: Any, ref: DatasetRef) -> ManifestEntry:
        known.append(entry(context, ref))
        if ref.partition != MAY:
            return known[-1]
        return known[-1].model_copy(update=known[-2].model_dump(include={"sha256", "commit", "path"}))

    return cached


def at_random(plan: Callable[..., splitting.Plan]) -> Callable[..., splitting.Plan]:
    """Months are held out at random, as one does with rows that have no time."""

    def random(*arguments: Any) -> splitting.Plan:
        train, holdout, refused, _ = plan(*arguments)
        return splitting.Plan((*train[:1], *train[2:], *holdout), train[1:2], refused)

    return random


#: Steps of the split that somebody has changed.
SPLITS = {
    "disjoint": Proof((training, "_entry", of_the_month_before), as_it_is),
    "time_order": Proof((None, "plan", at_random), as_it_is),
}
#: Parameters of the model that is refused, and of one that is not.
MODELS = {
    # A learning rate with a zero too many: right in order, useless as probabilities.
    "performance": Proof(rounds(40, eta=0.01), rounds(40)),
    # A single tree, left over from trying something out: better than chance, worse than a logistic regression.
    "baseline": Proof(rounds(1), rounds(40)),
    # Six trees are better than a logistic regression and worse than what is in production.
    "champion": Proof(rounds(6), rounds(44, seed=8)),
}
#: The checks' names and the gates of those models.
DECLARED = {
    "performance": ("performance_brier", gates(performance={"metric": "brier", "min": None, "max": 0.165})),
    "baseline": ("baseline_auc", gates()),
    "champion": ("champion_auc", gates(champion={"min": -0.02})),
}
#: Feature functions of a project whose schema does not know that departure delays are known afterwards only.
LEAKS = {"leak_alarm": Proof("with_departure_delay", "with_congestion")}
PROOFS = {**SPLITS, **MODELS, **LEAKS}


@pytest.mark.parametrize("kind", SPLITS)
def test_a_broken_split_is_refused_by_its_gate_alone(kind: str, shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"broken_{kind}"
    project = shop.variant(declared(models={name: {}}))
    module, attribute, breaks = SPLITS[kind].broken
    if module is None:
        exchange(monkeypatch, attribute, breaks)
    else:
        monkeypatch.setattr(module, attribute, breaks(getattr(module, attribute)))
    outcome = project.train(name)
    assert_stopped(outcome, kind, f"{name}/{SPLIT}")
    assert_refuses(project, f"{name}/{MODEL}", kind)
    with project.active() as workspace:
        assert not workspace.tracking.client.search_experiments(filter_string=f"name = '{name}'")


def test_a_clean_split_is_trained_on(shop: Project) -> None:
    """The sound split, which is the twin of each broken one."""
    name = "clean_split"
    project = shop.variant(declared(models={name: {}}))
    outcome = project.materialize(f"{name}/{SPLIT}", f"{name}/{MODEL}", checks=None)
    assert_passed(outcome, f"{name}/{SPLIT}", None, SPLIT_GATES)
    assert outcome.passed(f"{name}/{SPLIT}") == set(SPLITS)
    assert outcome.assets() == {f"{name}/{SPLIT}", f"{name}/{MODEL}"}


@pytest.fixture(scope="module")
def champion(shop: Project) -> str:
    """A model with a champion, beside which both candidates are judged; the broken one leaves nothing behind."""
    name = "beside_a_champion"
    first = shop.variant(declared(models={name: {"parameters": rounds(40, seed=8), "gates": DECLARED["champion"][1]}}))
    assert up_to_registration(first, name).success
    with first.active() as workspace:
        workspace.registry.set_alias(name, "champion", 1)
    return name


def candidate(shop: Project, kind: str, name: str, parameters: dict[str, Any]) -> Project:
    """A project with one candidate."""
    return shop.variant(declared(models={name: {"parameters": parameters, "gates": DECLARED[kind][1]}}))


def named(request: pytest.FixtureRequest, kind: str, prefix: str) -> str:
    """A model of its own for a candidate, or the one with a champion where the gate compares with one."""
    return request.getfixturevalue("champion") if kind == "champion" else f"{prefix}_{kind}"


@pytest.mark.parametrize("kind", MODELS)
def test_a_broken_model_is_refused_by_its_gate_alone(kind: str, shop: Project, request: pytest.FixtureRequest) -> None:
    name, gate = named(request, kind, "broken"), DECLARED[kind][0]
    project = candidate(shop, kind, name, MODELS[kind].broken)
    known = len(project.materializations(f"{name}/{REGISTERED}"))
    outcome = project.train(name)
    assert_stopped(outcome, gate, f"{name}/{EVALUATION}", allowed=(f"{name}/{SPLIT}", f"{name}/{MODEL}"))
    assert len(project.materializations(f"{name}/{REGISTERED}")) == known
    refuses_registration(project, name, gate)


@pytest.mark.parametrize("kind", MODELS)
def test_a_clean_model_is_registered(kind: str, shop: Project, request: pytest.FixtureRequest) -> None:
    name = named(request, kind, "clean")
    project = candidate(shop, kind, name, MODELS[kind].clean)
    outcome = up_to_registration(project, name)
    assert_passed(outcome, f"{name}/{EVALUATION}", None, EVALUATION_GATES)
    assert outcome.assets() == {f"{name}/{step}" for step in (SPLIT, MODEL, EVALUATION, REGISTERED)}


def forgetful(project_of: Callable[..., Project], function: str) -> Project:
    """Departure delays are not marked in the schema, so that the leak check has nothing to say about them."""
    catalogue = declared(
        dataset={"schema": f"{variants.__name__}:ForgetfulFlights"},
        features={"function": f"{variants.__name__}:{function}"},
        # One strong feature among weak ones: every tree has to see it to do better than a logistic regression.
        models={
            "flight_delay": {
                "parameters": rounds(60, colsample_bytree=1.0),
                "gates": gates(baseline={"metric": "brier"}),
            }
        },
    )
    project = project_of(catalogue)
    project.batches.deliver(MAY)
    outcome = project.ingest(JANUARY, MAY)
    assert outcome.success, outcome.error
    assert not any(outcome.failed("flights/features", month) for month in MONTHS)
    return project


@pytest.mark.slow
def test_a_leak_that_no_other_gate_sees_raises_the_alarm(project_of: Callable[..., Project]) -> None:
    project = forgetful(project_of, LEAKS["leak_alarm"].broken)
    name = "flight_delay"
    outcome = project.train(name)
    assert_stopped(outcome, "leak_alarm_auc", f"{name}/{EVALUATION}", allowed=(f"{name}/{SPLIT}", f"{name}/{MODEL}"))
    assert "dep_delay" in (outcome.checks[f"{name}/{EVALUATION}", None, "leak_alarm_auc"].description or "")
    refuses_registration(project, name, "leak_alarm_auc")


@pytest.mark.slow
def test_without_the_leak_there_is_no_alarm(project_of: Callable[..., Project]) -> None:
    project = forgetful(project_of, LEAKS["leak_alarm"].clean)
    outcome = up_to_registration(project, "flight_delay")
    assert_passed(outcome, f"flight_delay/{EVALUATION}", None, EVALUATION_GATES)


def test_a_metric_that_is_not_measured_holds_back(shop: Project) -> None:
    name = "misspelt"
    misspelt = gates(performance={"metric": "roc_auc"})
    project = shop.variant(declared(models={name: {"gates": misspelt}}))
    outcome = project.train(name)
    assert_stopped(
        outcome, "performance_roc_auc", f"{name}/{EVALUATION}", allowed=(f"{name}/{SPLIT}", f"{name}/{MODEL}")
    )
    assert project.verdicts(f"{name}/model")["performance_roc_auc"].status == "errored"
    alone = project.materialize(f"{name}/{REGISTERED}")
    assert "Refused" in alone.error and "performance_roc_auc errored" in alone.error


def test_verdicts_on_one_model_say_nothing_about_the_next(shop: Project) -> None:
    name = "successor"
    project = shop.variant(declared(models={name: {}}))
    assert up_to_registration(project, name).success
    changed = shop.variant(declared(models={name: {"parameters": rounds(41)}}))
    trained = changed.materialize(f"{name}/{MODEL}", f"{name}/{EVALUATION}")
    assert trained.success
    alone = changed.materialize(f"{name}/{REGISTERED}")
    assert "Refused" in alone.error and "performance_auc missing" in alone.error
    with changed.active() as workspace:
        assert [version.version for version in workspace.registry.versions(name)] == [1]


def test_a_registered_model_is_not_packaged_once_a_gate_is_stricter_or_fails(shop: Project) -> None:
    name = "demoted"
    project = shop.variant(declared(models={name: {}}))
    assert up_to_registration(project, name).success
    stricter = shop.variant(declared(models={name: {"gates": gates(performance={"min": 0.9})}}))
    # Judged again by the step itself, since no verdict under this threshold is there.
    assert_refuses(stricter, f"{name}/service", "performance_auc")

    again = stricter.materialize(f"{name}/{EVALUATION}", checks=None)
    assert again.failed(f"{name}/{EVALUATION}") == {"performance_auc"}
    assert_refuses(stricter, f"{name}/service", "performance_auc")
    with project.active() as workspace:
        assert not (workspace.settings.local / "bentos").exists()
