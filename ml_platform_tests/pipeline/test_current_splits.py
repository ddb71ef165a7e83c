"""A model is trained, judged and packaged on the newest split, of nothing that was taken out since."""

from pathlib import Path

import pytest

from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import approval, current_splits, registration, release, training
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import SplitRef
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MARCH, MODEL, copy_of


@pytest.fixture
def project(with_models: Path, tmp_path: Path) -> Project:
    return copy_of(with_models, tmp_path / "project")


def split_again(project: Project, workspace: Workspace, first: str = "") -> SplitRef:
    context = project.context()
    features = workspace.references.all(context.feature_set.key)
    assert materializer_of(workspace, context.feature_set, context.dataset).published_partitions()
    return training.split(workspace, context, features, Run.new(), first=first)


def test_features_whose_reference_is_gone_are_missed_the_last_ones_too(project: Project) -> None:
    with project.active() as workspace:
        context = project.context()
        before = split_again(project, workspace)
        key = context.feature_set.key
        held = workspace.references.all(key)
        for gone in (max(held), sorted(held)[1]):
            workspace.references.forget(key, gone)
            with pytest.raises(MissingReference, match=rf"features of {gone} were judged and have no reference"):
                split_again(project, workspace)
            workspace.references.save(key, gone, held[gone])
        assert split_again(project, workspace).sha256 == before.sha256


def test_an_earlier_split_is_none_to_learn_from(project: Project) -> None:
    """As by an old copy of its reference: what was judged on an easier holdout is not judged on it again."""
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        old = project.reference(f"{MODEL}/split")
        report = project.reference(f"{MODEL}/evaluation")
        current_splits.require(workspace, old)
        new = split_again(project, workspace, first="2024-02-01")
        assert new.sha256 != old.sha256
        for step in (
            lambda: training.inspect_split(workspace, context, old, run),
            lambda: training.fit(workspace, context, old, run),
            lambda: registration.register(workspace, context, report, run),
        ):
            with pytest.raises(Refused, match=rf"{MODEL}/split \({old.sha256[:12]}\): a later one .* was made"):
                step()
        current_splits.require(workspace, new)
        # Made again as it was, it is the newest.
        assert split_again(project, workspace).sha256 == old.sha256
        current_splits.require(workspace, old)
        assert training.fit(workspace, context, old, run).manifest_sha256 == old.sha256


def test_nothing_is_made_of_what_was_taken_out_since(project: Project) -> None:
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        split = project.reference(f"{MODEL}/split")
        report = project.reference(f"{MODEL}/evaluation")
        version = workspace.registry.get(MODEL, 1)
        roll_back(workspace, context.dataset, MARCH, run, reason="labels wrong", by="ann", withdraw=True)
        for step in (
            lambda: training.inspect_split(workspace, context, split, run),
            lambda: training.fit(workspace, context, split, run),
            lambda: registration.register(workspace, context, report, run),
            lambda: approval.decide(workspace, context, version, "approved", by="ann", reason="fine", run=run),
            lambda: release.package(workspace, context, version, run),
        ):
            with pytest.raises(Refused, match=f"{MARCH} was withdrawn by ann: labels wrong"):
                step()
