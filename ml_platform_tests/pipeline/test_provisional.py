"""Days of a partition under way: judged row by row on a branch of their own, read by histories and by nothing else."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ml_platform.datasets import batches
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import provisional
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.sources.partitions import Partitions
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, MAY, copy_of, declared

NOW = "ML_PLATFORM_NOW"


def on(project: Project, day: int) -> Project:
    """The project at eight on a morning in May."""
    return project.variant(project.catalogue, **{NOW: f"2024-05-{day:02d}T08:00:00"})


@pytest.fixture
def shop(four_months: Path, tmp_path: Path) -> Project:
    project = on(copy_of(four_months, tmp_path / "project", declared()), 16)
    project.batches.deliver(MAY)
    return project


def taken(project: Project) -> provisional.Taken:
    with project.active() as workspace:
        return provisional.take(workspace, project.catalogue.dataset(DATASET), Run.new())


def days(project: Project, found: provisional.Provisional) -> pl.DataFrame:
    with project.active() as workspace:
        return provisional.rows(workspace, found)


def test_the_partition_under_way_is_the_one_that_has_begun() -> None:
    monthly = Partitions(every="month", start=date(2024, 1, 1), end=date(2024, 6, 1))
    asked = (date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 31), date(2024, 6, 1), date(2024, 1, 1))
    assert [monthly.under_way(day) for day in asked] == [None, MAY, MAY, None, None]


def test_days_that_have_ended_are_read_by_histories_alone(shop: Project) -> None:
    first = taken(shop).accepted
    assert first is not None and first.partition == MAY
    rows, original = days(shop, first), shop.batches.original(MAY)
    assert rows.equals(original.filter(pl.col("day") < date(2024, 5, 16)))
    with shop.active() as workspace:
        dataset, feature_set = shop.context().dataset, shop.context().feature_set
        materializer = materializer_of(workspace, feature_set, dataset)
        known = materializer.published_partitions()
        assert materializer.history(known).until == date(2024, 4, 30)
        assert materializer.history(known, rows).until == date(2024, 5, 15)
        # The history is that of a service which was packaged with these days.
        keys = materializer.function.rows(original)
        later = original["day"] >= date(2024, 5, 16)
        with_days = materializer.history(known, rows).matrix(keys.filter(later), original["day"].filter(later))
        assert (
            with_days.tobytes()
            != materializer.history(known).matrix(keys.filter(later), original["day"].filter(later)).tobytes()
        )
        assert MAY not in batches.newest(workspace.store, DATASET)
        assert not workspace.ledger.refused(dataset.prefix)
    # Asked again on the same day nothing is committed; on the next one there is a day more.
    assert taken(shop).accepted == first
    more = taken(on(shop, 17)).accepted
    assert more is not None and days(shop, more)["day"].max() == date(2024, 5, 16)


def test_a_broken_day_keeps_the_days_before_it(shop: Project) -> None:
    first = taken(shop).accepted
    broken = pl.when(pl.col("day") == date(2024, 5, 16)).then(-1.0).otherwise("price").alias("price")
    shop.batches.deliver(MAY, change=lambda frame: frame.with_columns(broken))
    found = taken(on(shop, 17))
    assert [verdict.gate for verdict in found.verdicts if verdict.holds_back] == ["schema"]
    assert found.accepted == first
    # Corrected, all its days count.
    shop.batches.deliver(MAY)
    corrected = taken(on(shop, 18)).accepted
    assert corrected is not None and days(shop, corrected)["day"].max() == date(2024, 5, 17)


def test_it_goes_when_the_partition_has_arrived(shop: Project) -> None:
    assert taken(shop).accepted is not None
    june = shop.variant(shop.catalogue, **{NOW: "2024-06-02T08:00:00"})
    with june.active() as workspace:
        assert workspace.store.branches("provisional-")
    outcome = june.ingest(MAY)
    assert outcome.success, outcome.error
    assert taken(june).accepted is None
    with june.active() as workspace:
        assert not workspace.store.branches("provisional-")


def test_a_source_without_the_partition_gives_nothing(shop: Project) -> None:
    (shop.batches.folder / f"{MAY}.parquet").unlink()
    assert taken(shop) == provisional.Taken(None, [])
