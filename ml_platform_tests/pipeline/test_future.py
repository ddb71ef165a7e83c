"""What happens later changes nothing that was known before: through source, store, history and features."""

from datetime import date
from pathlib import Path

import polars as pl

from ml_platform.datasets import batches
from ml_platform.defs.flights.features import flights
from ml_platform.features.contract import feature_names
from ml_platform_tests.project import APRIL, MONTHS, Project, copy_of

CUT = date(2013, 4, 16)


def a_day_later(month: pl.DataFrame) -> pl.DataFrame:
    """From the cut on every flight that arrived did so a day later; no rule of the schema is broken by that."""
    later = (pl.col("date") >= CUT) & (pl.col("arr_delay") <= 1440)
    return month.with_columns(pl.when(later).then(pl.col("arr_delay") + 1440).otherwise("arr_delay").alias("arr_delay"))


def features_of(project: Project, month: str) -> pl.DataFrame:
    """The stored features of a month."""
    reference = project.reference("flights/features", month)
    with project.active() as workspace:
        return batches.read(workspace.store, reference)


def test_other_outcomes_after_a_day_change_no_earlier_row(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    earlier = {month: project.reference("flights/features", month).sha256 for month in MONTHS[:3]}
    before = features_of(project, APRIL)
    project.batches.deliver(APRIL, change=a_day_later)
    outcome = project.ingest(MONTHS[0], APRIL)
    assert outcome.success, outcome.error
    after = features_of(project, APRIL)

    assert {month: project.reference("flights/features", month).sha256 for month in MONTHS[:3]} == earlier
    names = list(feature_names(flights))
    # Outcomes of the cut's day are known from the next day on.
    known, unknown = pl.col("date") <= CUT, pl.col("date") > CUT
    assert before.filter(known).select(names).equals(after.filter(known).select(names))
    late_rates = [name for name in names if name.startswith(("late_rate_", "delay_"))]
    assert len(late_rates) > 10
    for name in late_rates:
        assert not before.filter(unknown)[name].equals(after.filter(unknown)[name]), name
    others = [name for name in names if name not in late_rates]
    assert before.select(others).equals(after.select(others))
    # The rows themselves did change: only labels from the cut's day on.
    labels = list(flights.labels)
    assert before.filter(pl.col("date") < CUT).select(labels).equals(after.filter(pl.col("date") < CUT).select(labels))
    on_the_day = pl.col("date") == CUT
    assert not before.filter(on_the_day).select(labels).equals(after.filter(on_the_day).select(labels))
