"""What ``live`` says of a model that was asked, before and after it is known what came of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.rollout.pairs import log_folder
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform_tests.cli.conftest import Invoke, only_line
from ml_platform_tests.components.shop import APRIL, MODEL

pytestmark = pytest.mark.slow


def test_what_was_not_measured_says_how_it_will_be(invoke: Invoke, tmp_path: Path) -> None:
    ended = invoke("live", MODEL)
    assert ended.code == 1
    assert f"{MODEL}/live_performance: it was never measured" in only_line(ended.err)
    assert "there is no model" in only_line(invoke("live", "nobody").err)


def test_windows_are_shown_with_what_they_come_to(invoke: Invoke, tmp_path: Path) -> None:
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline import logged_predictions, performance
    from ml_platform.pipeline.materializer import materializer_of
    from ml_platform.pipeline.workspace import Workspace

    assert invoke("status").code == 0  # leaves the settings of the project in this process
    workspace, context, run = Workspace(), ModelContext.of(project_catalogue(), MODEL), Run.new()
    rows = materializer_of(workspace, context.feature_set, context.dataset).raw(APRIL)
    log = PredictionLog(
        log_folder(workspace.settings),
        Answerer(MODEL, 1),
        columns=context.function.inputs,
        clock=lambda: datetime(2024, 5, 1, 12, tzinfo=UTC),
    )
    # Answers that know what will come.
    log.add(Asked("1"), rows, (0.2 + 0.6 * rows["outcome"].to_numpy()).astype(np.float32))
    log.close()
    logged_predictions.ingest(workspace, context, run)
    performance.update(workspace, context, run)
    file = tmp_path / "live.json"
    ended = invoke("live", MODEL, "--json", str(file))
    assert ended.code == 0, ended.err
    found = json.loads(file.read_text())
    (window,) = found["windows"]
    assert (window["window"], window["predictions"], window["status"]) == (APRIL, rows.height, "kept")
    assert found["newest"]["status"] == "kept" and found["fallen"] == ""
    assert APRIL in ended.out and f"{MODEL}: version 1 from {APRIL}: auc 1.000" in ended.out
