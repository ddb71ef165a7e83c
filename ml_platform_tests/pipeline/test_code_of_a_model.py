"""A model file says nothing without the code that predicts with it: another code is another model, like other bytes."""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run, current
from ml_platform.pipeline import approval, evaluation, inspections, registration, release, training
from ml_platform.pipeline.predictors import predictor
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import SplitRef, VersionRef
from ml_platform.registry import evaluations
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import FEATURES, REGRESSION, copy_of, declared, folder_of, ingested

TRAINER = """
import json
import numpy as np
from pydantic import BaseModel
from ml_platform.training.trainer import Trained, labelled_rows

class Parameters(BaseModel, extra="forbid", frozen=True):
    pass

class Mean:
    version, equal_versions, libraries, Parameters = 1, (), ("numpy",), Parameters

    def check(self, parameters, task): ...

    def rounds(self, parameters): ...

    def limited(self, parameters, rounds):
        return parameters

    def train(self, frames, names, target, task, parameters, work, threads):
        rows = labelled_rows(frames, names, target, task)
        means = [float(rows.y.mean()), len(names)]
        file = work / "model.json"
        file.write_text(json.dumps(means))
        return Trained(file, "constants.answering:Constant", len(rows.y), rows.dropped)
"""
PREDICTOR = """
import json
import numpy as np

class Constant:
    suffix, packages, unused = "json", (("numpy",),), ()

    def __init__(self, found):
        self.mean, self.width = found

    @classmethod
    def load(cls, file, threads=1, types=()):
        return cls(json.loads(file.read_text()))

    def predict(self, matrix):
        return np.full(len(matrix), self.mean, np.float32)

    def contributions(self, matrix): ...

    def importance(self, names): ...
"""
GATES = [
    {"gate": "disjoint"},
    {"gate": "performance", "metric": "mae", "max": 100},
    {"gate": "champion", "metric": "mae", "mode": "non_inferior", "min": -100},
    {"gate": "replay"},
]


class Code:
    """The shop's project in Git, with a predictor of its own that is edited."""

    def __init__(self, root: Path) -> None:
        self.root, self.package = folder_of(root), root / "src" / "constants"
        self.package.mkdir(parents=True)
        (self.package / "__init__.py").touch()
        (self.package / "training.py").write_text(TRAINER)
        (self.package / "answering.py").write_text(PREDICTOR)
        (root / ".gitignore").write_text("__pycache__/\n")
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", "-C", str(self.root), *who, *arguments], capture_output=True, check=True)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        self.forget()

    def edit(self, old: str, new: str, name: str = "answering.py") -> None:
        file = self.package / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        self.forget()

    def forget(self) -> None:
        """A new process would load the code as it stands."""
        for name in [name for name in sys.modules if name.startswith("constants")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        current.cache_clear()


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Code]:
    made = Code(tmp_path / "code")
    monkeypatch.syspath_prepend(str(made.package.parent))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("DAGSTER_HOME", str(made.root))
    yield made
    made.forget()


