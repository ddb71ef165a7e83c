"""What a person took down or left, what broke a rule, and what is older than the champion stays where it is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.orchestration.refusals import REFUSED, crashes
from ml_platform.pipeline import answering, current_splits, going_live, release, rollout
from ml_platform.pipeline.backlog import training_outcome
from ml_platform.pipeline.release import backend_in
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.why import why
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import changes
from ml_platform.rollout.record import Backend, Step
from ml_platform_tests.pipeline.answered import NAME, nothing_runs, one_after_the_other, package, supervised
from ml_platform_tests.pipeline.served import answering as answering_project
from ml_platform_tests.project import Project
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.shop_project import MARCH, MODEL, PARAMETERS, copy_of, declared, train

SERVICE, DEPLOYMENT = f"{MODEL}/service", f"{MODEL}/deployment"


@pytest.fixture
def live(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Versions 1 to 3 were live, one after the other; nothing runs, and who waits for one is told that it does."""
    workspace = one_after_the_other(tmp_path_factory.getbasetemp(), settings)
    nothing_runs(workspace, monkeypatch)
    return workspace


def machine(workspace: Workspace, number: int, service: str = "") -> str:
    """Why the machine lets no package of a version go live; empty where it does."""
    rollout.project(workspace, NAME, Run.new())
    try:
        going_live.require(workspace, workspace.registry.get(NAME, number), service or "f" * 64, by_person=False)
    except Refused as refusal:
        assert "\n" not in str(refusal)
        return str(refusal)
    return ""


def newer(workspace: Workspace, number: int) -> Backend:
    registered(workspace.registry, trained(workspace.registry, NAME, seed=number), "approved")
    return package(workspace.settings, number)


def begin(workspace: Workspace, backend: Backend, by: str = "x", steps: tuple[Step, ...] = ()) -> None:
    rollout.begin(workspace, NAME, backend, Run.new(), by=by, why="y")
    workspace.rollouts.update(
        NAME, lambda record: changes.started(record, backend, by=by, why="y", strategy=steps, watch=60)
    )


def withdraw(workspace: Workspace) -> None:
    assert rollout.decide(workspace, NAME, "withdraw", by="ann", reason="it harms people") == ""


def test_nothing_of_a_model_that_a_person_took_down_goes_live_until_a_person_says_so(live: Workspace) -> None:
    assert machine(live, 3) == ""
    withdraw(live)
    made = newer(live, 4)
    for number in (3, 4):
        said = machine(live, number)
        assert f"{NAME} was taken down by ann at 20" in said and "(it harms people)" in said
        assert f"ml-platform rollout start {NAME} --by NAME" in said and "--to 3" in said
        going_live.require(live, live.registry.get(NAME, number), "f" * 64, by_person=True)
    begin(live, made, by="bob")
    assert machine(live, 4, made.sha256) == "", "a run meanwhile disturbs nobody"
    supervised(live)
    assert machine(live, 4) == "" and machine(live, 3) != ""
    newer(live, 5)
    assert machine(live, 5) == ""


def test_what_a_person_left_does_not_come_back_by_itself_and_another_does(live: Workspace) -> None:
    answering.roll_back(live, NAME, Run.new(), by="ann", reason="refuses everybody", to=1)
    for left in (2, 3):
        said = machine(live, left)
        assert f"{NAME} version {left} was left by ann at 20" in said and "(refuses everybody)" in said
        assert f"ml-platform rollout start {NAME} --by NAME" in said
    # Its content under another number is the same model.
    again = live.registry.get(NAME, 3).model_copy(update={"version": 4})
    assert going_live.held(live, again) is not None
    assert machine(live, 1) == "", "a new package of the champion"
    newer(live, 4)
    assert machine(live, 4) == ""
    answering.roll_back(live, NAME, Run.new(), by="ann", reason="it was fine", to=3)
    assert machine(live, 3) == "" and going_live.holds(live, NAME) != []


