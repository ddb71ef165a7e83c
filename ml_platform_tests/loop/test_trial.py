"""What a pull request is checked by: models made anew on a branch, beside the champion, with nothing published."""

from pathlib import Path

import pytest

from ml_platform.datasets.store import MAIN, Protected
from ml_platform.datasets.view import StoreView
from ml_platform.declarations import Catalogue
from ml_platform.loop.trial import Judged, trial
from ml_platform.workspace import Run
from ml_platform_tests.conftest import ports
from ml_platform_tests.loop.test_again import lenient, train
from ml_platform_tests.project import APRIL, MODEL, MONTHS, Project, copy_of, declared, gates

PUBLISHED = MONTHS[:4]


def judged(project: Project) -> list[Judged]:
    """A trial on the branch of a pull request."""
    with project.active() as workspace:
        return list(trial(workspace, project.context(), "pr-7", Run.new()))


def failing(found: list[Judged]) -> dict[str, set[str]]:
    """Stage to the gates of it that did not pass, or what is missing."""
    bad = {one.stage: {v.gate for v in one.verdicts if not v.passed} | ({one.missing} - {""}) for one in found}
    return {stage: names for stage, names in bad.items() if names}


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    """Four published months and a champion trained on them."""
    project = copy_of(four_months, tmp_path / "project", lenient(), ML_PLATFORM_PORTS=ports(3480, 10))
    train(project)
    with project.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", 1)
    return project


def changed(**changes: object) -> Catalogue:
    """The declarations as a pull request changes them, without a service, which takes seconds to start."""
    few = [gate for gate in gates(performance={"min": 0.5}, baseline=None) if gate["gate"] not in SERVED]
    return declared(models={MODEL: {"gates": few, **changes}})


SERVED = {"servability", "skew", "bad_input", "health"}


@pytest.mark.slow
def test_unchanged_code_passes_every_gate_and_leaves_no_trace(project: Project) -> None:
    before, head = project.holdings(), None
    with project.active() as workspace:
        head = workspace.store.resolve(MAIN)
    found = judged(project)
    assert failing(found) == {}
    assert [one.partition for one in found if one.stage == "batch"] == list(PUBLISHED)
    assert {verdict.gate for one in found for verdict in one.verdicts} >= {"schema", "leakage", "champion_auc", "skew"}
    after = project.holdings()
    assert (after.ledger, after.versions, after.mlflow_runs) == (before.ledger, before.versions, before.mlflow_runs)
    with project.active() as workspace:
        assert workspace.store.resolve(MAIN) == head and "check-pr-7" in workspace.store.branches()


def test_a_worse_model_is_refused_by_the_comparison_with_the_champion(project: Project) -> None:
    parameters = {"rounds": 1, "max_depth": 1, "eta": 0.01, "min_child_weight": 2000, "seed": 7}
    found = judged(project.variant(changed(parameters=parameters)))
    assert "champion_auc" in failing(found)["evaluation"]
    [service] = [one for one in found if one.stage == "service"]
    assert "champion_auc failed" in service.missing


def test_a_stricter_rule_is_judged_on_published_batches(project: Project) -> None:
    stricter = declared(dataset={"gates": [{"gate": "volume", "min": 1.5, "max": 2.0}]})
    found = judged(project.variant(stricter))
    assert failing(found)["batch"] == {"volume"}


def test_a_sample_of_the_newest_partitions(project: Project) -> None:
    found = judged(project.variant(changed(check_partitions=2)))
    assert [one.partition for one in found if one.stage == "batch"] == list(PUBLISHED[-2:])
    assert [one.partition for one in found if one.stage == "features"] == list(PUBLISHED[-2:])


def test_missing_evidence_is_no_pass(four_months: Path, tmp_path: Path) -> None:
    """An empty store, as a bare runner has it, and published data without any champion."""
    project = copy_of(four_months, tmp_path / "project", changed())
    found = judged(project)
    [evaluation] = [one for one in found if one.stage == "evaluation"]
    assert not evaluation.verdicts and "has no champion, which champion_auc asks for" in evaluation.missing
    bare = project.variant(changed(), ML_PLATFORM_REPOSITORY="other")
    found = judged(bare)
    assert [one.stage for one in found] == ["batch", "features", "split", "evaluation", "service"]
    assert all("repository other has no published batch of flights" in one.missing for one in found)


def test_a_view_changes_neither_main_nor_tags(project: Project) -> None:
    with project.active() as workspace:
        view = StoreView(workspace.store, {"features": "check-x"})
        tags, head = view.tags(), view.resolve(MAIN)
        with pytest.raises(Protected):
            view.put(MAIN, "a", Path(__file__))
        with pytest.raises(Protected):
            view.merge("check-x", MAIN, "no")
        with pytest.raises(Protected):
            view.tag("mine", MAIN)
        with pytest.raises(Protected):
            view.revert(MAIN, head)
        assert view.resolve("features") == workspace.store.resolve("features")
        view.put("features", "a", Path(__file__))
        view.commit("features", "a file")
        assert [info.path for info in workspace.store.list("check-x", "a")] == ["a"]
        assert not workspace.store.list("features", "a")
        assert (view.tags(), view.resolve(MAIN)) == (tags, head)
        assert APRIL in str(tags)
