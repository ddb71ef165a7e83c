"""A source that gives equal content in another order makes another batch of it, and is named."""

from pathlib import Path

import polars as pl

from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform_tests.shop_project import APRIL, copy_of


def test_rows_in_another_order_are_told_apart_from_other_rows(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    rows, file = project.batches.original(APRIL), project.batches.folder / f"{APRIL}.parquet"
    spec = project.context().dataset
    number = next(name for name, kind in rows.schema.items() if kind.is_float())
    for frame, told in (
        (rows, False),
        (rows.reverse(), True),
        (rows.reverse()[1:], False),
        (rows.reverse().with_columns(pl.col(number) + 1), False),
    ):
        frame.write_parquet(file)
        with project.active() as workspace:
            said = data.reordered(workspace, spec, data.ingest(workspace, spec, APRIL, Run.new()))
        assert bool(said) == told, said
        assert not told or said.startswith(
            f"{spec.name}: partition {APRIL} has the rows that are published, in another"
        )
