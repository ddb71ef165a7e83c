"""A registered model is rebuilt from what is recorded, on the code of its commit, in a process of its own."""

from pathlib import Path
from typing import Any

import pytest

from ml_platform.environment import current
from ml_platform.errors import PlatformError
from ml_platform.loop import evaluation, model
from ml_platform.loop.replay import Replay, replay, warnings
from ml_platform.orchestration.references import References
from ml_platform.refs import ModelRef
from ml_platform.workspace import Run
from ml_platform_tests.loop.repository import Repository
from ml_platform_tests.project import Project, copy_of


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repository")
    monkeypatch.setenv("DAGSTER_HOME", str(made.root))
    return made


def trained(project: Project, evaluated: bool = True) -> ModelRef:
    """A model of the example, trained and evaluated without a service."""
    with project.active() as workspace:
        context, run = project.context(), Run(id="replayed", provenance=current())
        manifest = model.split(workspace, context, References().all("flights/features"), run)
        model.inspect_split(workspace, context, manifest, run)
        reference = model.fit(workspace, context, manifest, run)
        if evaluated:
            evaluation.evaluate(workspace, context, reference, run)
        return reference


def replayed(project: Project, reference: ModelRef, **changed: Any) -> Replay:
    """Replay with some of the recorded provenance changed."""
    origin = reference.provenance.model_copy(update=changed)
    with project.active() as workspace:
        return replay(workspace, project.catalogue, reference.model_copy(update={"provenance": origin}))


@pytest.mark.slow
def test_a_model_is_rebuilt_bit_for_bit_by_the_code_of_its_commit(
    repository: Repository, four_months: Path, tmp_path: Path
) -> None:
    project = copy_of(four_months, tmp_path / "project")
    reference = trained(project)
    assert not reference.provenance.dirty
    # What the project becomes later does not matter: features, training and declarations are those of the commit.
    repository.edit("ml_platform/defs/flights/defs.yaml", "history_lag: 1", "history_lag: 3")
    repository.edit(
        "ml_platform/features/build.py", "pl.col(column).cast(pl.Float32)", "-pl.col(column).cast(pl.Float32)"
    )
    later = repository.commit("later")
    found = replayed(project, reference)
    assert found.equal and found.bytes_equal, found
    assert found.warnings == () and len(found.features) == 4
    assert found.metrics and all(was == now for was, now in found.metrics.values())
    assert repository.git("worktree", "list").count("\n") == 0, "nothing is left behind"
    assert repository.git("status", "--porcelain") == ""

    wrong = replayed(project, reference, code_commit=later)
    assert not wrong.equal and not wrong.bytes_equal
    assert wrong.other_features == list(wrong.features) and "auc" in wrong.other_metrics


@pytest.mark.slow
def test_a_model_without_evaluation_and_a_commit_that_fails(
    repository: Repository, four_months: Path, tmp_path: Path
) -> None:
    project = copy_of(four_months, tmp_path / "project")
    reference = trained(project, evaluated=False)
    found = replayed(project, reference)
    assert found.equal and found.metrics == {}
    (repository.root / "ml_platform" / "features" / "history.py").write_text("raise RuntimeError('not finished')\n")
    broken = repository.commit("broken")
    with pytest.raises(PlatformError, match=r"failed .RuntimeError: not finished"):
        replayed(project, reference, code_commit=broken)
    with pytest.raises(PlatformError, match=r"commit ffffffffffff cannot be checked out .*fetch it first"):
        replayed(project, reference, code_commit="f" * 40)
    with pytest.raises(PlatformError, match="outside a Git work tree"):
        replayed(project, reference, code_commit="none")


def test_what_differs_is_said_first(repository: Repository) -> None:
    reference = ModelRef.model_construct(provenance=current())
    assert warnings(reference, current()) == ()
    repository.edit("requirements.lock", "2.1", "2.2")
    (lock,) = warnings(reference, current())
    assert "installed here is" in lock
    dirty = ModelRef.model_construct(provenance=current())
    assert dirty.provenance.dirty
    (changes,) = warnings(dirty, current())
    assert "uncommitted changes" in changes
    old = current().model_copy(update={"python": "3.9.1", "dirty": False})
    (python,) = warnings(ModelRef.model_construct(provenance=old), current())
    assert "Python 3.9.1" in python
