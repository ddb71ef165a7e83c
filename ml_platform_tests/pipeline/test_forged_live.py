"""What was measured of answers lies on a branch where whoever writes to the store can put other figures: those are
measured again, and shown by nobody."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ml_platform.datasets.derived import commit_objects
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import labelled_predictions, live_drift, performance
from ml_platform.pipeline.labelled_predictions import BRANCH
from ml_platform.pipeline.labels import LABEL
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.pipeline.served import answering, rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MAY, MODEL, copy_of

LIVE = (f"{MODEL}/predictions", f"{MODEL}/live_performance")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project whose version 1 answered every row of May, and what came of them was measured."""
    folder = tmp_path_factory.mktemp("served") / "project"
    project = copy_of(answering(tmp_path_factory.getbasetemp(), with_models), folder)
    serve(project, rows_of(project, MAY))
    project = copy_of(folder, folder.parent / "measured", ML_PLATFORM_NOW="2024-06-02T08:00:00+00:00")
    project.batches.deliver(MAY)
    outcome = project.ingest(MAY)
    assert outcome.success, outcome.error
    measure(project)
    return project.folder


@pytest.fixture
def project(measured: Path, tmp_path: Path) -> Project:
    return copy_of(measured, tmp_path / "project", ML_PLATFORM_NOW="2024-06-02T08:00:00+00:00")


def measure(project: Project) -> None:
    outcome = project.materialize(*LIVE)
    assert outcome.success, outcome.error


def day_forged(file: Path) -> None:
    frame = pl.read_parquet(file)
    frame.with_columns((1 - pl.col(LABEL)).alias(LABEL)).write_parquet(file)


def window_forged(file: Path) -> None:
    (window,) = json.loads(file.read_text())
    file.write_text(json.dumps([{**window, "status": "below", "said": "auc .4"}]))


def rows_forged(file: Path) -> None:
    file.write_text(json.dumps([{**one, "rows": one["rows"] + 1} for one in json.loads(file.read_text())]))


def holdout_forged(file: Path) -> None:
    usual = json.loads(file.read_text())
    better = {name: {at: {**one, "value": 0.99, "lower": 0.98} for at, one in of.items()} for name, of in usual.items()}
    file.write_text(json.dumps(better))


def forge(workspace: Workspace, part: str, folder: Path, change: Callable[[Path], None]) -> list[str]:
    """Change every object of a part of the branch, with what the store says of it as it was; the new contents."""
    store = workspace.store
    there = {info.path: info for info in store.list(BRANCH, f"live/{MODEL}/{part}/")}
    assert there
    files: dict[str, Path] = {}
    for number, path in enumerate(there):
        files[path] = folder / f"{number}"
        files[path].write_bytes(store.local_path(store.resolve(BRANCH), path).read_bytes())
        change(files[path])
    said = {path: info.metadata for path, info in there.items()}
    put = commit_objects(store, BRANCH, files, run_id="x", message="Live", objects=said)
    return [sha256 for sha256, *_ in put.values()]


@pytest.mark.parametrize(
    ("part", "change"), [("days", day_forged), ("windows", window_forged), ("versions", holdout_forged)]
)
def test_forged_figures_are_measured_again(
    project: Project, tmp_path: Path, part: str, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with project.active() as workspace:
        honest, said = performance.known(workspace, MODEL), performance.statement(workspace, MODEL)
        before = len(project.entries())
        forged = forge(workspace, part, tmp_path, change)
        if part == "versions":
            # So that the window is measured again, beside the holdout that was.
            forge(workspace, "windows", tmp_path, window_forged)
    measure(project)
    with project.active() as workspace:
        assert performance.known(workspace, MODEL) == honest and performance.statement(workspace, MODEL) == said
        contents = {info.sha256 for info in workspace.store.list(BRANCH, f"live/{MODEL}/{part}/")}
        assert contents and not contents & {*forged}
        assert len(project.entries()) == before


def test_a_forged_window_is_shown_by_nobody(project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ml_platform.foundation.errors import MissingReference

    with project.active() as workspace:
        (sha256,) = forge(workspace, "windows", tmp_path, window_forged)
        with caplog.at_level(logging.WARNING), pytest.raises(MissingReference, match="was never measured"):
            performance.known(workspace, MODEL)
        assert f"the ledger names no making of this content ({sha256[:12]}) as the newest" in caplog.text


def test_an_earlier_copy_is_shown_by_nobody(project: Project, tmp_path: Path) -> None:
    """What was measured once, and is no more what was measured last."""
    path = f"live/{MODEL}/windows/2030-01-01.json"
    with project.active() as workspace:
        run, old = Run.new(), tmp_path / "old.json"
        said = {path: {"key": "k"}}
        for place, text in ((old, "[]"), (tmp_path / "new.json", "[1]")):
            place.write_text(text)
            labelled_predictions.commit(workspace, {path: place}, said, "Live", run)
        assert path in labelled_predictions.made(workspace, path)
        commit_objects(workspace.store, BRANCH, {path: old}, run_id="x", message="Live", objects=said)
        assert path not in labelled_predictions.made(workspace, path)
        labelled_predictions.commit(workspace, {path: old}, said, "Live", run)
        assert path in labelled_predictions.made(workspace, path), "made again, it is the newest"


def test_forged_drift_is_measured_again_and_shown_by_nobody(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        honest = live_drift.update(workspace, context, run).windows
        assert live_drift.known(workspace, MODEL) == honest and honest
        forged = forge(workspace, "drift", tmp_path, rows_forged)
        assert live_drift.known(workspace, MODEL) == []
        assert live_drift.update(workspace, context, run).windows == honest == live_drift.known(workspace, MODEL)
        assert not {info.sha256 for info in workspace.store.list(BRANCH, f"live/{MODEL}/drift/")} & {*forged}
