"""Models of another trainer, and of a trainer of its own, answer from a really started package."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.features.build import build
from ml_platform.features.contract import feature_names
from ml_platform.features.history import History, daily
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.settings import Settings
from ml_platform.models.predictor import load_predictor
from ml_platform.models.task import task_of
from ml_platform.serving import checks
from ml_platform.serving.client import Client
from ml_platform.training.trainer import trainer_of
from ml_platform_tests.serving.conftest import UNTIL, Inputs, make_raw
from ml_platform_tests.serving.tiny import Tiny

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": (
        "sklearn",
        {
            "estimator": "sklearn.linear_model:LogisticRegression",
            "preprocessing": [{"estimator": "sklearn.impute:SimpleImputer"}],
        },
    ),
    "own": ("ml_platform_tests.extending.nearest_trainer:NearestTrainer", {"kept": 100}),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_service_gives_the_bits_of_training(
    name: str, inputs: Inputs, service_settings: Settings, tmp_path: Path
) -> None:
    trainer = trainer_of(MODELS[name][0])
    raw = make_raw(2000, date(2024, 1, 1), 91)
    history = History.from_tables(Tiny(), [daily(Tiny(), raw)], 1)
    frame = build(Tiny(), raw, history).drop(Tiny().labels).with_columns(late=raw["late"].cast(pl.Int8))
    trained = trainer.train(
        lambda: iter([frame]),
        *(feature_names(Tiny()), "late", task_of("binary"), trainer.Parameters.model_validate(MODELS[name][1])),
        *(tmp_path, 1),
    )
    packaged = inputs.package(
        tmp_path / "services",
        model_file=trained.file,
        model_sha256=sha256_file(trained.file),
        format=trained.format,
        types=trained.types,
    )
    sample = make_raw(200, UNTIL + timedelta(days=1), 1, 5)
    from ml_platform.features.build import featurize

    predictor = load_predictor(trained.format, trained.file, 1, trained.types)
    expected = predictor.predict(featurize(Tiny(), sample, inputs.history))
    assert len(np.unique(expected)) > 5
    with checks.running(packaged.path, service_settings) as service:
        assert checks.servability(service, packaged.path, inputs.rows()).identity
        found = checks.skew(service, sample.select(Tiny().inputs), expected)
        assert (found.rows, found.differing) == (200, 0)
        with Client(service.url, service.key) as client:
            status, content = client.send("POST", "/explain", json.dumps({"rows": inputs.rows(1)}).encode())
        assert status == 422 and b"gives no contributions of a row" in content
        refused = checks.bad_inputs(service, inputs.rows(1)[0])
        assert all(case.refused for case in refused)
