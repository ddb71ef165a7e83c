"""A version of the shop's model that answers, by record and ledger, and what it answered: a real prediction log."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ml_platform.datasets import batches
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import rollout
from ml_platform.pipeline.release import backend_in
from ml_platform.rollout import changes
from ml_platform.rollout.pairs import log_folder
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform_tests.prepared import once
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, MODEL, copy_of


class Model(NamedTuple):
    """What a package answers with."""

    predict: Callable[[pl.DataFrame], np.ndarray]
    sha256: str


def answering(base: Path, with_models: Path) -> Path:
    """Folder of a project whose version 1 is packaged and is what answers; ``base`` as for :func:`once`."""

    def make(folder: Path) -> None:
        project = copy_of(with_models, folder)
        outcome = project.materialize(f"{MODEL}/service")
        assert outcome.success, outcome.error
        ref = project.reference(f"{MODEL}/service")
        with project.active() as workspace:
            package = backend_in(workspace.settings.local / ref.path, 1, ref.tag, ref.sha256)
            rollout.begin(workspace, MODEL, package, Run.new(), by="ann", why="test")
            for change in (
                partial(changes.started, backend=package, by="ann", why="test"),
                partial(changes.promoted, why="test"),
            ):
                workspace.rollouts.update(MODEL, change)
            assert rollout.project(workspace, MODEL, Run.new()) == 1

    return once(base, "shop-answering", make)


def packaged(project: Project) -> Model:
    """What the package of version 1 answers to raw rows."""
    from ml_platform.features.build import featurize
    from ml_platform.features.history import History
    from ml_platform.models.predictor import load_predictor
    from ml_platform.serving import bundle

    ref, function = project.reference(f"{MODEL}/service"), project.context().function
    with project.active() as workspace:
        files = workspace.settings.local / ref.path / bundle.SOURCE / bundle.FOLDER
        config, _ = bundle.read(files)
        history = History.load(function, files / bundle.HISTORY)
        model = load_predictor(config.format, files / config.file, 1, config.types)
    return Model(lambda raw: model.predict(featurize(function, raw.select(function.inputs), history)), ref.sha256)


def rows_of(project: Project, month: str) -> pl.DataFrame:
    """The rows of a month as the source delivers them, without those that break a rule."""
    return project.batches.original(month).filter(pl.col("quantity") > 0)


def serve(
    project: Project,
    rows: pl.DataFrame,
    *,
    version: int = 1,
    model: Model | None = None,
    predictions: np.ndarray | None = None,
    on: date | None = None,
    hashed: Sequence[str] = (),
    columns: Sequence[str] | None = None,
) -> None:
    """Log the answers to rows, by what serves do: on the day of each row (or ``on``) at noon, 10 rows a request."""
    inputs = columns or project.context().function.inputs
    said = predictions if predictions is not None else (model or packaged(project)).predict(rows)
    moment = [datetime(2024, 1, 1, tzinfo=UTC)]
    with project.active() as workspace:
        answerer = Answerer(MODEL, version, "a" * 64, hashed=tuple(hashed), secret="s" if hashed else "")
        log = PredictionLog(
            log_folder(workspace.settings), answerer, columns=[*inputs], flush_seconds=60, clock=lambda: moment[0]
        )
        numbered = rows.with_row_index("row")
        for (day,), of_day in numbered.group_by("day", maintain_order=True):
            assert isinstance(day, date)
            moment[0] = datetime.combine(on or day, time(12), UTC)
            for number, chunk in enumerate(of_day.iter_slices(10)):
                asked = Asked(f"{version}-{day}-{number}", route=MODEL, role="stable")
                assert log.add(asked, chunk.drop("row"), said[chunk["row"].to_numpy()].astype(np.float32))
        log.close()


def requests_of(rows: pl.DataFrame, version: int = 1) -> pl.DataFrame:
    """Our id, and the number in the request, under which :func:`serve` logs each row, in its order."""
    place = pl.int_range(pl.len()).over("day")
    return rows.select(
        pl.format("{}-{}-{}", pl.lit(version), pl.col("day").cast(pl.String), place // 10).alias("request_id"),
        (place % 10).alias("request_row"),
    )


def published_rows(project: Project, month: str) -> pl.DataFrame:
    """The published rows of a month."""
    with project.active() as workspace:
        info = batches.published(workspace.store, DATASET)[month]
        return batches.read_batch(workspace.store, DATASET, month, info.sha256)
