"""XGBoost asked without its package's layers says what it says through them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xgboost

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.xgboost import XGBoost

WIDTH = 6


def trained(objective: str, folder: Path, **further: object) -> XGBoost:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(600, WIDTH)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    y = rng.integers(0, 3 if "multi" in objective else 2, 600)
    data = xgboost.DMatrix(matrix, y)
    booster = xgboost.train({"objective": objective, "max_depth": 4, "nthread": 1, **further}, data, 15)
    booster.save_model(folder / "model.ubj")
    return XGBoost.load(folder / "model.ubj")


@pytest.mark.parametrize(
    ("objective", "further"),
    [
        ("binary:logistic", {}),
        ("multi:softprob", {"num_class": 3}),
        ("reg:squarederror", {}),
        ("count:poisson", {}),
        ("binary:logistic", {"booster": "dart", "rate_drop": 0.2}),
    ],
)
def test_predictions_are_those_of_the_package_bit_for_bit(objective: str, further: dict, tmp_path: Path) -> None:
    model = trained(objective, tmp_path, **further)
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(500, WIDTH))
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    matrix[0] = np.nan
    for given in (
        matrix.astype(np.float32),
        np.asfortranarray(matrix.astype(np.float32)),
        matrix.astype(np.float32)[::3],
        matrix,
        matrix[:1].astype(np.float32),
        matrix[:0].astype(np.float32),
    ):
        expected = np.asarray(model.booster.inplace_predict(np.ascontiguousarray(given, dtype=np.float32)))
        found = model.predict(given)
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        assert found.tobytes() == expected.tobytes()


def test_threads_do_not_read_each_others_predictions(tmp_path: Path) -> None:
    model = trained("binary:logistic", tmp_path)
    rows = np.random.default_rng(3).normal(size=(64, WIDTH)).astype(np.float32)
    expected = model.predict(rows)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda n: model.predict(rows[n % 64 : n % 64 + 1])[0], range(2_000))]
    assert found == [expected[n % 64] for n in range(2_000)]


def test_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="model expects 6 features"):
        trained("reg:squarederror", tmp_path).predict(np.zeros((1, WIDTH + 1), dtype=np.float32))
