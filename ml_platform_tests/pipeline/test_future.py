"""What happens later changes nothing that was known before: through source, store, history and features."""

from datetime import date
from pathlib import Path

import polars as pl

from ml_platform.datasets import batches
from ml_platform.features.contract import feature_names
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, FEATURES, MONTHS, copy_of

CUT = date(2024, 4, 16)


def a_day_later(month: pl.DataFrame) -> pl.DataFrame:
    """From the cut on every delivery took a day more and what was kept came back, what came back was kept; no rule of
    the schema is broken by that.
    """
    later = pl.col("day") >= CUT
    changed = {"delivery_days": pl.col("delivery_days") + 1, "returned": 1 - pl.col("returned")}
    return month.with_columns(pl.when(later).then(new).otherwise(name).alias(name) for name, new in changed.items())


def features_of(project: Project, month: str) -> pl.DataFrame:
    """The stored features of a month."""
    reference = project.reference(FEATURES, month)
    with project.active() as workspace:
        return batches.read(workspace.store, reference)


def test_other_outcomes_after_a_day_change_no_earlier_row(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    earlier = {month: project.reference(FEATURES, month).sha256 for month in MONTHS[:3]}
    before = features_of(project, APRIL)
    project.batches.deliver(APRIL, change=a_day_later)
    outcome = project.ingest(MONTHS[0], APRIL)
    assert outcome.success, outcome.error
    # A range goes on past a month that is refused.
    assert FEATURES in outcome.assets(APRIL)
    after = features_of(project, APRIL)

    assert {month: project.reference(FEATURES, month).sha256 for month in MONTHS[:3]} == earlier
    function = project.context().function
    names = list(feature_names(function))
    # Outcomes of the cut's day are known from the next day on.
    known, unknown = pl.col("day") <= CUT, pl.col("day") > CUT
    assert before.filter(known).select(names).equals(after.filter(known).select(names))
    past = [mean.name for mean in function.histories]
    assert len(past) == 3
    for name in past:
        assert not before.filter(unknown)[name].equals(after.filter(unknown)[name]), name
    others = [name for name in names if name not in past]
    assert before.select(others).equals(after.select(others))
    # The rows themselves did change: only labels from the cut's day on.
    labels = list(function.labels)
    assert before.filter(pl.col("day") < CUT).select(labels).equals(after.filter(pl.col("day") < CUT).select(labels))
    on_the_day = pl.col("day") == CUT
    assert not before.filter(on_the_day).select(labels).equals(after.filter(on_the_day).select(labels))
