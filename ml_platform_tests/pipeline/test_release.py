"""What the answers of a service are held against."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ml_platform.pipeline import predictors, release
from ml_platform_tests.shop_project import MODEL, copy_of


def test_rows_are_predicted_among_the_whole_partition(
    with_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predicted among those of one request, both sides would be wrong in the same way."""
    project = copy_of(with_models, tmp_path / "project")
    company = SimpleNamespace(predict=lambda matrix: np.full(len(matrix), len(matrix), np.float32))
    monkeypatch.setattr(predictors, "predictor", lambda *_, **__: company)
    monkeypatch.setattr(release, "SKEW_ROWS", 7)
    with project.active() as workspace:
        raw, expected = release.holdout_sample(workspace, project.context(MODEL), workspace.registry.get(MODEL, 1))
    assert raw.height == len(expected) == 7 < expected.min()
