"""What a pull request is checked by: models made anew on a branch, beside the champion, with nothing published."""

import shutil
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from ml_platform.datasets.store import MAIN, InvalidName, Protected
from ml_platform.datasets.view import StoreView
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform.pipeline.trial import Judged, Trial
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    MODEL,
    MONTHS,
    copy_of,
    declared,
    gates,
    lenient,
    new_project,
)

PUBLISHED = MONTHS[:4]


def judged(project: Project, *stages: str) -> list[Judged]:
    """A trial on the branch of a pull request, of these stages (default: all)."""
    with project.active() as workspace:
        return until(stages, Trial(workspace, "pr-7", Run.new()).of(project.context()))


def until(stages: tuple[str, ...], trial: Iterator[Judged]) -> list[Judged]:
    """A trial that goes no further than these stages."""
    return list(takewhile(lambda one: not stages or one.stage in stages, trial))


def failing(found: list[Judged]) -> dict[str, set[str]]:
    """Stage to the gates of it that did not pass, or what is missing."""
    bad = {one.stage: {v.gate for v in one.verdicts if not v.passed} | ({one.missing} - {""}) for one in found}
    return {stage: names for stage, names in bad.items() if names}


@pytest.fixture(scope="module")
def project(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four published months and a champion trained on them. No trial changes anything in it."""
    folder = tmp_path_factory.mktemp("trial") / "project"
    project = copy_of(with_models, folder, lenient(), ML_PLATFORM_PORTS=ports(3480, 10))
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
    found = judged(project.variant(changed(parameters=parameters, check_partitions=2)))
    assert "champion_auc" in failing(found)["evaluation"]
    [service] = [one for one in found if one.stage == "service"]
    assert "champion_auc failed" in service.missing


def test_a_stricter_rule_is_judged_on_published_batches(project: Project) -> None:
    stricter = declared(dataset={"gates": [{"gate": "volume", "min": 1.5, "max": 2.0}]})
    assert failing(judged(project.variant(stricter), "batch")) == {"batch": {"volume"}}


@pytest.mark.slow
def test_a_sample_has_the_whole_history(project: Project) -> None:
    with project.active() as workspace:
        trial = Trial(workspace, "pr-8", Run.new())
        found = list(trial.of(project.variant(changed(check_partitions=2)).context()))
        for stage in ("batch", "features"):
            assert [one.partition for one in found if one.stage == stage] == list(PUBLISHED[-2:])
        assert [one.verdicts[0].passed for one in found if one.stage == "split"] == [True]
        assert trial.branch == "check-pr-8" and trial.branch in workspace.store.branches("check-")
        # Features as production has them, adopted by their content.
        sha256 = {one.partition: one.verdicts[0].subject for one in found if one.stage == "features"}
        assert sha256 == {name: project.reference(FEATURES, name).sha256 for name in PUBLISHED[-2:]}
    with project.active() as workspace:
        trial.close()
        assert trial.branch not in workspace.store.branches("check-")


def test_models_on_the_same_features_share_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    inspect = data.inspect_features
    monkeypatch.setattr(data, "inspect_features", lambda *given: calls.append(given[3].partition) or inspect(*given))
    two = project.variant(declared(models={name: {"check_partitions": 2} for name in (MODEL, "b")}))
    with project.active() as workspace:
        trial = Trial(workspace, "pr-9", Run.new())
        first, second = (until(("batch", "features"), trial.of(two.context(name))) for name in (MODEL, "b"))
    assert failing(first) == {}
    assert calls == list(PUBLISHED[-2:]) and first == second


def test_overrides_hold_in_a_trial_too(project: Project, tmp_path: Path) -> None:
    stricter = declared(
        dataset={"gates": [{"gate": "volume", "min": 0.5, "max": 0.9}]},
        models={MODEL: {"check_partitions": 2}},
    )
    with project.active() as workspace:
        # One that is written to here; it knows what is published, as the ledger of whoever checks a branch has to.
        shutil.copyfile(workspace.settings.local / "ledger.db", tmp_path / "ledger.db")
    variant = project.variant(stricter, ML_PLATFORM_LEDGER_URL=f"sqlite:///{tmp_path / 'ledger.db'}")
    assert failing(judged(variant, "batch")) == {"batch": {"volume"}}
    with variant.active() as workspace:
        run, spec = Run.new(), stricter.dataset(DATASET)
        trial = Trial(workspace, "pr-7", run)
        for ref in trial._batches(variant.context()).values():
            for verdict in data.audit(workspace, spec, ref, run):
                if verdict.holds_back:
                    workspace.ledger.override(
                        verdict, by="ann", reason="storm", days=2, run_id=run.id, provenance=run.provenance
                    )
        before = workspace.ledger.head()
    found = judged(variant, "batch")
    shown = {verdict.shown for one in found if one.stage == "batch" for verdict in one.verdicts}
    assert "overridden" in shown and "failed" not in shown
    with variant.active() as workspace:
        assert workspace.ledger.head() == before


def test_a_ledger_that_knows_nothing_of_the_store_is_told(project: Project, tmp_path: Path) -> None:
    variant = project.variant(declared(), ML_PLATFORM_LEDGER_URL=f"sqlite:///{tmp_path / 'empty.db'}")
    (why,) = failing(judged(variant, "batch"))["batch"]
    assert "has 4 batches of purchases, and the ledger knows of no publication of them" in why
    assert "ML_PLATFORM_LEDGER_URL" in why


def test_what_the_code_breaks_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("price")

    monkeypatch.setattr(data, "featurize", broken)
    found = judged(project.variant(changed(check_partitions=2)))
    assert failing(found) == {stage: {"KeyError: 'price'"} for stage in ("features", "split", "evaluation", "service")}
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "..", "../..", "feature/x", "-x", "a b", "x\n"])
def test_a_branch_that_cannot_be_is_refused_before_anything_is_touched(name: str, tmp_path: Path) -> None:
    with new_project(tmp_path / "project").active() as workspace, pytest.raises(InvalidName, match="use up to 200"):
        Trial(workspace, name, Run.new())


def test_missing_evidence_is_no_pass(four_months: Path, tmp_path: Path) -> None:
    """An empty store, as a bare runner has it, and published data without any champion."""
    project = copy_of(four_months, tmp_path / "project", changed(check_partitions=2))
    found = judged(project)
    [evaluation] = [one for one in found if one.stage == "evaluation"]
    assert not evaluation.verdicts and "has no champion, which champion_auc asks for" in evaluation.missing
    bare = project.variant(changed(), ML_PLATFORM_REPOSITORY="other")
    found = judged(bare)
    assert [one.stage for one in found] == ["batch", "features", "split", "evaluation", "service"]
    assert all(f"repository other has no published batch of {DATASET}" in one.missing for one in found)


def test_a_view_changes_neither_main_nor_tags(project: Project) -> None:
    with project.active() as workspace:
        view = StoreView(workspace.store, {"features": "check-x"})
        tags, head = view.tags(), view.resolve(MAIN)
        with pytest.raises(Protected):
            view.commit(MAIN, {"a": Path(__file__)}, "no")
        with pytest.raises(Protected):
            view.merge("check-x", MAIN, "no")
        with pytest.raises(Protected):
            view.tag("mine", MAIN)
        with pytest.raises(Protected):
            view.revert(MAIN, head)
        assert view.resolve("features") == workspace.store.resolve("features")
        view.commit("features", {"a": Path(__file__)}, "a file")
        assert [info.path for info in workspace.store.list("check-x", "a")] == ["a"]
        assert not workspace.store.list("features", "a")
        assert (view.tags(), view.resolve(MAIN)) == (tags, head)
        assert APRIL in str(tags)