@pytest.fixture
def project(code: Code, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    own = {"trainer": "constants.training:Mean", "parameters": {}, "gates": GATES, "drift": None}
    catalogue = declared(models={REGRESSION: own})
    return copy_of(
        ingested(tmp_path_factory.getbasetemp()), tmp_path / "project", catalogue, ML_PLATFORM_APPROVAL="person"
    )


def divided(workspace: Workspace, context: ModelContext, run: Run) -> SplitRef:
    """A split that was judged."""
    manifest = training.split(workspace, context, workspace.references.all(FEATURES), run)
    training.inspect_split(workspace, context, manifest, run)
    return manifest


def registered(project: Project) -> VersionRef:
    """Everything from the split to the registered version, as a run with the code of now does it."""
    with project.active() as workspace:
        context, run = project.context(REGRESSION), Run.new()
        manifest = divided(workspace, context, run)
        report = evaluation.evaluate(workspace, context, training.fit(workspace, context, manifest, run), run)
        inspections.inspect_evaluation(workspace, context, report, run)
        return registration.register(workspace, context, report, run)


@pytest.mark.slow
def test_another_predictor_is_another_version_that_waits_for_approval(project: Project, code: Code) -> None:
    first = registered(project)
    with project.active() as workspace:
        context = project.context(REGRESSION)
        approval.decide(workspace, context, first, "approved", by="ada", reason="good", run=Run.new())
        workspace.registry.set_alias(REGRESSION, "champion", first.version)
    assert registered(project).version == first.version, "the same code is the same version"

    code.edit("import numpy as np", "import numpy as np  # a comment")
    assert registered(project).version == first.version, "a comment changes nothing"

    code.edit("self.mean, np.float32)", "self.mean * 3, np.float32)")
    code.commit("predict three times as much")
    second = registered(project)
    assert second.version == first.version + 1 and second.approval == "pending"
    assert second.model_ref.file_hash == first.model_ref.file_hash and second.sha256 != first.sha256
    assert second.mlflow_run_id != first.mlflow_run_id
    with project.active() as workspace:
        found = evaluations.load(workspace.tracking, second.model_ref)
        before = evaluations.load(workspace.tracking, first.model_ref)
        assert found.champion is not None and found.champion.sha256 == first.sha256
        compared = found.champion.comparisons["mae"]
        assert compared.champion == pytest.approx(before.metrics["mae"]) and compared.gain < -1
        assert before.champion is None, "the evaluation of the version before is kept"

        matrix = np.zeros((3, len(first.model_ref.features)), np.float32)
        theirs, ours = (predictor(workspace, one.model_ref, 1).predict(matrix) for one in (first, second))
        np.testing.assert_allclose(ours, 3 * theirs, rtol=1e-6)
        with pytest.raises(Refused, match="version 2 is pending"):
            release.package(workspace, project.context(REGRESSION), second, Run.new())
        with pytest.raises(Refused, match="was trained with other code of its predictor; train it again"):
            release.package(workspace, project.context(REGRESSION), first, Run.new())

    code.edit("self.mean * 3, np.float32)", "self.mean, np.float32)")
    code.commit("as it was")
    assert registered(project).version == first.version, "the code before is the version before"


@pytest.mark.slow
def test_a_champion_whose_code_is_in_no_commit_holds_nobody_up_once_it_is_rejected(
    project: Project, code: Code
) -> None:
    gates = [gate for gate in GATES if gate["gate"] != "replay"]
    own = {"trainer": "constants.training:Mean", "parameters": {}, "gates": gates, "drift": None}
    project = replace(project, catalogue=declared(models={REGRESSION: own}))
    code.edit("self.mean, np.float32)", "self.mean + 1, np.float32)")
    first = registered(project)
    with project.active() as workspace:
        approval.decide(
            workspace, project.context(REGRESSION), first, "approved", by="ada", reason="good", run=Run.new()
        )
        workspace.registry.set_alias(REGRESSION, "champion", first.version)
    code.edit("self.mean + 1, np.float32)", "self.mean, np.float32)")
    with pytest.raises(PlatformError, match=f"ml-platform reject {REGRESSION}@VERSION"):
        registered(project)
    with project.active() as workspace:
        approval.decide(workspace, project.context(REGRESSION), first, "rejected", by="ada", reason="x", run=Run.new())
    second = registered(project)
    assert second.version == first.version + 1
    with project.active() as workspace:
        assert evaluations.load(workspace.tracking, second.model_ref).champion is None


def moved(code: Code, name: str, new: str) -> None:
    """As ``git mv``, with all that names the module adapted."""
    (code.package / f"{name}.py").rename(code.package / f"{new}.py")
    for file in code.package.glob("*.py"):
        file.write_text(file.read_text().replace(f"constants.{name}", f"constants.{new}"))
    code.commit(f"{name} is {new}")


@pytest.mark.slow
def test_a_predictor_may_move(project: Project, code: Code) -> None:
    """To a version of its own, equal to the one before, which is compared with by the code of its commit."""
    first = registered(project)
    with project.active() as workspace:
        approval.decide(
            workspace, project.context(REGRESSION), first, "approved", by="ada", reason="good", run=Run.new()
        )
        workspace.registry.set_alias(REGRESSION, "champion", first.version)
    moved(code, "answering", "predicting")
    second = registered(project)
    assert (second.version, second.sha256) == (first.version + 1, first.sha256)
    assert second.model_ref.format == "constants.predicting:Constant"
    assert registered(project).version == second.version, "the version of where it stands now"
    with project.active() as workspace:
        context = project.context(REGRESSION)
        matrix = np.zeros((3, len(first.model_ref.features)), np.float32)
        theirs, ours = (predictor(workspace, one.model_ref, 1).predict(matrix) for one in (first, second))
        np.testing.assert_array_equal(ours, theirs)
        with pytest.raises(Refused, match="was trained with other code of its predictor; train it again"):
            release.package(workspace, context, first, Run.new())
        approval.decide(workspace, context, second, "approved", by="ada", reason="moved", run=Run.new())
        packaged = release.package(workspace, context, workspace.registry.get(REGRESSION, 2), Run.new())
        assert (packaged.version, packaged.model_sha256) == (2, first.sha256)


@pytest.mark.slow
def test_a_task_may_move(project: Project, code: Code) -> None:
    (code.package / "asking.py").write_text(
        "from ml_platform.models.regression import Regression\n\n\nclass Own(Regression):\n    pass\n"
    )
    code.commit("a task")

    def asked(module: str) -> Project:
        own = {"trainer": "constants.training:Mean", "parameters": {}, "gates": GATES, "drift": None}
        return replace(project, catalogue=declared(models={REGRESSION: own | {"task": f"constants.{module}:Own"}}))

    first = registered(asked("asking"))
    with project.active() as workspace:
        workspace.registry.set_alias(REGRESSION, "champion", first.version)
    moved(code, "asking", "tasks")
    second = registered(asked("tasks"))
    assert (second.version, second.sha256) == (first.version + 1, first.sha256)
    assert second.model_ref.task == "constants.tasks:Own"
    # What is trained next is compared with the version of the old place.
    code.edit("rows.y.mean()", "rows.y.mean() * 0.9", "training.py")
    code.commit("a little less")
    other = registered(asked("tasks"))
    with project.active() as workspace:
        found = evaluations.load(workspace.tracking, other.model_ref).champion
        assert found is not None and found.sha256 == first.sha256 and found.comparisons["mae"].gain != 0
    # Another task by the same file is none that moved.
    (code.package / "tasks.py").write_text((code.package / "tasks.py").read_text().replace("pass", "unit = 'days'"))
    code.commit("another unit")
    with pytest.raises(PlatformError, match=r"the champion predicts delivery_days .*; reject it .*or give"):
        registered(asked("tasks"))


def test_code_that_is_in_no_commit_is_not_guessed(project: Project, code: Code) -> None:
    code.edit("self.mean, np.float32)", "self.mean * 2, np.float32)")
    with project.active() as workspace:
        context, run = project.context(REGRESSION), Run.new()
        manifest = divided(workspace, context, run)
        uncommitted = training.fit(workspace, context, manifest, run)
        code.edit("self.mean * 2, np.float32)", "self.mean, np.float32)")
        with pytest.raises(PlatformError, match=r"trained with .*, uncommitted.*put back its code, or reject"):
            predictor(workspace, uncommitted, 1).predict(np.zeros((3, len(uncommitted.features)), np.float32))
    assert not list((code.root / ".git" / "worktrees").glob("*")), "nothing is left behind"


def test_a_model_from_outside_git_is_named_with_the_way_out(project: Project, code: Code) -> None:
    shutil.rmtree(code.root / ".git")
    code.forget()
    with project.active() as workspace:
        context, run = project.context(REGRESSION), Run.new()
        manifest = divided(workspace, context, run)
        outside = training.fit(workspace, context, manifest, run)
        code.edit("self.mean, np.float32)", "self.mean * 2, np.float32)")
        with pytest.raises(PlatformError, match=r"which a candidate .* is compared with: .*put back the text of its"):
            predictor(workspace, outside, 1).predict(np.zeros((3, len(outside.features)), np.float32))


def test_an_edited_trainer_trains_anew(project: Project, code: Code) -> None:
    """The model of the code before is adopted by nobody, until that code is back."""
    with project.active() as workspace:
        context, run = project.context(REGRESSION), Run.new()
        manifest = divided(workspace, context, run)
        first = training.fit(workspace, context, manifest, run)
        code.edit("rows.y.mean()", "rows.y.mean() * 0.2", "training.py")
        second = training.fit(workspace, context, manifest, Run.new())
        assert second.run_id != first.run_id and second.file_hash != first.file_hash
        code.edit("rows.y.mean() * 0.2", "rows.y.mean()", "training.py")
        assert training.fit(workspace, context, manifest, Run.new()) == first
