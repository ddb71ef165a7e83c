"""A history that is refreshed with partitions is as old in training as it will be in serving."""

from pathlib import Path

import polars as pl

from ml_platform.pipeline.materializer import materializer_of
from ml_platform_tests.shop_project import APRIL, JANUARY, copy_of, declared


def test_rows_see_what_a_service_saw_that_was_refreshed_before_their_partition(
    four_months: Path, tmp_path: Path
) -> None:
    daily = copy_of(four_months, tmp_path / "project", declared())
    project = daily.variant(declared(features={"refresh": "partition"}))
    # The batches are there; the features are others, and all their gates pass: parity and leakage among them.
    outcome = project.ingest(JANUARY, APRIL)
    assert outcome.success, outcome.error
    ref = project.reference("purchases/features", APRIL)
    with project.active() as workspace:
        context = project.context()
        materializer = materializer_of(workspace, context.feature_set, context.dataset)
        built, raw = materializer.read(ref), materializer.raw(APRIL)
        known = materializer.published_partitions()
        then = materializer.history([name for name in known if name < APRIL])
        now = materializer.history(known)
        names = [history.name for history in context.function.histories]
        rows = context.function.rows(raw)
        assert built.select(names).equals(then.features(rows, raw["day"]), null_equal=True)
        assert built.select(names).equals(now.features(rows, raw["day"]), null_equal=True)
        # Within April, nothing that happened in April counts: rows of one product and channel differ on no day.
        same = built.with_columns(raw["product"].alias("(product)")).group_by("(product)")
        assert same.agg(pl.col("return_rate_product").n_unique())["return_rate_product"].max() == 1
        assert (now.behind(raw["day"].max()), then.behind(raw["day"].max())) == (0, 0)  # type: ignore[arg-type]
