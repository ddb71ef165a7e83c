"""Each faulty entry module, in a really started package, breaks what it says and nothing else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_platform.features.build import featurize
from ml_platform.foundation.settings import Settings
from ml_platform.models.predictor import load_predictor
from ml_platform.proving import faults
from ml_platform.serving import bundle, checks
from ml_platform.serving.client import Client
from ml_platform_tests.conftest import ports
from ml_platform_tests.serving.conftest import UNTIL, Inputs, make_raw, train
from ml_platform_tests.serving.tiny import Tiny


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A trained model that nobody packaged."""
    return train(tmp_path_factory.mktemp("tiny"))


@contextmanager
def entered(inputs: Inputs, folder: Path, fault: str, **options: Any) -> Iterator[checks.Running]:
    """The running service of a package with a faulty entry module."""
    entry = f"{faults.__name__}.{fault}"
    packaged = inputs.package(folder / "services", entry=entry, options=options)
    config, _ = bundle.read(packaged.path / bundle.SOURCE / bundle.FOLDER)
    assert (config.entry, config.options) == (entry, options)
    settings = Settings(local=folder / "local", ports=ports(3470, 10))
    with checks.running(packaged.path, settings) as running:
        yield running


def test_swapped_columns_change_the_predictions(inputs: Inputs, tmp_path: Path) -> None:
    raw = make_raw(200, UNTIL, 1, 5)
    matrix = featurize(Tiny(), raw, inputs.history)
    matrix[:, [0, 1]] = matrix[:, [1, 0]]
    wrong = load_predictor("ubj", inputs.model_file).predict(matrix)
    assert (wrong != inputs.predict(raw)).mean() > 0.5
    with entered(inputs, tmp_path, "swapped", columns=[0, 1]) as service:
        assert checks.skew(service, raw, wrong).differing == 0
        assert all(case.refused for case in checks.bad_inputs(service, inputs.rows(1)[0]))


def test_a_tolerant_service_takes_bad_bodies_and_predicts_good_rows_as_ever(inputs: Inputs, tmp_path: Path) -> None:
    raw = make_raw(200, UNTIL, 1, 5)
    with entered(inputs, tmp_path, "tolerant") as service:
        assert checks.skew(service, raw, inputs.predict(raw)).differing == 0
        taken = {case.case for case in checks.bad_inputs(service, inputs.rows(1)[0]) if not case.refused}
    assert {"extra field", "wrong type: float"} <= taken
    assert not {"missing field", "no rows", "NaN", "null", "not JSON"} & taken


def test_a_waiting_service_is_late_every_so_often(inputs: Inputs, tmp_path: Path) -> None:
    row, times = inputs.rows(1), []
    with (
        entered(inputs, tmp_path, "waiting", seconds=0.5, every=10) as service,
        Client(service.url, service.key) as client,
    ):
        for _ in range(20):
            started = time.perf_counter()
            client.predict(row)
            times.append(time.perf_counter() - started)
    # The prediction of the example row was the first: the ninth and the nineteenth of these wait.
    assert times[8] >= 0.5 and times[18] >= 0.5
    assert min(times) < 0.5
