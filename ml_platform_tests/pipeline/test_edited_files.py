"""References and artifacts are files that anybody can edit: what the ledger does not name is measured again."""

import json
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import MEASUREMENT
from ml_platform.pipeline import (
    anchors,
    approval,
    champions,
    data,
    evaluation,
    loosening,
    recorded_evaluations,
    recorded_versions,
    registration,
    rollback,
    training,
)
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform.registry import evaluations
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, JANUARY, MODEL, PARAMETERS, STEPS, copy_of, declared, gates


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"rows": 7}, "its reference names 7 rows, the content has"),
        ({"path": "datasets/purchases/batch/other.parquet"}, "its reference names datasets/purchases/batch/other"),
    ],
)
def test_an_edited_reference_of_a_batch_is_not_signed_as_a_publication(
    four_months: Path, tmp_path: Path, edit: dict[str, object], said: str
) -> None:
    project = copy_of(four_months, tmp_path / "project")
    with project.active() as workspace:
        spec = project.context().dataset
        ref = workspace.references.load(f"{spec.name}/batch", JANUARY)
        before = len(project.entries())
        assert data.publish(workspace, spec, ref, Run.new()).sha256 == ref.sha256
        with pytest.raises(PlatformError, match=said):
            data.publish(workspace, spec, ref.model_copy(update=edit), Run.new())
        assert len(project.entries()) == before


@pytest.fixture
def strict(with_models: Path, tmp_path: Path) -> Project:
    """A project with a registered model, under a threshold that it misses."""
    catalogue = declared(models={MODEL: {"gates": gates(performance={"min": 0.97})}})
    return copy_of(with_models, tmp_path / "project", catalogue)


def forged(project: Project) -> str:
    """An evaluation with better metrics, in the context of now, where MLflow and the reference keep theirs; its hash.

    It is made as the platform makes it, and the ledger does not hear of it.
    """
    with project.active() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation.evaluate.__module__ + ".note", lambda *_: None)
        context, run = project.context(), Run.new()
        report = evaluation.evaluate(workspace, context, workspace.references.load(STEPS[1]), run)
        made = evaluations.load(workspace.tracking, report.model_ref)
        better = made.model_copy(update={"metrics": {**made.metrics, "auc": 0.99}})
        workspace.tracking.log_artifact(report.mlflow_run_id, evaluations.JSON_ARTIFACT, evaluations.written(better))
        content = evaluations.content(better)
        workspace.references.save(STEPS[2], "", report.model_copy(update={"evaluation": content}))
    return content


def test_an_edited_evaluation_is_measured_again_and_not_signed(strict: Project) -> None:
    content = forged(strict)
    outcome = strict.materialize(STEPS[3], checks=None)
    assert "performance_auc failed" in outcome.error
    assert content not in json.dumps([entry.body for entry in strict.entries()])
    verdict = strict.verdicts(f"{MODEL}/model")["performance_auc"]
    assert verdict.status == "failed" and verdict.observed is not None and verdict.observed < 0.97


def test_an_edited_evaluation_is_shown_by_nobody(strict: Project) -> None:
    forged(strict)
    with strict.active() as workspace:
        reference = workspace.references.load(STEPS[1])
        with pytest.raises(PlatformError, match="the ledger names no such evaluation as MLflow has of it") as error:
            recorded_evaluations.kept(workspace, reference)
        assert "\n" not in str(error.value)
        # Whoever judges measures it again; then it is known.
        with pytest.raises(Refused, match="performance_auc failed"):
            registration.register(workspace, strict.context(), workspace.references.load(STEPS[2]), Run.new())
        assert recorded_evaluations.kept(workspace, reference).metrics["auc"] < 0.97


