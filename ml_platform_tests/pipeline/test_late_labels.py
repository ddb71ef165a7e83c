"""Outcomes that come late: the holdout is the newest time of which they are known."""

from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import training
from ml_platform.references.refs import SplitRef
from ml_platform_tests.shop_project import FEATURES, MODEL, MONTHS, copy_of, declared, ingested


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