def test_a_way_back_after_a_withdrawal_brings_back_what_it_names_alone(live: Workspace) -> None:
    withdraw(live)
    answering.roll_back(live, NAME, Run.new(), by="bob", reason="the one before", to=2)
    assert f"{NAME} version 3 was taken down by ann" in machine(live, 3)
    newer(live, 4)
    assert machine(live, 4) == "" and machine(live, 2) == ""


@pytest.mark.parametrize("end", ["abort", "rollback", "withdraw"])
def test_a_candidate_that_a_person_gave_up_waits_for_a_person(live: Workspace, end: str) -> None:
    made = newer(live, 4)
    begin(live, made, steps=(Step(weight=10, requests=1000),))
    if end == "rollback":
        answering.roll_back(live, NAME, Run.new(), by="ann", reason="odd", to=2)
    else:
        rollout.decide(live, NAME, "abort" if end == "abort" else "withdraw", by="ann", reason="odd")
        if end == "withdraw":
            answering.roll_back(live, NAME, Run.new(), by="ann", reason="odd", to=3)
    assert f"{NAME} version 4 was" in (said := machine(live, 4)) and "by ann" in said
    assert machine(live, 4, "e" * 64) != "", "another package of it, neither"
    newer(live, 5)
    assert machine(live, 5) == ""


def test_a_package_that_broke_a_rule_is_not_tried_on_people_again_by_itself(live: Workspace) -> None:
    made = newer(live, 4)
    for step in (False, True):
        begin(live, made, steps=(Step(weight=10, requests=1000),))
        if step:
            live.rollouts.update(NAME, lambda record: changes.stepped(record, why="it answers"))
        live.rollouts.update(NAME, lambda record: changes.rolled_back(record, why="errors"))
        # What never answered harmed nobody: a port that was taken is no reason to ask a person.
        assert bool(machine(live, 4, made.sha256)) is step
    assert "was rolled back by supervisor at 20" in machine(live, 4, made.sha256)
    assert machine(live, 4, "e" * 64) == "", "a package that was mended"


def test_nor_one_that_broke_a_rule_once_it_was_promoted(live: Workspace) -> None:
    made = newer(live, 4)
    begin(live, made)
    supervised(live)
    before = live.rollouts.load(NAME).previous
    assert before is not None
    back = partial(changes.returned, backend=before, by=changes.SUPERVISOR, why="errors", running=True)
    live.rollouts.update(NAME, back)
    supervised(live)
    assert "version 4 was left by supervisor" in machine(live, 4, made.sha256)
    assert machine(live, 3, before.sha256) == ""


def test_a_way_back_that_is_under_way_is_not_replaced_by_a_run(live: Workspace) -> None:
    record = live.rollouts.load(NAME)
    assert record.stable is not None and record.previous is not None
    back = partial(changes.returned, backend=record.previous, by="ann", why="refuses everybody")
    live.rollouts.update(NAME, back)
    assert "ann goes back to another version since" in machine(live, 3, record.stable.sha256)


def test_what_is_older_than_the_champion_comes_back_by_the_command_alone(live: Workspace) -> None:
    for by_person in (False, True):
        with pytest.raises(Refused, match=r"version 2 is older than version 3.*rollout rollback tiny --to 2 --by NAME"):
            going_live.require(live, live.registry.get(NAME, 2), "f" * 64, by_person=by_person)
    answering.roll_back(live, NAME, Run.new(), by="ann", reason="wrong", to=2)
    assert machine(live, 2) == ""


