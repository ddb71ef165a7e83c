"""Monthly feature frames whose outcome is known, and the references that go with them."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.provenance import Provenance
from ml_platform.models.predictor import Predictor, load_predictor
from ml_platform.models.task import task_of
from ml_platform.references.refs import ManifestEntry, SplitRef
from ml_platform.registry.tracking import Tracking
from ml_platform.training.split import SplitRule, plan
from ml_platform.training.trainer import Trained, trainer_of

NAMES = ("signal", "weak", "noise", "gaps")
PROVENANCE = Provenance(code_commit="0" * 40, dirty=False, lock_sha256="1" * 64, python="3.11")
#: Share of rows without a label.
UNLABELLED = 0.03


def month_frame(month: int, rows: int = 1500) -> pl.DataFrame:
    """A month of rows; `late` follows the features through a logistic, with a common shock per day."""
    random = np.random.default_rng(month)
    days = np.sort(random.integers(0, monthrange(2013, month)[1], rows))
    x = random.normal(size=(rows, 4))
    shock = random.normal(scale=0.7, size=31)[days]
    score = 1.2 * x[:, 0] + 0.4 * x[:, 1] + shock - 1
    late = (random.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int8)
    delay = 12 * score + random.normal(scale=15, size=rows)
    x[random.random(rows) < 0.2, 3] = np.nan
    known = random.random(rows) >= UNLABELLED
    return pl.DataFrame(
        {
            "flight": np.arange(rows),
            "date": [date(2013, month, 1) + timedelta(days=int(day)) for day in days],
            "carrier": random.choice(["AA", "UA", "ZZ"], rows, p=[0.6, 0.39, 0.01]),
            **{name: x[:, i].astype(np.float32) for i, name in enumerate(NAMES)},
            "late": pl.Series(late).set(pl.Series(~known), None),
            "arr_delay": pl.Series(delay.astype(np.float32)).set(pl.Series(~known), None),
        }
    )


def key(month: int) -> str:
    """Partition key of a month."""
    return date(2013, month, 1).isoformat()


def entry(month: int) -> ManifestEntry:
    """The manifest entry of :func:`month_frame`."""
    return ManifestEntry(
        partition=key(month),
        sha256=sha256_bytes(f"features {month}"),
        commit="c" * 40,
        path=f"features/{key(month)}.parquet",
        rows=1500,
        first=key(month),
        last=date(2013, month, monthrange(2013, month)[1]).isoformat(),
        inputs={f"flights/{key(past)}": sha256_bytes(f"raw {past}") for past in range(1, month + 1)},
    )


def split_ref(months: range, holdout: int = 1, model: str = "flight_delay") -> SplitRef:
    """A split of these months whose newest ``holdout`` ones are held out."""
    available = {key(month): entry(month) for month in months}
    train, held, refused, _ = plan(SplitRule(holdout=holdout), sorted(available), available, set())
    return SplitRef(
        run_id="dagster-1",
        provenance=PROVENANCE,
        model=model,
        dataset="flights/features",
        train=train,
        holdout=held,
        refused=refused,
    )


def frames(entries: tuple[ManifestEntry, ...]) -> list[pl.DataFrame]:
    """The frames of manifest entries."""
    return [month_frame(int(entry.partition[5:7])) for entry in entries]


class Fit(NamedTuple):
    """A trained model, loaded from its file."""

    content: bytes
    predictor: Predictor
    trained: Trained


def fit(
    data: list[pl.DataFrame],
    target: str,
    task: str = "binary",
    *,
    trainer: str = "xgboost",
    classes: tuple[str, ...] = (),
    names: Sequence[str] = NAMES,
    threads: int = 1,
    **parameters: Any,
) -> Fit:
    """Train on these frames, through the file as everybody else does."""
    one = trainer_of(trainer)
    with TemporaryDirectory() as work:
        trained = one.train(
            lambda: iter(data),
            *(names, target, task_of(task, classes), one.Parameters.model_validate(parameters), Path(work), threads),
        )
        content = trained.file.read_bytes()
        return Fit(content, load_predictor(trained.format, trained.file, threads, trained.types), trained)


def tracking_below(folder: Path) -> Tracking:
    """A tracking store of its own."""
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")
