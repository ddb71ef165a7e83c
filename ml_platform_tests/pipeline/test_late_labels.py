"""Outcomes that come late: the holdout is the newest time of which they are known."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import training
from ml_platform.pipeline.evaluation import unseen_categories
from ml_platform.references.refs import ManifestEntry, ModelRef, SplitRef
from ml_platform_tests.shop_project import FEATURES, MODEL, MONTHS, copy_of, declared, ingested, registered


@pytest.mark.parametrize(
    ("delay", "train", "holdout"),
    [(0, MONTHS[:3], MONTHS[3]), (30, MONTHS[:2], MONTHS[2]), (45, MONTHS[:1], MONTHS[1])],
)
def test_the_newest_partitions_are_in_neither_part(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, delay: int, train: list[str], holdout: str
) -> None:
    found = split(tmp_path, tmp_path_factory, delay)
    assert [entry.partition for entry in found.train] == [*train]
    assert [entry.partition for entry in found.holdout] == [holdout]


def test_a_delay_that_leaves_nothing_is_told(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(PlatformError, match=r"split.label_delay: no partition ended by .*, 200 days before 20"):
        split(tmp_path, tmp_path_factory, 200)


def split(tmp_path: Path, factory: pytest.TempPathFactory, delay: int) -> SplitRef:
    catalogue = declared(models={MODEL: {"split": {"holdout": 1, "label_delay": delay}}})
    project = copy_of(ingested(factory.getbasetemp()), tmp_path / "project", catalogue)
    with project.active() as workspace:
        return training.split(workspace, project.context(MODEL), workspace.references.all(FEATURES), Run.new())


def test_values_that_nobody_knows_are_tried_on_the_newest_holdout_that_has_outcomes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing is measured on no rows: the newest partition has not a single outcome yet."""
    project = copy_of(registered(tmp_path_factory.getbasetemp()), tmp_path / "project")
    with project.active() as workspace:
        model = workspace.references.load(f"{MODEL}/model")
        assert isinstance(model, ModelRef)
        before, newest = model.split.train[-1], model.split.holdout[-1]
        read = workspace.steps.evaluation_frames

        def frames(store: Any, entries: tuple[ManifestEntry, ...]) -> Iterator[pl.DataFrame]:
            for entry, frame in zip(entries, read(store, entries), strict=True):
                unknown = pl.lit(None, frame.schema[model.target]).alias(model.target)
                yield frame.with_columns(unknown) if entry.partition == newest.partition else frame

        late = workspace.with_(steps=replace(workspace.steps, evaluation_frames=frames))
        split = model.split.model_copy(update={"holdout": (before, newest)})
        found = unseen_categories(late, project.context(MODEL), model.model_copy(update={"split": split}))
        assert found is not None and len(found.x) > 0
        assert unseen_categories(late, project.context(MODEL), model) is None
