"""A candidate that its gates refuse ends as rejected: recorded, shown, not tried again, and nobody is woken up."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer.testing
import yaml
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry

from ml_platform import crash_sensor
from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.orchestration.refusals import REFUSED, crashes
from ml_platform.pipeline import evaluation
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.project import Outcome, Project
from ml_platform_tests.shop_project import MODEL, PARAMETERS, STEPS, copy_of, declared, gates, train

FAILURE = dg.DagsterRunStatus.FAILURE
SPLIT, TRAINED, EVALUATED, REGISTERED = STEPS


def model(rounds: int, **changes: Any) -> Catalogue:
    """The model with a number of trees, held against the champion."""
    few = gates(performance={"min": 0.5}, baseline={"min": -0.5}, champion={"min": -0.005})
    return declared(models={MODEL: {"parameters": {**PARAMETERS, "rounds": rounds}, "gates": few, **changes}})


@pytest.fixture(scope="module")
def shop(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a champion, on an instance with the settings of ``dagster.yaml``."""
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    with dg.instance_for_test(overrides={"run_retries": settings["run_retries"]}) as instance:
        project = copy_of(with_models, tmp_path_factory.mktemp("rejected") / "project", model(40))
        project = replace(project, instance=instance)
        with project.active() as workspace:
            workspace.registry.set_alias(MODEL, "champion", 1)
        yield project


@pytest.fixture(scope="module")
def worse(shop: Project) -> Project:
    """The same with a candidate that is worse than the champion."""
    return shop.variant(model(1))


@pytest.fixture(scope="module")
def refused(worse: Project) -> Outcome:
    """The training of that candidate."""
    return worse.train()


def run_of(project: Project, outcome: Outcome) -> dg.DagsterRun:
    run = project.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    return run


def told(project: Project, run: dg.DagsterRun) -> tuple[list[list[str]], Any]:
    """What a sensor on crashes tells people about a run, and what it answers."""
    heard: list[list[str]] = []
    sensor = crash_sensor("tell", lambda _, found: heard.append(found))
    event = dg.DagsterEvent(
        dg.DagsterEventType.RUN_FAILURE.value,
        job_name=run.job_name,
        event_specific_data=JobFailureData(None, RunFailureReason.STEP_FAILURE),
    )
    context = dg.build_run_status_sensor_context("tell", event, project.instance, run).for_run_failure()
    return heard, sensor(context)


def test_it_is_recorded_once_and_nothing_is_registered(worse: Project, refused: Outcome) -> None:
    assert not refused.success and refused.failed(EVALUATED) == {"champion_auc"}
    assert refused.assets() == {SPLIT, TRAINED, EVALUATED}
    candidate = worse.reference(TRAINED)
    (rejection,) = worse.entries(kind="rejection")
    assert (rejection.subject, rejection.body["by"]) == (candidate.sha256, "gates")
    assert rejection.body["because"] == "champion_auc failed"
    assert "gain" in rejection.body["reason"]
    # The same again, and the step behind started alone, are no news.
    again = worse.train()
    alone = worse.materialize(REGISTERED)
    assert not again.success and "champion_auc failed" in alone.error and not alone.materialized
    assert len(worse.entries(kind="rejection")) == 1
    with worse.active() as workspace:
        assert [version.version for version in workspace.registry.versions(MODEL)] == [1]
        champion = workspace.registry.champion(MODEL)
        assert champion is not None and champion.sha256 != candidate.sha256


def test_the_run_says_who_refused_and_is_not_retried(worse: Project, refused: Outcome) -> None:
    run = run_of(worse, refused)
    assert run.status == FAILURE
    assert run.tags[f"{REFUSED}{MODEL}.evaluation"] == "champion_auc failed"
    assert not should_retry(run, worse.instance)
    # A run that was lost is retried, so the answer above could have been another.
    lost = dg.DagsterRun(job_name=run.job_name, status=dg.DagsterRunStatus.STARTED)
    worse.instance.add_run(lost)
    worse.instance.report_run_failed(lost, "the worker is gone")
    found = worse.instance.get_run_by_id(lost.run_id)
    assert found is not None and should_retry(found, worse.instance)
    assert crashes(worse.instance, lost.run_id) == ["the run was lost: no step says that it failed"]


def test_nobody_is_told_about_a_refusal(worse: Project, refused: Outcome) -> None:
    assert crashes(worse.instance, refused.run_id) == []
    heard, answer = told(worse, run_of(worse, refused))
    assert heard == []
    assert isinstance(answer, dg.SkipReason) and "refused by gates, nothing crashed" in str(answer.skip_message)
    alone = worse.materialize(REGISTERED)
    assert "Refused" in alone.error and crashes(worse.instance, alone.run_id) == []


def test_people_are_told_about_a_crash(worse: Project, refused: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(evaluation, "evaluate", broken)
    outcome = worse.materialize(EVALUATED)
    heard, _ = told(worse, run_of(worse, outcome))
    ((line,),) = heard
    assert line.startswith(f"{EVALUATED}: ") and "out of memory" in line


def test_a_gate_that_cannot_judge_is_a_crash(worse: Project, refused: Outcome) -> None:
    few = gates(performance={"metric": "roc_auc"}, baseline=None, champion=None)
    outcome = worse.variant(model(1, gates=few)).materialize(EVALUATED, checks=None)
    assert outcome.failed(EVALUATED) == {"performance_roc_auc"}
    (line,) = crashes(worse.instance, outcome.run_id)
    assert line.startswith(f"{EVALUATED}: gate performance_roc_auc: PlatformError")
    # Nobody has decided on the candidate by that.
    assert len(worse.entries(kind="rejection")) == 1


def status(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(loading, "project_catalogue", lambda: project.catalogue)
    monkeypatch.setenv("COLUMNS", "200")
    with project.active():
        return typer.testing.CliRunner().invoke(cli, ["status"], catch_exceptions=False).output


def test_status_shows_it_until_another_candidate_comes(
    worse: Project, shop: Project, refused: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = worse.reference(TRAINED).sha256
    assert f"{sha256[:8]} rejected by gates: champion_auc failed" in status(worse, monkeypatch)
    better = shop.variant(model(44))
    train(better)
    assert f"{better.reference(TRAINED).sha256[:8]} approved" in status(better, monkeypatch)


def test_status_shows_a_candidate_that_no_gate_could_judge(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = gates(performance={"metric": "roc_auc"}, baseline=None, champion=None)
    other = shop.variant(model(3, gates=unknown))
    assert other.materialize(SPLIT, TRAINED).success
    sha256 = other.reference(TRAINED).sha256
    assert f"{sha256[:8]} unjudged: no verdict of performance_roc_auc" in status(other, monkeypatch)
    other.materialize(EVALUATED, checks=None)
    # The older candidate has a decision, this one has none.
    assert f"{sha256[:8]} errored: performance_roc_auc: " in status(other, monkeypatch)
    assert not [entry for entry in other.entries(kind="rejection") if entry.subject == sha256]
