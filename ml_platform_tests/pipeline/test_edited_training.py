"""The reference of a model is a file here and in MLflow: what its training did not leave there is not believed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.ledger.kinds import TRAINING
from ml_platform.pipeline import champions, evaluation, inspections, recorded_trainings, registration, release
from ml_platform.pipeline.approval import require_approved
from ml_platform.pipeline.retraining import last_split
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, SplitRef
from ml_platform.registry.tracking import MODEL_REF
from ml_platform_tests.ledger.writing import verdict
from ml_platform_tests.project import Project
from ml_platform_tests.registry import models
from ml_platform_tests.shop_project import JANUARY, MODEL, STEPS, copy_of, declared

Edit = Callable[[ModelRef], ModelRef]


def split_changed(reference: ModelRef, **changes: Any) -> ModelRef:
    return reference.model_copy(update={"split": reference.split.model_copy(update=changes)})


def first_changed(split: SplitRef, **changes: Any) -> Any:
    return (split.train[0].model_copy(update=changes), *split.train[1:])


#: What an editor may want another to believe of a training, the model file being the same.
EDITS: dict[str, Edit] = {
    "parameters": lambda one: one.model_copy(update={"parameters": {**one.parameters, "seed": 99}}),
    "code": lambda one: one.model_copy(
        update={"provenance": one.provenance.model_copy(update={"code_commit": "a" * 40, "dirty": False})}
    ),
    "months": lambda one: split_changed(one, train=one.split.train[1:]),
    "commit of the features": lambda one: split_changed(one, train=first_changed(one.split, commit="b" * 40)),
    "content of the features": lambda one: split_changed(one, train=first_changed(one.split, sha256="c" * 64)),
    "rows": lambda one: split_changed(one, train=first_changed(one.split, rows=1)),
    "refused months": lambda one: split_changed(one, refused=(JANUARY,)),
    "model file": lambda one: one.model_copy(update={"file_sha256": "d" * 64}),
    "run": lambda one: one.model_copy(update={"run_id": "e" * 8}),
}
SAID = "the ledger names no training as its reference tells of"


@pytest.fixture
def shop(with_models: Path, tmp_path: Path) -> Project:
    return copy_of(with_models, tmp_path / "project", declared())


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_reference_is_neither_evaluated_nor_registered_nor_counted(shop: Project, edit: Edit) -> None:
    with shop.active() as workspace:
        context, run, before = shop.context(), Run.new(), len(shop.entries())
        honest, report = workspace.references.load(STEPS[1]), workspace.references.load(STEPS[2])
        assert recorded_trainings.known(workspace, honest)
        assert last_split(workspace, MODEL) == honest.split
        workspace.references.save(STEPS[1], "", edit(honest))
        assert last_split(workspace, MODEL) is None
        for act in (
            lambda: evaluation.evaluate(workspace, context, edit(honest), run),
            lambda: inspections.inspect_evaluation(
                workspace, context, report.model_copy(update={"model_ref": edit(honest)}), run
            ),
            lambda: registration.register(
                workspace, context, report.model_copy(update={"model_ref": edit(honest)}), run
            ),
        ):
            with pytest.raises(PlatformError, match=SAID) as error:
                act()
            assert "\n" not in str(error.value)
        assert len(shop.entries()) == before


def in_mlflow(workspace: Workspace, edit: Edit) -> ModelRef:
    """The reference of version 1, edited where MLflow keeps it; as it was."""
    honest = workspace.registry.get(MODEL, 1).model_ref
    workspace.tracking.log_artifact(honest.mlflow_run_id, MODEL_REF, edit(honest).model_dump_json())
    return honest


def test_a_version_whose_reference_was_edited_in_mlflow_is_not_packaged(shop: Project) -> None:
    with shop.active() as workspace:
        context, run = shop.context(), Run.new()
        version = workspace.references.load(STEPS[3])
        in_mlflow(workspace, EDITS["parameters"])
        for act in (
            lambda: require_approved(workspace, context, version, run),
            lambda: release.package(workspace, context, version, run),
            lambda: workspace.registry.set_alias(MODEL, "champion", 1) or champions.champion(workspace, MODEL),
        ):
            with pytest.raises(PlatformError, match=SAID):
                act()


def test_of_an_edited_reference_to_a_version_only_its_number_counts(shop: Project) -> None:
    with shop.active() as workspace:
        version = workspace.references.load(STEPS[3])
        edited = version.model_copy(update={"model_ref": EDITS["code"](version.model_ref), "approval": "pending"})
        assert require_approved(workspace, shop.context(), edited, Run.new()) == version


@pytest.mark.parametrize("here", [True, False], ids=["a good copy is here", "no good copy is left"])
def test_training_again_mends_what_was_edited_in_mlflow(shop: Project, here: bool) -> None:
    with shop.active() as workspace:
        honest = in_mlflow(workspace, EDITS["months"])
        if not here:
            for step in STEPS[1:]:
                workspace.references.forget(step, "")
    outcome = shop.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    with shop.active() as workspace:
        now = workspace.references.load(STEPS[3])
        assert recorded_trainings.known(workspace, now.model_ref) and now.sha256 == honest.sha256
        # Its own version again where its reference could be written back; the edited one is left alone otherwise.
        assert (now.version, now.model_ref == honest) == ((1, True) if here else (2, False))


@pytest.fixture
def early(settings: Settings) -> tuple[Workspace, ModelRef]:
    """A model that an earlier release trained, judged and registered: its ledger names no training."""
    workspace = Workspace(settings)
    reference = models.trained(workspace.registry, "tiny")
    models.registered(workspace.registry, reference)
    judged = verdict(subject=reference.sha256, name="tiny/model")
    workspace.ledger.record([judged], run_id="early", provenance=reference.provenance)
    return workspace, reference


def test_a_model_of_an_earlier_release_is_taken_over_once(early: tuple[Workspace, ModelRef]) -> None:
    workspace, reference = early
    recorded_trainings.require(workspace, reference, Run.new())
    (entry,) = workspace.ledger.entries(kind=TRAINING)
    assert entry.subject == reference.sha256 and entry.body[recorded_trainings.ADOPTED]
    recorded_trainings.require(workspace, reference, Run.new())
    assert len(workspace.ledger.entries(kind=TRAINING)) == 1
    with pytest.raises(PlatformError, match=SAID):
        recorded_trainings.require(workspace, EDITS["parameters"](reference), Run.new())


def test_its_version_is_taken_over_with_it(early: tuple[Workspace, ModelRef]) -> None:
    """The same file may have been trained in two runs: the version names one, the newest reference another."""
    workspace, reference = early
    again = reference.model_copy(update={"run_id": "dagster-2"})
    recorded_trainings.note(workspace, again.model_copy(update={"run_id": "dagster-3"}), Run.new())
    recorded_trainings.require(workspace, again, Run.new())
    assert recorded_trainings.known(workspace, workspace.registry.get("tiny", 1).model_ref)


def test_what_was_never_judged_is_of_no_earlier_release(settings: Settings) -> None:
    workspace = Workspace(settings)
    reference = models.trained(workspace.registry, "tiny")
    assert "the ledger knows nothing of this model" in recorded_trainings.doubt(workspace, reference)
    # Nor is what this release trained, and judged afterwards.
    recorded_trainings.note(workspace, reference, Run.new())
    judged = verdict(subject=reference.sha256, name="tiny/model")
    workspace.ledger.record([judged], run_id="now", provenance=reference.provenance)
    assert not recorded_trainings.known(workspace, EDITS["parameters"](reference))
