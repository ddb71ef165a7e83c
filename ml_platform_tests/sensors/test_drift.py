"""Drift: k of n partitions, no second look at what was seen, and a training where the model's `retrain` says so."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.orchestration.sensors import ATTEMPTS
from ml_platform.pipeline.drift import Drift, observe
from ml_platform.pipeline.expecting import compared_columns
from ml_platform.pipeline.rollback import roll_back
from ml_platform_tests.moving import moved
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import attempt_tags, copied, opened, pretend, tick
from ml_platform_tests.shop_project import APRIL, DATASET, JANUARY, MAY, MODEL, declared

RULE: dict[str, Any] = {"psi": 0.25, "share": 0.3, "partitions": 2, "window": 2}
#: The gates of the evaluation are not what is tested here.
MODEL_WITH_RULE: dict[str, Any] = {"drift": RULE, "gates": [{"gate": "disjoint"}, {"gate": "time_order"}]}
FAILURE, STARTED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


def dearer(month: pl.DataFrame) -> pl.DataFrame:
    """Prices rose by half."""
    return month.with_columns(pl.col("price") * 1.5)


def heavier(month: pl.DataFrame) -> pl.DataFrame:
    """So did the weights."""
    return dearer(month).with_columns(pl.col("weight") * 1.5)


@pytest.fixture(scope="module")
def registered(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1 was trained on January to March; April and May are newer, and differ from them more and more."""
    project = copied(base, tmp_path_factory.mktemp("drift") / "project", declared(models={MODEL: MODEL_WITH_RULE}))
    names = ("split", "model", "evaluation", "registered_model")
    outcome = project.materialize(*(f"{MODEL}/{name}" for name in names), checks=None)
    assert outcome.success, outcome.error
    project.batches.deliver(APRIL, change=dearer)
    project.batches.deliver(MAY, change=heavier)
    ingested = project.ingest(APRIL, MAY)
    assert ingested.success, ingested.error
    return project


def with_rule(project: Project, retrain: dict[str, Any] | None = None, **changes: Any) -> Project:
    """The rule changed, and a model that neither new data nor the corrected April trains."""
    policy = {"new_data": False, "correction": "advise", **(retrain or {})}
    model = {**MODEL_WITH_RULE, "drift": {**RULE, **changes}, "retrain": policy}
    return project.variant(declared(models={MODEL: model}))


def look(project: Project) -> Drift:
    with project.active() as workspace:
        found = observe(workspace, project.context())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def shares(registered: Project) -> dict[str, float]:
    """Share of drifted inputs in each partition after the training data, with a PSI that few columns pass."""
    found = look(with_rule(registered, psi=0.1))
    assert min(found.shares.values()) > 0
    return found.shares


def test_only_partitions_after_the_training_data_are_compared(shares: dict[str, float]) -> None:
    assert list(shares) == [APRIL, MAY]


def test_columns_that_only_name_rows_are_left_out(registered: Project) -> None:
    context = registered.context()
    function = context.function
    reference = pl.DataFrame({name: range(100) for name in function.inputs})
    columns = compared_columns(reference, context)
    assert set(function.inputs) - set(columns) == set(function.key) | {function.time}
    reference = reference.with_columns(pl.lit("web").alias("channel"))
    assert "channel" in compared_columns(reference, context)


@pytest.mark.parametrize(("partitions", "drifted"), [(1, True), (2, False)])
def test_k_of_n(registered: Project, shares: dict[str, float], partitions: int, drifted: bool) -> None:
    lower, upper = sorted(shares.values())
    assert lower < upper, "the test needs months that differ"
    found = look(with_rule(registered, psi=0.1, share=(lower + upper) / 2, partitions=partitions))
    assert ("inputs" in found.drifted) is drifted
    assert f"1 of the 2 newest partitions ({max(shares, key=lambda name: shares[name])})" in found.text


def test_the_sensor_says_what_it_saw_and_requests_nothing(registered: Project) -> None:
    found = tick(with_rule(registered, {"drift": ["inputs"]}, psi=0.001, share=0.0), "drift")
    assert found.requests == []
    assert f"{MODEL}: drift: 2 of the 2 newest partitions ({APRIL}, {MAY}) drifted" in found.skipped
    assert "beyond PSI 0.001 (0% allowed), largest: " in found.skipped