def test_an_evaluation_that_an_earlier_release_judged_is_known(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project", declared())
    with project.active() as workspace:
        reference = workspace.references.load(STEPS[1])
        of_verdicts = {
            entry.body["compared"][recorded_evaluations.EVALUATION]
            for entry in workspace.ledger.entries(subject=reference.sha256, kind="verdict")
        }
        (entry,) = workspace.ledger.entries(subject=reference.sha256, kind=MEASUREMENT)
        assert (
            of_verdicts
            == {entry.body[recorded_evaluations.EVALUATION]}
            == recorded_evaluations.measured(workspace, reference)
        )


def promoted(project: Project) -> None:
    """Version 1 went live, by the ledger, and the alias says so."""
    with project.active() as workspace:
        version, run = workspace.registry.get(MODEL, 1), Run.new()
        workspace.registry.set_alias(MODEL, "champion", 1)
        workspace.ledger.decide(
            "promotion",
            subject=version.sha256,
            subject_name=f"{MODEL}/champion",
            body={"version": 1, "service": "5" * 64, "revision": 1},
            run_id=run.id,
            provenance=run.provenance,
        )


def test_without_its_alias_a_champion_is_one_all_the_same(with_models: Path, tmp_path: Path) -> None:
    worse = gates(performance={"min": 0.4}, baseline={"min": -0.5}, champion={"min": -0.002})
    catalogue = declared(models={MODEL: {"gates": worse, "parameters": {**PARAMETERS, "rounds": 1}}})
    project = copy_of(with_models, tmp_path / "project", catalogue)
    promoted(project)
    with project.active() as workspace:
        workspace.tracking.client.delete_registered_model_alias(MODEL, "champion")
        (told,) = anchors.unheard(workspace.ledger, workspace.registry, [MODEL])
        assert "no version is champion in the registry, and the ledger promoted version 1 last" in told
        assert "performance_auc" in [one.change.gate for one in loosening.since_champion(workspace, project.context())]
    # Refused as if the alias were there.
    outcome = project.materialize(*STEPS, checks=None)
    assert not outcome.success and outcome.failed(STEPS[2]) == {"champion_auc"}
    assert project.verdicts(f"{MODEL}/model")["champion_auc"].compared["champion"]


def test_a_version_that_was_deleted_is_missed_until_a_person_accepts_it(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project", declared())
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        if not list(workspace.ledger.entries(kind="version", subject_name=f"{MODEL}/version")):
            recorded_versions.note(workspace, version, Run.new(), new=True)
        assert list(recorded_versions.doubts(workspace, MODEL)) == []
        workspace.tracking.client.delete_model_version(MODEL, "1")
        (told,) = recorded_versions.doubts(workspace, MODEL)
        assert "returned version 1" in told and "the registry has it no more" in told
        run = Run.new()
        workspace.ledger.accept_gap(
            by="ann", reason="too old", owners=[MODEL], run_id=run.id, provenance=run.provenance
        )
        assert list(recorded_versions.doubts(workspace, MODEL)) == []


def test_what_a_person_rejected_is_no_bar_for_those_that_come(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project", declared())
    promoted(project)
    with project.active() as workspace:
        context, version = project.context(), workspace.registry.get(MODEL, 1)
        other = version.model_ref.model_copy(update={"sha256": "6" * 64})
        assert evaluation.rival_of(workspace, other) == version
        decided: list[tuple[Literal["approved", "rejected"], VersionRef | None]]
        decided = [("rejected", None), ("approved", version)]
        for status, rival in decided:
            approval.decide(workspace, context, version, status, by="ann", reason="seen", run=Run.new())
            assert evaluation.rival_of(workspace, other) == (rival and workspace.registry.get(MODEL, 1))
            trial = Workspace(
                workspace.settings.model_copy(update={"ledger_url": SecretStr(f"sqlite:///{tmp_path / status}")})
            )
            champions.adopt(trial, workspace, MODEL, Run.new())
            assert evaluation.rival_of(trial, other) == evaluation.rival_of(workspace, other)
        assert champions.champion(workspace, MODEL) is not None, "it may answer all the same"


def test_a_champion_that_is_another_model_now_is_refused(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project", declared())
    promoted(project)
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        other = version.model_copy(update={"sha256": "6" * 64})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workspace.registry, "get", lambda *_: other)
            with pytest.raises(PlatformError, match=r"the ledger promoted model .* the registry has 666666666666"):
                champions.champion(workspace, MODEL)
        assert champions.champion(workspace, MODEL) == version
        assert [one.version.version for one in champions.rivals(workspace, MODEL)] == [1]


def test_a_store_that_was_set_back_to_before_a_withdrawal_is_named(four_months: Path, tmp_path: Path) -> None:
    """Its commits know nothing of it; the ledger has the decision."""
    project = copy_of(four_months, tmp_path / "project")
    with project.active() as workspace:
        spec, context = project.context().dataset, project.context()
        before = workspace.store.resolve("main")
        assert rollback.published_again(workspace, spec) == {}
        rollback.roll_back(workspace, spec, APRIL, Run.new(), reason="wrong", by="ann", withdraw=True)
        assert rollback.published_again(workspace, spec) == {}
        meta = next((project.folder / "local").glob("store/*/meta.git"))
        subprocess.run(["git", f"--git-dir={meta}", "update-ref", "refs/heads/main", before], check=True)
    with project.active() as workspace:
        (line,) = rollback.published_again(workspace, spec).values()
        assert f"{APRIL}: main holds" in line and "withdrawn by ann: wrong" in line
        with pytest.raises(PlatformError, match="again, which was withdrawn by ann: wrong"):
            training.split(workspace, context, {}, Run.new())
        rollback.roll_back(workspace, spec, APRIL, Run.new(), reason="wrong", by="ann", withdraw=True)
        assert rollback.published_again(workspace, spec) == {}
