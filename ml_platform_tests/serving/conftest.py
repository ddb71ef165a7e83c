"""A really trained and really packaged tiny service, made once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.features.build import featurize
from ml_platform.features.history import History, daily
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.provenance import Provenance
from ml_platform.foundation.settings import Settings
from ml_platform.serving import checks, packaging
from ml_platform.serving.schema import RequestSchema, request_schema, to_rows
from ml_platform_tests.conftest import ports
from ml_platform_tests.serving.tiny import Schema, Tiny

FUNCTION = "ml_platform_tests.serving.tiny:Tiny"
PROVENANCE = Provenance(code_commit="none", dirty=False, lock_sha256="0" * 64, python="3")
#: Last day with outcomes; the history's lag is one day.
UNTIL = date(2024, 3, 31)


def make_raw(rows: int, first: date, days: int, seed: int = 0) -> pl.DataFrame:
    """Raw rows with labels."""
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "day": [first + timedelta(days=int(n)) for n in rng.integers(0, days, rows)],
            "shop": rng.choice(["north", "south", "west"], rows),
            "amount": rng.gamma(2.0, 30.0, rows),
            "items": pl.Series(rng.integers(0, 300, rows), dtype=pl.Int16),
            "member": rng.random(rows) < 0.4,
            "late": pl.Series((rng.random(rows) < 0.3).astype(np.int8)),
        }
    )
    return frame.with_columns(pl.when(pl.int_range(rows) % 11 == 0).then(None).otherwise("amount").alias("amount"))


@dataclass
class Inputs:
    """What packaging needs, and the path that training took."""

    folder: Path
    model_file: Path
    history_file: Path
    history: History
    request: RequestSchema

    @property
    def model_sha256(self) -> str:
        return sha256_file(self.model_file)

    def predict(self, raw: pl.DataFrame) -> np.ndarray:
        """Predictions of training's own path."""
        import xgboost as xgb

        return xgb.Booster(model_file=str(self.model_file)).inplace_predict(featurize(Tiny(), raw, self.history))

    def package(self, destination: Path, version: int = 1, **changes: object) -> packaging.Packaged:
        values: dict = {
            "task": "binary",
            "provenance": PROVENANCE,
            "decision_threshold": 0.3,
            "description": "Whether a basket comes back.\n\nNot for: vouchers",
            "destination": destination,
            "model_file": self.model_file,
            "model_sha256": self.model_sha256,
        }
        values |= changes
        model_file, model_sha256 = values.pop("model_file"), values.pop("model_sha256")
        function = values.pop("function_path", FUNCTION)
        return packaging.package(
            "tiny", version, model_file, model_sha256, self.history_file, function, self.request, **values
        )

    def rows(self, count: int = 3, seed: int = 5) -> list[dict]:
        """Good rows of the first day after the history."""
        return to_rows(self.request, make_raw(count, UNTIL + timedelta(days=1), 1, seed))


def train(folder: Path, rounds: int = 20) -> Inputs:
    """Train the tiny model."""
    import xgboost as xgb

    raw = make_raw(4000, date(2024, 1, 1), 91)
    history = History.from_tables(Tiny(), [daily(Tiny(), raw)], 1)
    matrix = xgb.DMatrix(featurize(Tiny(), raw, history), raw["late"].to_numpy())
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 2}, matrix, rounds)
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / "model.ubj")
    history.save(folder / "history.parquet")
    return Inputs(folder, folder / "model.ubj", folder / "history.parquet", history, request_schema(Tiny(), Schema))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return train(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def packaged(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> packaging.Packaged:
    return inputs.package(tmp_path_factory.mktemp("services"))


@pytest.fixture(scope="session")
def service_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of services under test: an own range of ports and an API key."""
    from ml_platform.foundation.files import sha256_bytes

    return Settings(
        local=tmp_path_factory.mktemp("local"),
        ports=ports(3300, 100),
        api_key_sha256=sha256_bytes("right"),
        secret_key="right",  # type: ignore[arg-type]
        service_body_limit=1 << 18,
    )


@pytest.fixture(scope="session")
def service(packaged: packaging.Packaged, service_settings: Settings) -> Iterator[checks.Running]:
    with checks.running(packaged.path, service_settings) as running:
        yield running