def test_drift_that_is_not_declared_to_train_is_advice(registered: Project) -> None:
    project = with_rule(registered, psi=0.001, share=0.0)
    tick(project, "drift")
    found = tick(project)
    assert found.requests == []
    said = f"training is advised: {APRIL} corrected, drift of inputs, drift of outputs; ml-platform train {MODEL}"
    assert f"{MODEL}: {said}" in found.skipped


def test_below_the_thresholds_nothing_happens(registered: Project) -> None:
    project = with_rule(registered, {"drift": ["inputs"]}, psi=50.0)
    assert f"{MODEL}: no drift: 0 of the 2 newest partitions (none) drifted" in tick(project, "drift").skipped
    assert tick(project).requests == []


def test_rows_are_read_once_for_the_same_content(registered: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = with_rule(registered, psi=0.003, share=0.0)
    first = tick(project, "drift")
    from ml_platform.validation import drift

    def read_again(*_: object) -> dict[str, float]:
        raise AssertionError("compared again")

    monkeypatch.setattr(drift, "drifted_columns", read_again)
    before = len(registered.entries(kind="drift"))
    assert tick(project, "drift").skipped == f"{first.skipped} (as seen before)"
    assert len(registered.entries(kind="drift")) == before
    with pytest.raises(Exception, match="compared again"):
        tick(with_rule(registered, psi=0.002, share=0.0), "drift")


def test_drift_and_new_data_are_one_training(registered: Project) -> None:
    project = with_rule(registered, {"drift": ["inputs"], "new_data": True}, psi=0.001, share=0.0)
    tick(project, "drift")
    found = tick(project)
    assert found.only.job_name == f"{MODEL}_train"
    assert found.why.startswith(f"{MODEL}: new data ({MAY}), drift of inputs: trained on {JANUARY} to {APRIL}")
    causes = [f"new data ({MAY})", "drift of inputs"]
    (entry,) = [one for one in project.entries(kind="retrain") if one.body["causes"] == causes]
    assert entry.subject_name == f"{MODEL}/retrain" and entry.body["because"] == found.why


def test_training_is_asked_for_until_it_came_to_its_end(registered: Project) -> None:
    project = with_rule(registered, {"drift": ["inputs"]}, psi=0.001, share=0.0)
    tick(project, "drift")
    for attempt in range(1, ATTEMPTS + 1):
        found = tick(project)
        assert found.only.job_name == f"{MODEL}_train"
        assert found.only.run_key is not None
        assert found.only.run_key.endswith(f":{attempt}")
        assert "drift of inputs: " in found.why
        assert f"trained on {JANUARY} to {APRIL}, held out {MAY}" in found.why
        pretend(project, f"{MODEL}_train", FAILURE, attempt_tags(found.only))
    last = tick(project)
    assert last.requests == []
    assert f"{MODEL}: given up after {ATTEMPTS} trainings" in last.skipped


def test_nothing_while_a_training_is_under_way(registered: Project) -> None:
    project = with_rule(registered, {"drift": ["inputs"]}, psi=0.004, share=0.0)
    run = pretend(project, f"{MODEL}_train", STARTED)
    before = len(project.entries(kind="drift"))
    found = tick(project, "drift")
    project.instance.report_run_failed(run)
    assert found.requests == []
    assert found.skipped == f"{MODEL}: training {run.run_id[:8]} is under way"
    assert len(project.entries(kind="drift")) == before


def test_without_a_version_there_is_nothing_to_compare_with(base: Path, tmp_path: Path) -> None:
    project = copied(base, tmp_path / "project", declared(models={MODEL: {"drift": RULE}, "plain": {"drift": None}}))
    found = tick(project, "drift")
    assert found.requests == []
    assert f"{MODEL}: no version of {MODEL} is registered" in found.skipped
    assert "plain: no version of plain is registered" in found.skipped


def test_paused_by_name(registered: Project) -> None:
    project = registered.variant(registered.catalogue, ML_PLATFORM_PAUSED=MODEL)
    assert tick(project, "drift").skipped == f"{MODEL}: paused by ML_PLATFORM_PAUSED"


def coming_back(month: pl.DataFrame) -> pl.DataFrame:
    """The first line of every order comes back, says the new till."""
    return month.with_columns(
        pl.when((pl.col("line") == 1) & pl.col("returned").is_not_null())
        .then(1)
        .otherwise("returned")
        .alias("returned")
    )


@pytest.fixture(scope="module")
def answering(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1, trained on January to March and held against April, answers; nothing is said of its drift."""
    model = {"gates": MODEL_WITH_RULE["gates"]}
    project = copied(base, tmp_path_factory.mktemp("outcomes") / "project", declared(models={MODEL: model}))
    names = ("split", "model", "evaluation", "registered_model")
    outcome = project.materialize(*(f"{MODEL}/{name}" for name in names), checks=None)
    assert outcome.success, outcome.error
    with project.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", 1)
    return project


def with_may(answering: Project, target: Path, change: Callable[[pl.DataFrame], pl.DataFrame] | None = None) -> Project:
    """A copy in which May arrived and was published."""
    shutil.copytree(answering.folder, target)
    moved(target, str(answering.folder), str(target))
    project = replace(opened(target, answering.catalogue), environment={"ML_PLATFORM_NOW": "2024-06-10T00:00:00"})
    project.batches.deliver(MAY, change=change)
    ingested = project.ingest(MAY)
    assert ingested.success, ingested.error
    return project


def test_outcomes_as_expected_are_said_to_be_so(answering: Project, tmp_path: Path) -> None:
    project = with_may(answering, tmp_path / "project")
    assert tick(project, "drift").skipped == f"{MODEL}: outcomes of {APRIL}, {MAY} are as expected"
    assert tick(project, "alerts").skipped == "nothing needs a person"


def test_outcomes_that_nobody_expected_are_told_to_a_person_and_no_advice_to_train(
    answering: Project, tmp_path: Path
) -> None:
    project = with_may(answering, tmp_path / "project", coming_back)
    said = f"outcomes are not what version 1 leads one to expect: {MAY}: 0."
    assert f"{MODEL}: {said}" in tick(project, "drift").skipped
    told = tick(project, "alerts").skipped
    assert f"told here: {MODEL}: {said}" in told
    assert f"are they right? If not, ml-platform data rollback {DATASET} {MAY} --withdraw --reason TEXT; if so" in told
    assert "told here" not in tick(project, "alerts").skipped, "once until it changes"
    waiting = project.variant(declared(models={MODEL: {"retrain": {"new_data": False}}}))
    assert "drift" not in tick(waiting).skipped
    following = project.variant(declared(models={MODEL: {"retrain": {"new_data": False, "drift": ["outcomes"]}}}))
    assert tick(following).why.startswith(f"{MODEL}: drift of outcomes: trained on")
    with project.active() as workspace:
        roll_back(workspace, project.context().dataset, MAY, Run.new(), withdraw=True, reason="wrong till", by="ada")
    tick(project, "drift")
    assert f"over: {MODEL}: outcomes are not what version 1" in tick(project, "alerts").skipped


@pytest.mark.slow
def test_while_nothing_happens_the_registry_is_not_asked(
    answering: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run = with_may(answering, tmp_path / "project"), Run.new()
    before = tick(project, "drift").skipped
    with project.active() as workspace:
        subject = workspace.registry.get(MODEL, 1).sha256
        body = {"version": 1, "service": "a" * 64}
        workspace.ledger.decide(
            "promotion",
            subject=subject,
            subject_name=f"{MODEL}/champion",
            body=body,
            run_id=run.id,
            provenance=run.provenance,
        )
    first = tick(project, "drift").skipped
    assert first == f"{before} (as seen before)", "the same comparison, of the version that is promoted now"
    asked: list[str] = []
    monkeypatch.setattr("ml_platform.pipeline.champions.champion", lambda _, model: asked.append(model))
    assert tick(project, "drift").skipped == first and not asked
    tick(project.variant(declared(models={MODEL: {"drift": {"outcomes": 0.2}}})), "drift")
    assert asked == [MODEL], "another rule is another look"