def test_a_training_without_what_was_withdrawn_may_have_made_an_older_version_again(
    live: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_champion = live.registry.get(NAME, 3).model_ref.split
    monkeypatch.setattr(current_splits, "taken_out", lambda _, split: "March" if split == of_champion else "")
    assert going_live.older(live, live.registry.get(NAME, 2)) != "", "it learned from the same"
    other = live.registry.get(NAME, 2)
    split = other.model_ref.split.model_copy(update={"train": other.model_ref.split.train[:1]})
    without = other.model_copy(update={"model_ref": other.model_ref.model_copy(update={"split": split})})
    assert going_live.older(live, without) == ""
    with monkeypatch.context() as patch:
        patch.setattr(current_splits, "superseded", lambda *_: "a later one was made")
        assert going_live.older(live, without) != ""


@pytest.fixture
def shop(with_models: Path, tmp_path: Path) -> Project:
    project = copy_of(with_models, tmp_path / "project")
    outcome = project.materialize(SERVICE)
    assert outcome.success, outcome.error
    return project


def test_what_learned_from_withdrawn_data_does_not_go_live_for_the_first_time(shop: Project) -> None:
    with shop.active() as workspace:
        context, ref = shop.context(), shop.reference(SERVICE)
        roll_back(workspace, context.dataset, MARCH, Run.new(), reason="labels wrong", by="ann", withdraw=True)
        for by in ("", "bob"):
            with pytest.raises(Refused, match=f"{MARCH} was withdrawn by ann: labels wrong"):
                release.deploy(workspace, context, ref, Run.new(), by=by)


@pytest.fixture
def answers(with_models: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1 is packaged, and answers."""
    return copy_of(answering_project(tmp_path_factory.getbasetemp(), with_models), tmp_path / "project")


def test_a_refused_deployment_is_a_result_that_no_sensor_tries_again(
    answers: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answers.active() as workspace:
        rollout.decide(workspace, MODEL, "withdraw", by="ann", reason="it harms people")
        answer = why(workspace, answers.catalogue, DEPLOYMENT)
        assert "taken down by ann" in answer.text and f"ml-platform rollout start {MODEL}" in answer.next[0]
        assert "taken down by ann" in why(workspace, answers.catalogue, f"{MODEL}@1").text
        outcome_of = partial(training_outcome, workspace, answers.context(), answers.reference(f"{MODEL}/split"))
        assert "taken down by ann" in outcome_of()
        (noted,) = going_live.in_the_way(workspace, MODEL, workspace.registry.latest(MODEL))
        assert noted.whole
    outcome = answers.materialize(DEPLOYMENT, checks=None)
    assert not outcome.success and "was taken down by ann" in outcome.error
    run = answers.instance.get_run_by_id(outcome.run_id)
    assert run is not None and run.tags[f"{REFUSED}{MODEL}.deployment"] == "taken down by ann"
    assert crashes(answers.instance, outcome.run_id) == []
    with answers.active() as workspace:
        assert workspace.rollouts.load(MODEL).backends == ()


def test_an_old_copy_of_a_reference_replaces_no_champion(answers: Project) -> None:
    old = answers.reference(f"{MODEL}/registered_model"), answers.reference(SERVICE)
    other = answers.variant(declared(models={MODEL: {"parameters": {**PARAMETERS, "rounds": 41}}}))
    train(other)
    assert other.materialize(SERVICE).success
    with other.active() as workspace:
        ref = other.reference(SERVICE)
        made = backend_in(workspace.settings.local / ref.path, ref.version, ref.tag, ref.sha256)
        rollout.begin(workspace, MODEL, made, Run.new(), by="ann", why="test")
        steps: tuple[Callable[..., object], ...] = (
            partial(changes.started, backend=made, by="ann", why="test"),
            partial(changes.promoted, why="test"),
        )
        for change in steps:
            workspace.rollouts.update(MODEL, change)  # pyright: ignore[reportArgumentType]
        rollout.project(workspace, MODEL, Run.new())
        context, version = answers.context(), workspace.registry.get(MODEL, 1)
        assert old[0].version == 1 and ref.version == 2
        for step in (
            lambda: release.package(workspace, context, version, Run.new()),
            lambda: release.deploy(workspace, context, old[1], Run.new()),
        ):
            with pytest.raises(Refused, match=f"rollout rollback {MODEL} --to 1 --by NAME"):
                step()
        # The champion itself may be packaged again.
        assert release.package(workspace, other.context(), workspace.registry.get(MODEL, 2), Run.new()).version == 2
