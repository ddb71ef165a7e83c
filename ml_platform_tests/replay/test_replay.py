"""A registered model is rebuilt from what is recorded, on the code of its commit, in a process of its own."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_platform.cli.replay import replay_version
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import LOCK, Run, current
from ml_platform.gates.replay import Replay
from ml_platform.pipeline import evaluation, training
from ml_platform.pipeline.replay import replay
from ml_platform.references.refs import ModelRef
from ml_platform.replay.replay import warnings
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.pipeline.arrivals import ARRIVAL, CLASSES
from ml_platform_tests.pipeline.repository import Repository
from ml_platform_tests.project import JANUARY, MARCH, MONTHS, Project, copy_of, declared, new_project


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repository")
    monkeypatch.setenv("DAGSTER_HOME", str(made.root))
    return made


def trained(project: Project, evaluated: bool = True) -> ModelRef:
    """A model of the example, trained and evaluated without a service."""
    with project.active() as workspace:
        context, run = project.context(), Run(id="replayed", provenance=current())
        manifest = training.split(workspace, context, workspace.references.all("flights/features"), run)
        training.inspect_split(workspace, context, manifest, run)
        reference = training.fit(workspace, context, manifest, run)
        if evaluated:
            evaluation.evaluate(workspace, context, reference, run)
        return reference


def replayed(project: Project, reference: ModelRef, **changed: Any) -> Replay:
    """Replay with some of the recorded provenance changed."""
    origin = reference.provenance.model_copy(update=changed)
    with project.active() as workspace:
        return replay(workspace, project.catalogue, reference.model_copy(update={"provenance": origin}))


def with_lock(repository: Repository, about: str) -> None:
    """Commit the real lock file with another first line: another hash, the same packages."""
    (repository.root / LOCK).write_text(f"# {about}\n{(ROOT / LOCK).read_text()}")
    repository.commit(about)


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


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_another_lock_is_installed_once_for_the_replay(
    repository: Repository, four_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lock(repository, "first")
    project = copy_of(four_months, tmp_path / "project")
    reference = trained(project)
    with_lock(repository, "second")
    said: list[str] = []
    with project.active() as workspace:
        found = replay(workspace, project.catalogue, reference, environment="recorded", say=said.append)
        assert found.equal and found.bytes_equal, found
        lock = reference.provenance.lock_sha256
        assert found.environment == str(
            workspace.settings.local / "environments" / f"{lock[:16]}-python{reference.provenance.python}"
        )
        assert found.warnings == tuple(said) and "trained under lock" in said[0] and "installing lock" in said[1]
        # What is there is used again, and nothing is asked of an index.
        monkeypatch.setattr("ml_platform.replay.environments._fill", None)
        again = replay(workspace, project.catalogue, reference, environment="recorded")
        assert again.equal and again.environment == found.environment and again.warnings == found.warnings[:1]
        present = replay(workspace, project.catalogue, reference)
        assert present.equal and present.environment == sys.prefix and present.warnings == again.warnings
        # Some gigabytes, which pytest would keep for a while.
        shutil.rmtree(found.environment)


@pytest.mark.slow
def test_a_model_of_several_classes_is_rebuilt_and_another_seed_order_or_label_is_not(
    repository: Repository,
    originals: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = "ml_platform_tests.pipeline.arrivals:arrivals"
    for name in ("__init__.py", "pipeline/__init__.py", "pipeline/arrivals.py"):
        (file := repository.root / "ml_platform_tests" / name).parent.mkdir(exist_ok=True)
        file.write_text((ROOT / "ml_platform_tests" / name).read_text())
    repository.edit("ml_platform/defs/flights/defs.yaml", "ml_platform.defs.flights.features:flights", function)
    repository.commit("several classes")
    gates = [{"gate": "disjoint"}, {"gate": "performance", "metric": "auc_macro", "min": 0.5}]
    catalogue = declared(features={"function": function}, models={"arrival": {**ARRIVAL, "gates": gates}})
    project = new_project(tmp_path / "project", originals, catalogue, arrived=MONTHS[:3])
    assert (outcome := project.ingest(JANUARY, MARCH)).success, outcome.error
    steps = ("split", "model", "evaluation", "registered_model")
    outcome = project.materialize(*(f"arrival/{step}" for step in steps), checks=None)
    assert outcome.success, outcome.error

    monkeypatch.setattr("ml_platform.cli.replay.project_catalogue", lambda: catalogue)
    with project.active() as workspace:
        version = workspace.registry.get("arrival", 1)
        reference, head = version.model_ref, workspace.ledger.head()
        assert reference.classes == CLASSES and not reference.provenance.dirty
        capsys.readouterr()
        assert replay_version("arrival@v1", "recorded", tmp_path / "found.json") == 0
        printed = capsys.readouterr().out
        assert "note:" not in printed and "model file: equal" in printed and "\nequal after" in printed
        found = json.loads((tmp_path / "found.json").read_text())
        assert found["equal"] and found["version"] == 1 and found["environment"] == sys.prefix
        assert {"auc_macro", "log_loss"} <= found["metrics"].keys()
        (entry,) = workspace.ledger.entries(kind="replay")
        assert entry.subject == reference.sha256 and entry.body["equal"] and workspace.ledger.head() != head

    def other(**changed: Any) -> Replay:
        return replayed(project, reference.model_copy(update=changed))

    seed = other(parameters={**reference.parameters, "seed": 8})
    assert not seed.equal and not seed.bytes_equal and not seed.other_features
    order = other(classes=(*CLASSES[1:], CLASSES[0]))
    assert not order.equal and not order.bytes_equal and not order.other_features
    repository.edit("ml_platform_tests/pipeline/arrivals.py", "delay < 0", "delay < 1")
    label = replayed(project, reference, code_commit=repository.commit("another label"))
    assert not label.equal and not label.bytes_equal and len(label.other_features) == 3 and label.other_metrics


def test_what_differs_is_said_first(repository: Repository) -> None:
    reference = ModelRef.model_construct(provenance=current())
    assert warnings(reference, current()) == ()
    repository.edit("requirements.lock", "2.1", "2.2")
    (lock,) = warnings(reference, current())
    assert "trained under lock" in lock
    dirty = ModelRef.model_construct(provenance=current())
    assert dirty.provenance.dirty
    (changes,) = warnings(dirty, current())
    assert "uncommitted changes" in changes
    old = current().model_copy(update={"python": "3.9.1", "dirty": False})
    (python,) = warnings(ModelRef.model_construct(provenance=old), current())
    assert "Python 3.9.1" in python


@pytest.mark.slow
def test_a_refit_and_the_model_that_was_judged_for_it_are_rebuilt(
    repository: Repository,
    four_months: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = [{"gate": "disjoint"}, {"gate": "performance", "metric": "auc", "min": 0.5}, {"gate": "replay"}]
    refitted = {
        "split": {"holdout": 1, "refit": True},
        "gates": [*few, {"gate": "agreement", "metric": "difference", "max": 3}],
    }
    catalogue = declared(models={"flight_delay": refitted})
    project = copy_of(four_months, tmp_path / "project", catalogue)
    steps = ("split", "model", "evaluation", "refit", "registered_model")
    outcome = project.materialize(*(f"flight_delay/{step}" for step in steps), checks=None)
    assert outcome.success, outcome.error
    assert outcome.passed("flight_delay/refit") == {"agreement_difference", "replay"}
    monkeypatch.setattr("ml_platform.cli.replay.project_catalogue", lambda: catalogue)
    with project.active() as workspace:
        reference = workspace.registry.get("flight_delay", 1).model_ref
        capsys.readouterr()
        assert replay_version("flight_delay@1", "present", tmp_path / "found.json") == 0
        printed = capsys.readouterr().out
        assert printed.count("model file: equal") == 2 and "metrics: a refit has none" in printed
        found = json.loads((tmp_path / "found.json").read_text())
        assert found["rebuilt"] == reference.file_hash and found["metrics"] == {}
        assert found["judged"]["rebuilt"] == reference.evaluated.file_hash and found["judged"]["metrics"]
        assert [entry.subject for entry in workspace.ledger.entries(kind="replay")] == [
            reference.sha256,
            reference.evaluated.sha256,
        ]
